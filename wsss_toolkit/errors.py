"""The errors that users meet: what is wrong, where, and what to do.

The command line prints them as one line without a traceback and exits with their ``exit_code``.
"""

import difflib
from collections.abc import Iterable


class WsssError(Exception):
    """A run that cannot go on for a reason that the user can understand and mend.

    Args:
        what: What is wrong, quoting the offending input.
        where: The file, tile or recipe position it was found at.
        fix: What to do about it.

    >>> print(WsssError("no band is called 'B2'", where="a.tif", fix="did you mean B02?"))
    a.tif: no band is called 'B2'; did you mean B02?
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        """Return ``where: what; fix`` in one line."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.fix}" if self.fix else line

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the parts when the error crosses a process boundary (data-loader workers)."""
        return _rebuild, (type(self), self.what, self.where, self.fix)


def _rebuild(kind: type["WsssError"], what: str, where: str | None, fix: str | None) -> "WsssError":
    return kind(what, where=where, fix=fix)


class UsageError(WsssError):
    """Wrong use: a bad command line, a bad recipe, an output that would be overwritten."""

    exit_code = 2


class DataError(WsssError):
    """Input data that cannot be read or that contradicts itself."""


def did_you_mean(
    name: object, known: Iterable[object], otherwise: str | None = None, *, most: int = 1, cutoff: float = 0.6
) -> str:
    """Return ``did you mean X?``.

    Args:
        name: What was written.
        known: What may be written.
        otherwise: What is returned where no name is close; None lists those that are known.
        most: Names that are offered, as ``X or Y``.
        cutoff: See `close_names`.

    >>> did_you_mean("trian", ["train", "val"])
    'did you mean train?'
    >>> did_you_mean("x", ["train", "val"])
    'choose from train, val'
    """
    names = [str(item) for item in known]
    close = close_names(name, names, most, cutoff)
    if close or otherwise is not None:
        return f"did you mean {' or '.join(close)}?" if close else str(otherwise)
    return f"choose from {', '.join(names)}" if names else "there are none"


def close_names(name: object, known: Iterable[object], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known names that are spelled most like another, whatever their case, the nearest first.

    Args:
        name: What was written.
        known: What may be written.
        most: So many at most.
        cutoff: Likeness in 0..1 below which a name is not close.
    """
    folded = {str(item).casefold(): str(item) for item in known}
    return [folded[near] for near in difflib.get_close_matches(str(name).casefold(), folded, most, cutoff)]
