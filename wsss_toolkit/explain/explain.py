"""Explains one image of a run: arrays, their description and figures in one folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wsss_toolkit.explain.figure import draw_explanation, draw_heads
from wsss_toolkit.explain.files import ARRAYS, DESCRIPTION, describe, prepare_folder, write_arrays
from wsss_toolkit.explain.subject import find_subject
from wsss_toolkit.explain.trace import Explanation, explain_image
from wsss_toolkit.files import file_for, write_json
from wsss_toolkit.report.figures import save_figure
from wsss_toolkit.report.preview import natural_colors
from wsss_toolkit.runs.trained_run import TrainedRun

FIGURE, HEADS_FIGURE = "explain.png", "heads.png"


def explain(
    run: TrainedRun,
    image: str,
    out: Path | None,
    device: torch.device,
    *,
    classes: Sequence[str] | None = None,
    overwrite: bool = False,
) -> tuple[Path, Explanation]:
    """Write maps.npz, explain.json, explain.png and heads.png of one image; return their folder and what was found.

    Ground truth is not read.

    Args:
        run: The run.
        image: A key of its data, or the path of a picture or scene.
        out: The folder to write; None takes ``RUN/explain/KEY``.
        device: Where to compute.
        classes: Names of the classes to show; None shows those that may appear in the mask.
        overwrite: Whether files that are there may be replaced.

    Raises:
        UsageError: If there is no such image or class, the files exist, or the run's masks come from its consensus.
        DataError: If the image or the model cannot be read.
    """
    run.require_attention()
    subject = find_subject(run, image)
    folder = out if out is not None else file_for(run.path / "explain", subject.name)
    names = (ARRAYS, DESCRIPTION, FIGURE, HEADS_FIGURE)
    prepare_folder(folder, names, overwrite=overwrite)
    found = explain_image(run, run.mapper(device), subject, classes)
    picture = natural_colors(subject.sample, run.preprocessing.channels.sensors)
    if picture.shape[:2] != found.mask.shape:  # frames are explained at the size at which they are seen
        picture = np.asarray(Image.fromarray(picture).resize(found.mask.shape[::-1], Image.Resampling.BILINEAR))
    title = f"{run.recipe.name}: {subject.name}"
    figure = draw_explanation(found, picture, run.classes, run.recipe.pseudo_masks, title, run.adapter.notices)
    save_figure(figure, folder / FIGURE)
    heads = draw_heads(found, run.classes, f"{title}, head by head")
    if heads is not None:
        save_figure(heads, folder / HEADS_FIGURE)
    else:
        (folder / HEADS_FIGURE).unlink(missing_ok=True)
    write_arrays(found, run, folder)
    write_json(folder / DESCRIPTION, describe(found, subject, run))
    return folder, found
