"""The gallery of report.html: pictures as data, and words for those who do not see them."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsss_toolkit.errors import DataError
from wsss_toolkit.files import file_for
from wsss_toolkit.report.gallery import ERROR_COLORS, NO_ANSWER, RIGHT, WRONG, read_gallery

NAMED = 4
"""Classes that an alternative text names at most."""


def gallery_view(folder: Path, network: str) -> dict[str, Any] | None:
    """Return what the template shows of a gallery's folder; None where it has no image. `network` is for headings."""
    found = read_gallery(folder)
    if not found["images"]:
        return None
    titles = {"truth": "ground truth", "pseudo_masks": "pseudo-mask", "segmentation": network}
    index = {entry["name"]: number for number, entry in enumerate(found["classes"])}
    items = [_item(folder, image, titles, index) for image in found["images"]]
    ranked = found["ranked_by"]
    if ranked:
        items.reverse()  # the best first: they were chosen from the worst on
    shown = {name for image in found["images"] for shares in image["classes"].values() for name in shares}
    legend = [entry for entry in found["classes"] if entry["name"] in shown]
    kinds = [kind for kind in ("pseudo_masks", "segmentation") if any(item[kind] for item in items)]
    sort_keys = [
        *({"name": kind, "title": f"{titles[kind]} mIoU", "first": "descending"} for kind in kinds),
        {"name": "key", "title": "name", "first": "ascending"},
    ]
    chosen = {"descending": ranked, "ascending": None if ranked else "key"}
    filtered = sorted({int(number) for item in items for number in item["classes"].split()})
    return {
        "choice": _choice(found, titles),
        "images": items,
        "legend": legend,
        "colors": {entry["name"]: entry["color"] for entry in found["classes"]},
        "has_none": "" in shown,
        "with_truth": bool(ranked),
        "with_maps": any(image["maps"] for image in found["images"]),
        "error_legend": [
            {"name": name, "color": "#{:02x}{:02x}{:02x}".format(*ERROR_COLORS[value])}
            for name, value in (("right", RIGHT), ("wrong class", WRONG), ("no answer", NO_ANSWER))
        ],
        "sort_keys": [{**key, "pressed": chosen[key["first"]] == key["name"]} for key in sort_keys],
        "filter": [{"index": number, "name": found["classes"][number]["name"]} for number in filtered],
    }


def _choice(found: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Say which images are shown and why these."""
    count, of, split = len(found["images"]), found["of"], found["split"]
    if found["ranked_by"]:
        how = f"evenly spaced by rank of the {titles[found['ranked_by']]}'s mIoU, the worst and the best among them"
        rest = " mIoU is the image's own here, over the classes of its ground truth."
    else:
        how, rest = "evenly spaced by name", " This split is not compared with ground truth."
    which = f"All {of} images of the split {split}."
    if count < of:
        which = f"{count} of the {of} images of the split {split}, {how}."
    made = " The run writes no pseudo-masks of this split; those shown were made for the page, of predicted classes."
    return which + rest + made * (not found["pseudo_masks_written"])


def _item(
    folder: Path, image: Mapping[str, Any], titles: Mapping[str, str], index: Mapping[str, int]
) -> dict[str, Any]:
    key, scores = image["key"], image["scores"]
    place = file_for(folder, key)
    panels: list[dict[str, Any]] = []

    def add(file: str, caption: str, told: str, *, indexed: bool = False, shows_map: bool = False) -> None:
        size = {"width": image["width"], "height": image["height"]}
        kind = {"indexed": indexed, "map": shows_map}
        panels.append({"data": _data(place / file), "alt": f"{key}: {told}", "caption": caption, **kind, **size})

    add("image.webp", "image", "the image")
    for name, shares in image["classes"].items():
        known, title = scores.get(name), titles[name]
        told = f"; mIoU {_share(known['miou'])}" if known else ""
        add(f"{name}.png", title, f"{title}, {_classes(shares)}{told}", indexed=True)
        if known:
            right = f"{_share(known['pixel_accuracy'])} of pixels right"
            add(f"{name}.errors.png", f"{title} errors", f"errors of the {title}, {right}", indexed=True)
    for number, shown in enumerate(image["maps"]):
        caption = f"{shown['class']} {shown['probability']:.2f}"
        told = f"class map of {shown['class']}, probability {shown['probability']:.2f}"
        add(f"map{number}.webp", caption, told, shows_map=True)
    classes = image["classes"].get("truth") or {name: 1 for shares in image["classes"].values() for name in shares}
    return {
        "key": key,
        "panels": panels,
        "scores": [f"{titles[kind]}: mIoU {_share(found['miou'])}" for kind, found in scores.items()],
        "classes": " ".join(str(index[name]) for name in classes if name),
        "left_out": image["maps_left_out"],
        **{kind: _number(scores.get(kind)) for kind in ("pseudo_masks", "segmentation")},
    }


def _number(scores: Mapping[str, float | None] | None) -> str:
    return "" if scores is None or scores["miou"] is None else f"{scores['miou']:.6f}"


def _share(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"


def _classes(shares: Mapping[str, float]) -> str:
    listed = [f"{name or 'no class'} {share * 100:.0f} %" for name, share in list(shares.items())[:NAMED]]
    more = len(shares) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")


def _data(path: Path) -> str:
    """Return a picture as a data address; DataError if the file is missing."""
    try:
        content = path.read_bytes()
    except OSError as error:
        fix = "run the stage again: --stages evaluation --overwrite"
        raise DataError("missing", where=str(path), fix=fix) from error
    return f"data:image/{path.suffix[1:]};base64,{base64.b64encode(content).decode()}"
