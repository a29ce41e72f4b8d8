"""What lies among the inputs and is not read: it is said by kind and number, so that nothing is left out in silence."""

import glob
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from wsss_toolkit.domain.scene import SceneSource
from wsss_toolkit.errors import UsageError, quoted

SHOWN: Final = 8
"""Kinds of files that are listed by name."""


@runtime_checkable
class ListingAdapter(Protocol):
    """An adapter of scenes that says which files among its inputs belong to none."""

    def unread(self, inputs: Sequence[str], sources: Sequence[SceneSource]) -> Sequence[Path]:
        """Return the files among the inputs that are no part of the scenes found, nor masks of ours."""


@runtime_checkable
class NoticedSource(Protocol):
    """A scene with which something was found that the user should know, whether or not it can be opened."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences, such as what was left out and why."""


def files_beside(inputs: Sequence[str], read: Collection[Path]) -> list[Path]:
    """Return the files in folders and globs that are not `read`, nor lie in a folder that is; hidden ones are left out.

    Inputs that are no path, such as a URL, hold none.
    """
    known = {path.resolve() for path in read}
    found: dict[Path, None] = {}
    for text in inputs:
        for match in _matches(text):
            found |= dict.fromkeys(_files(match, known) if match.is_dir() else [match])
    return [path for path in found if path.resolve() not in known]


def paths_of(text: str) -> list[Path]:
    """Return the paths that an input names: the file or folder of that name, or what matches it as a glob, sorted.

    Raises:
        UsageError: If there is nothing.
    """
    found = _matches(text)
    if not found:
        raise UsageError(f"no such file or folder: {quoted(text)}", fix="correct --tiles; quote globs")
    return found


def _matches(text: str) -> list[Path]:
    # os.path takes any text; Path.glob refuses absolute globs.
    return [Path(text)] if os.path.exists(text) else [Path(path) for path in sorted(glob.glob(text, recursive=True))]  # noqa: PTH110, PTH207


def _files(folder: Path, known: Collection[Path]) -> Iterable[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and Path(place, n).resolve() not in known)
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def by_kind(files: Iterable[Path]) -> str:
    """Return how many files of which suffix there are, or "" for none; no name is in it.

    >>> by_kind([Path("a.MP4"), Path("b.zip"), Path("c.mp4"), Path("README"), Path("d_mask.png")])
    '2 .mp4, 1 .zip, 1 without suffix, 1 _mask.png'
    """
    kinds = Counter(_kind(path.name.lower()) for path in files)
    shown = dict(kinds.most_common(SHOWN))
    rest = kinds.total() - sum(shown.values())
    return ", ".join(
        [*(f"{number} {kind}" for kind, number in shown.items()), *([f"{rest} of other kinds"] if rest else [])]
    )


def _kind(name: str) -> str:
    """Return a file's suffix, and before it what makes it sound like a mask that `wsss pseudolabel` writes."""
    found = re.search(r"(_mask|_confidence|_scores)?\.[^.]*$", name)
    return found[0] if found else "without suffix"
