"""A run's masks in the form that a benchmark's server or evaluation code takes."""

import glob
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import Adapter
from wsss_toolkit.errors import UsageError, WsssError
from wsss_toolkit.files import file_for, is_at_work
from wsss_toolkit.images.dataset import read_pseudo_mask
from wsss_toolkit.runs.trained_run import TrainedRun

_LEFT = re.compile(r"\.\d+\.(?:partial|old)$")

SUBMISSION_TOP: Final = "results"
"""The folder that a submission to VOC's server consists of."""


@runtime_checkable
class VocResults(Protocol):
    """An adapter whose masks VOC's test server takes."""

    def write_submission(self, folder: Path, key: str, mask: NDArray[np.uint8]) -> Path:
        """Write one mask `h w` below the submission's folder."""


@runtime_checkable
class CocoResults(Protocol):
    """An adapter whose masks COCO's evaluation code takes."""

    def write_rle_json(self, path: Path, masks: Iterable[tuple[str, NDArray[np.uint8]]]) -> Path:
        """Write masks `h w` by image as run-length encoded regions."""


def exported_masks(run: TrainedRun, split: str) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield image and mask uint8 `h w` of every image of a split, as the stage `export` wrote them.

    Raises:
        UsageError: If the split was not exported.
        DataError: If a mask is damaged, or the data are not where the recipe says.
    """
    adapter: Adapter = run.adapter
    folder = run.stage("export") / split
    if not folder.is_dir():
        raise UsageError(
            f"the run has no masks of the split {split!r}",
            where=str(run.stage("export")),
            fix=f"add it with wsss run: --set export.splits=[{split}]",
        )
    for key in adapter.whole(split):
        yield key, read_pseudo_mask(file_for(folder, key).with_name(f"{key}.png"))


def voc_submission(run: TrainedRun, split: str, out: Path, *, overwrite: bool) -> Path:
    """Write a split's masks, usually ``test``, as VOC's test server takes them; return the folder `out`.

    The run's data must be there, because sizes are checked against the images. The folder appears complete or not at
    all.

    Raises:
        UsageError: If the adapter is another, the split was not exported, or the folder exists; with `overwrite`, if
            it holds something else than a submission.
        DataError: If a mask is damaged or has pixels without a class.
        WsssError: If it cannot be written.
    """
    if not isinstance(run.adapter, VocResults):
        raise _other_adapter(run, "--voc-submission", "voc")
    _tidy(out)
    _refuse_existing(out, overwrite)
    _refuse_other_folders(out)
    partial = _beside(out, "partial")
    try:
        for key, mask in exported_masks(run, split):
            run.adapter.write_submission(partial, key, mask)
        _move(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def coco_results(run: TrainedRun, split: str, out: Path, *, overwrite: bool) -> Path:
    """Write a split's masks as COCO's results: a JSON file of run-length encoded regions.

    The arguments are `voc_submission`'s, for runs of the adapter `coco` and a file.

    Raises:
        UsageError: If the adapter is another, the split was not exported, or the file exists.
    """
    if not isinstance(run.adapter, CocoResults):
        raise _other_adapter(run, "--coco-results", "coco")
    _refuse_existing(out, overwrite)
    return run.adapter.write_rle_json(out, exported_masks(run, split))


def _other_adapter(run: TrainedRun, option: str, adapter: str) -> UsageError:
    what = f"{option} is for runs of the adapter {adapter!r}, this is one of {run.recipe.data.adapter!r}"
    return UsageError(what, where=str(run.path))


def _beside(out: Path, state: str) -> Path:
    """Return a hidden name beside a folder, for what is not there yet or not any more."""
    place = out.resolve()  # `.` has no name
    return place.with_name(f".{place.name}.{os.getpid()}.{state}")


def _tidy(out: Path) -> None:
    """Clear what a killed call left beside a folder; what it had put aside to replace it comes back."""
    place = out.resolve()
    for left in place.parent.glob(f".{glob.escape(place.name)}.*"):
        if not _LEFT.search(left.name) or not left.is_dir() or is_at_work(left.with_suffix(".partial")):
            continue
        if left.suffix == ".old" and not out.exists():
            left.rename(out)
        else:
            shutil.rmtree(left, ignore_errors=True)


def _move(partial: Path, out: Path) -> None:
    """Put a finished folder in place of the one that is there; WsssError, and the old one stays, if that fails."""
    old = _beside(out, "old")
    try:
        partial.mkdir(parents=True, exist_ok=True)  # nothing was written of a split without images
        if out.exists():
            out.rename(old)
        try:
            partial.rename(out)
        except BaseException:
            if old.exists():
                old.rename(out)
            raise
    except OSError as error:
        fix = "check the folder's rights, or choose another --out"
        raise WsssError(f"cannot write: {error.strerror or error}", where=str(out), fix=fix) from error
    shutil.rmtree(old, ignore_errors=True)


def _refuse_other_folders(out: Path) -> None:
    """Refuse to replace what is no submission: --out may name a folder of other files by mistake."""
    if not out.exists():
        return
    others = [out] if not out.is_dir() else [entry for entry in out.iterdir() if entry.name != SUBMISSION_TOP]
    if others:
        raise UsageError(
            f"is not replaced: {others[0].name!r} is no part of a submission",
            where=str(out),
            fix="move it away, or choose another --out",
        )


def _refuse_existing(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise UsageError("exists already", where=str(out), fix="add --overwrite, or choose another --out")
