"""What lies among the inputs and is not read: it is said by kind and number, so that nothing is left out in silence."""

import glob
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from wsss_toolkit.domain.scene import SceneSource

SHOWN: Final = 8
"""Kinds of files that are listed."""


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
        path = Path(text)
        matches = [path] if path.exists() else [Path(match) for match in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207
        for match in matches:
            found |= dict.fromkeys(_files(match, known) if match.is_dir() else [match])
    return [path for path in found if path.resolve() not in known]


def _files(folder: Path, known: Collection[Path]) -> Iterable[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and Path(place, n).resolve() not in known)
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def by_kind(files: Iterable[Path]) -> str:
    """Return how many files of which suffix there are, or "" for none; no name is in it.

    >>> by_kind([Path("a.MP4"), Path("b.zip"), Path("c.mp4"), Path("README")])
    '2 .mp4, 1 .zip, 1 without suffix'
    """
    kinds = Counter(path.suffix.lower() or "without suffix" for path in files)
    listed = [f"{number} {kind}" for kind, number in kinds.most_common(SHOWN)]
    return ", ".join(listed) + ", ..." * (len(kinds) > SHOWN)
