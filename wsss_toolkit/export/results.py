"""A run's masks in the form that a benchmark's server or evaluation code takes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.data import read_pseudo_mask
from wsss_toolkit.domain import Adapter
from wsss_toolkit.errors import UsageError
from wsss_toolkit.run_folder import file_for
from wsss_toolkit.scenes.trained_run import TrainedRun


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
    """Write a split's masks as VOC's test server takes them.

    Args:
        run: A run of the adapter `voc`; its data must be there, because sizes are checked against the images.
        split: Usually ``test``.
        out: The folder to write.
        overwrite: Whether a folder that is there already may be written into.

    Returns:
        The folder.

    Raises:
        UsageError: If the adapter is another, the split was not exported, or the folder exists.
    """
    if not isinstance(run.adapter, VocResults):
        raise UsageError(
            f"--voc-submission is for runs of the adapter 'voc', this is one of {run.recipe.data.adapter!r}",
            where=str(run.path),
        )
    _refuse_existing(out, overwrite)
    for key, mask in exported_masks(run, split):
        run.adapter.write_submission(out, key, mask)
    return out


def coco_results(run: TrainedRun, split: str, out: Path, *, overwrite: bool) -> Path:
    """Write a split's masks as COCO's results: a JSON file of run-length encoded regions.

    The arguments are `voc_submission`'s, for runs of the adapter `coco` and a file.

    Raises:
        UsageError: If the adapter is another, the split was not exported, or the file exists.
    """
    if not isinstance(run.adapter, CocoResults):
        raise UsageError(
            f"--coco-results is for runs of the adapter 'coco', this is one of {run.recipe.data.adapter!r}",
            where=str(run.path),
        )
    _refuse_existing(out, overwrite)
    return run.adapter.write_rle_json(out, exported_masks(run, split))


def _refuse_existing(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise UsageError("exists already", where=str(out), fix="add --overwrite, or choose another --out")
