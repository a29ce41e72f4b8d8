"""Stages that cells have in common are done once: a cell takes them over from a sibling."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from wsss_toolkit.errors import DataError
from wsss_toolkit.files import discard
from wsss_toolkit.runs.folder import RunFolder, read_record

Shelf = dict[tuple[str, str], Path]
"""Finished stages by name and digest."""


def shelf_of(cells: Path, stages: Sequence[str]) -> Shelf:
    """Return every finished stage below a folder of cells, those of older recipes included."""
    found: Shelf = {}
    for stage in stages:
        for record in (*cells.glob(f"*/superseded/{stage}-*/stage.json"), *cells.glob(f"*/{stage}/stage.json")):
            with suppress(DataError):  # the cell that it belongs to says so
                found[stage, read_record(record.parent).digest] = record.parent
    return found


def incoming_folder(folder: RunFolder, stage: str) -> Path:
    """Return where a stage lies while it is being taken over; a killed call leaves it there."""
    return folder.path / f".{stage}.taken"


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
    incoming = incoming_folder(folder, stage)
    discard(incoming)
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
