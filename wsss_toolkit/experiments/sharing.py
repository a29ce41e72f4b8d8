"""Stages that cells have in common are done once: a cell takes them over from a sibling."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from wsss_toolkit.runs.folder import RunFolder

Shelf = dict[tuple[str, str], Path]
"""Finished stages by name and digest."""


def shelf_of(cells: Path, stages: Sequence[str]) -> Shelf:
    """Return every finished stage below a folder of cells, those of older recipes included."""
    found: Shelf = {}
    for stage in stages:
        for record in (*cells.glob(f"*/superseded/{stage}-*/stage.json"), *cells.glob(f"*/{stage}/stage.json")):
            found[stage, json.loads(record.read_text())["digest"]] = record.parent
    return found


def take_over(folder: RunFolder, stage: str, wanted: str, shelf: Shelf) -> Path | None:
    """Give a run a finished stage of another run with the same inputs, whose digest is `wanted`.

    Files of a finished stage are replaced and never written to, so hard links are as good as copies; files are copied
    where the file system has no links. The stage's record comes along: seconds and memory are those of the run that
    did the work. Returned is where it was taken from; None if the run has it, or nobody does.
    """
    if folder.find(stage, wanted) is not None:
        return None
    source = shelf.get((stage, wanted))
    if source is None or not (source / "stage.json").is_file():
        return None
    incoming = folder.path / f".{stage}.taken"
    shutil.rmtree(incoming, ignore_errors=True)
    shutil.copytree(source, incoming, copy_function=_link)
    folder.set_aside(stage)
    folder.discard_partial(stage)
    incoming.rename(folder.stage(stage))
    return source


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
