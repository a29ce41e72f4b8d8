"""Masks as COCO's results: a JSON list of run-length encoded regions, one per image and class."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.natural.coco_masks import mask_tools


def write_results(path: Path, masks: Iterable[tuple[int, NDArray[np.uint8]]], indices: Mapping[int, int]) -> Path:
    """Write masks as results that `pycocotools.coco.COCO.loadRes` reads.

    Each class of a mask becomes one region with the category's sparse id; background and 255 are left out. Regions are
    written as they come, so memory holds one mask. `score` is 1.0 throughout: a mask ranks nothing.

    Args:
        path: The JSON file; complete or absent.
        masks: Image id and mask uint8 `h w`, images in any order.
        indices: Class index of each category id.

    Returns:
        The path.

    Raises:
        WsssError: If it cannot be written, or pycocotools is not installed.
    """
    from wsss_toolkit.files import complete_file

    tools = mask_tools()
    with complete_file(path) as partial, partial.open("w", encoding="ascii") as file:
        file.write("[")
        separator = "\n"
        for image, mask in masks:
            shown = set(np.unique(mask).tolist())
            for category, index in indices.items():
                if index not in shown:
                    continue
                encoded = tools.encode(np.asfortranarray(mask == index).astype(np.uint8, order="F"))
                region = {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}
                entry = {"image_id": image, "category_id": category, "segmentation": region, "score": 1.0}
                file.write(separator + json.dumps(entry))
                separator = ",\n"
        file.write("\n]\n")
    return path
