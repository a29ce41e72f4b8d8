"""An explanation as files: arrays, their description, and figures."""

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit import __version__
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import UsageError, WsssError
from wsss_toolkit.explain.subject import Subject
from wsss_toolkit.explain.trace import NOBODY, Explanation
from wsss_toolkit.files import complete_file
from wsss_toolkit.recipe.schema import PseudoMasks
from wsss_toolkit.runs.trained_run import TrainedRun

ARRAYS, DESCRIPTION = "maps.npz", "explain.json"

AXES = {
    "attention": ("layers, heads, classes, grid rows, grid columns", "share of the token's attention, 0..1; NaN where"
                  " a layer has no such head"),
    "gates": ("layers, heads", "openness in 0..1; NaN where a layer has no such head"),
    "head_numbers": ("layers, heads", "which head of the layer; -1 where there is none"),
    "layers": ("layers", "index of the block, from 0"),
    "tokens": ("classes", "index of the class token, and so of logits"),
    "mask_values": ("classes", "value of the class in the mask"),
    "logits": ("tokens", "image-level logit of every class, averaged over views"),
    "probabilities": ("tokens", "sigmoid of the logit"),
    "active": ("tokens", "whether the class may appear in the mask"),
    "maps": ("classes, rows, columns", "final class map; attention in multiples of uniform attention"),
    "thresholds": ("classes", "in the units of maps"),
    "claimed": ("classes, rows, columns", "whether the map reaches its threshold"),
    "paint_order": ("classes", "0 is painted first; -1 for classes that are not painted"),
    "mask": ("rows, columns", f"mask value; {IGNORE_INDEX} is no class"),
    "confidence": ("rows, columns", "0..1"),
}  # fmt: skip
"""Axes and meaning of each array in maps.npz, in their order."""


def prepare_folder(folder: Path, names: tuple[str, ...], *, overwrite: bool) -> None:
    """Make the folder that files are written to.

    Raises:
        UsageError: If one of the files is there and may not be replaced, or the folder is a file.
        WsssError: If the folder cannot be made.
    """
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise UsageError("exists already", where=str(folder / there[0]), fix="add --overwrite, or choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError("is a file, not a folder", where=str(folder), fix="choose another --out") from error
    except OSError as error:
        raise WsssError(
            f"cannot be written into ({error.strerror})", where=str(folder), fix="choose another --out"
        ) from error


def arrays_of(found: Explanation, run: TrainedRun) -> dict[str, NDArray[Any]]:
    """Return the arrays of maps.npz by name."""
    heads = found.heads
    values: dict[str, NDArray[Any]] = {
        "attention": heads.attention,
        "gates": heads.gates,
        "head_numbers": heads.numbers,
        "layers": heads.layers,
        "mask_values": np.array(run.classes.labelled, np.uint8)[found.tokens],
    }
    return {name: values[name] if name in values else getattr(found, name) for name in AXES}


def write_arrays(found: Explanation, run: TrainedRun, folder: Path) -> None:
    """Write maps.npz."""
    with complete_file(folder / ARRAYS) as partial:
        # Numbers only: nothing is pickled.
        np.savez_compressed(partial, **cast("dict[str, Any]", arrays_of(found, run)))


def reads_threshold(section: PseudoMasks) -> bool:
    """Return whether thresholds decide anything: `argmax` without a background never asks."""
    return section.assign == "paint" or section.background != "none"


def describe(found: Explanation, subject: Subject, run: TrainedRun) -> dict[str, Any]:
    """Return explain.json: what the arrays mean, and every class's way to the mask in numbers."""
    classes, section = run.classes, run.recipe.pseudo_masks
    pixels = max(1, int((found.mask != IGNORE_INDEX).sum()))
    shown = {}
    for place, token in enumerate(found.tokens.tolist()):
        value, order = classes.labelled[token], int(found.paint_order[place])
        shown[classes.names[value]] = {
            "token": token,
            "mask_value": value,
            "color": list(classes.colors[value]),
            "logit": float(found.logits[token]),
            "probability": float(found.probabilities[token]),
            "active": bool(found.active[token]),
            "threshold": float(found.thresholds[place]),
            "paint_order": None if order == NOBODY else order,
            "claimed_share": float(found.claimed[place].mean()),
            "mask_share": float((found.mask == value).sum() / pixels),
        }
    return {
        "image": subject.name,
        "split": subject.split,
        "recipe": run.recipe.name,
        "model": run.digests["train"],
        "ground_truth": "not read: this explains a mask, it does not evaluate it",
        "label_source": run.tags.get("wsss_label_source"),
        "classes_from": "image-level labels" if found.from_labels else "predicted",
        "notices": list(run.adapter.notices),
        "version": __version__,
        "settings": section.model_dump(mode="json"),
        "threshold_is_read": reads_threshold(section),
        "attention": {
            "of": "the image as it is: no mirror image, no other size, no windows",
            "seen_at": list(found.seen),
            "patch_size": found.patch_size,
            "layers": found.heads.layers.tolist(),
            "layers_of_the_maps": list(found.making),
            "heads_are_numbered_as_before_pruning": found.heads.numbered,
            "one_token_for_all_classes": run.recipe.model.class_tokens.shared,
        },
        "classes": shown,
        "arrays": {
            name: {"shape": list(array.shape), "dtype": str(array.dtype), "axes": axes, "meaning": meaning}
            for (name, array), (axes, meaning) in zip(arrays_of(found, run).items(), AXES.values(), strict=True)
        },
    }
