"""The errors that users meet: what is wrong, where, and what to do.

The command line prints them as one line without a traceback and exits with their ``exit_code``.
"""

import difflib
from collections.abc import Iterable
from functools import partial


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
        self.what, self.where, self.fix = what, where, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        """Return ``where: what; fix`` in one line."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.fix}" if self.fix else line

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the parts when the error crosses a process boundary (data-loader workers)."""
        return partial(type(self), self.what, where=self.where, fix=self.fix), ()


class UsageError(WsssError):
    """Wrong use: a bad command line, a bad recipe, an output that would be overwritten."""

    exit_code = 2


class DataError(WsssError):
    """Input data that cannot be read or that contradicts itself."""


def did_you_mean(
    name: object, known: Iterable[object], otherwise: str | None = None, *, most: int = 1, cutoff: float = 0.6
) -> str:
    """Return ``did you mean X?``, or ``X or Y`` of at most so many `close_names`.

    Where none is close it is `otherwise`, or without that a list of those that are known.

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
    """Return the known names that are spelled most like what was written, whatever their case, the nearest first.

    There are at most `most` of them; below the likeness `cutoff`, in 0..1, a name is not close.
    """
    folded = {str(item).casefold(): str(item) for item in known}
    return [folded[near] for near in difflib.get_close_matches(str(name).casefold(), folded, most, cutoff)]
