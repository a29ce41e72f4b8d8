"""What lies in a folder and is not read, so that nothing is left out without a word."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from wsss_adapters.pictures.names import SUFFIXES

SHOWN = 8
"""Kinds of files that are listed."""


def unread(folder: Path, images: Sequence[Path], masks: Sequence[Path], used: Collection[Path]) -> tuple[str, ...]:
    """Return sentences on files of other kinds, pictures elsewhere, linked folders and links that lead nowhere.

    Args:
        folder: The folder that the user named.
        images: The folders of the pictures in it, all below which is read.
        masks: The folders of the masks.
        used: Tables and lists that are read.
    """
    kinds: Counter[str] = Counter()
    elsewhere: list[str] = []
    linked: list[str] = []
    broken: list[str] = []
    apart = {*images, *masks}
    for top in dict.fromkeys((*images, folder)):
        for path in _walk(top, apart - {top}):
            name = os.path.relpath(path, folder)
            if path.is_dir():
                linked.append(name)
            elif not path.exists():
                broken.append(name)
            elif path.suffix.lower() not in SUFFIXES:
                kinds[path.suffix.lower().lstrip(".") or "without suffix"] += path not in used
            elif top not in images and not any(place in path.parents for place in masks):
                elsewhere.append(name)
    counts = [f"{number} {kind}" for kind, number in kinds.most_common() if number]
    found = []
    if counts:
        found.append(f"not read, other kinds of files: {', '.join(counts[:SHOWN])}" + ", ..." * (len(counts) > SHOWN))
    if elsewhere:
        places = " and ".join(dict.fromkeys(os.path.relpath(place, folder) for place in images))
        found.append(f"not read, outside {places}: {len(elsewhere)} pictures, {elsewhere[0]} first")
    if linked:
        found.append(f"not followed, folders that are links: {', '.join(linked[:SHOWN])}; copy or move them here")
    if broken:
        found.append(f"links that lead nowhere: {len(broken)}, {broken[0]} first")
    return tuple(found)


def _walk(top: Path, without: Collection[Path]) -> Iterator[Path]:
    """Yield files and linked folders below a folder, sorted in each; hidden ones are left out."""
    for place, folders, names in os.walk(top):
        shown = sorted(name for name in folders if not name.startswith(".") and Path(place, name) not in without)
        folders[:] = shown
        yield from (Path(place, name) for name in shown if Path(place, name).is_symlink())
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))
