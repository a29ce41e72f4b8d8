"""The pictures of report.html: a few images with their masks, drawn while masks and truth are at hand.

The evaluation stage writes them, so that the page can be built again from the run's folder, without reading ground
truth a second time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable
from wsss_toolkit.files import file_for, read_state, write_json
from wsss_toolkit.report.score_files import SCORE_AGAIN, ImageScore, damaged

GALLERY_FILE = "gallery.json"
SIDE, MAP_SIDE = 448, 224
"""Longest side of pictures and masks, and of class maps, in pixels; smaller ones keep their size."""

RIGHT, WRONG, NO_ANSWER = 0, 1, 2
"""Values of an error map; 255 where the truth is no class."""

ERROR_COLORS = {RIGHT: (222, 226, 230), WRONG: (213, 94, 0), NO_ANSWER: (0, 114, 178)}

Masks = Literal["pseudo_masks", "segmentation"]


@dataclass(frozen=True, slots=True)
class ShownMap:
    """Where the classifier sees a class."""

    name: str
    probability: float
    """That the image shows it, by the classifier."""
    values: NDArray[np.float32]
    """`h w`, not negative, of any scale."""


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """One image of the gallery."""

    key: str
    picture: NDArray[np.uint8]
    """uint8 `h w 3`."""
    truth: NDArray[np.uint8] | None
    """Ground truth uint8 `h w`, or None."""
    masks: Mapping[Masks, NDArray[np.uint8]]
    """By kind, uint8 `h w` of class indices and 255."""
    maps: Sequence[ShownMap]
    """Class maps, the most probable class first."""
    maps_left_out: int
    """Active classes whose maps are not shown, because they are too many."""
    scores: Mapping[Masks, ImageScore]
    """By kind of mask, where there is truth."""


def choose_by_score(scores: Iterable[ImageScore], count: int) -> list[str]:
    """Choose images evenly by rank, the worst and the best among them.

    Images without a score come into question only where no image has one. Ties are ordered by key. At most `count` keys
    are returned, the worst first.
    """
    listed = list(scores)
    scored = [(score.miou, score.key) for score in listed if score.miou is not None]
    return choose_evenly([key for _, key in sorted(scored)] or sorted(score.key for score in listed), count)


def choose_evenly(keys: Sequence[str], count: int) -> list[str]:
    """Choose `count` keys at even distances, the first and the last among them; all where there are fewer."""
    places = np.linspace(0, max(0, len(keys) - 1), min(count, len(keys))).round().astype(int)
    return [keys[place] for place in places]


def write_gallery(folder: Path, images: Iterable[GalleryImage], classes: ClassTable, about: Mapping[str, Any]) -> None:
    """Draw images into a folder, with ``gallery.json`` that says what is in it.

    Images are drawn as they come, so that only one is in memory. `about` is stored as it is: which split, and how
    images were chosen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [_draw(folder, image, classes) for image in images]
    colors = ["#{:02x}{:02x}{:02x}".format(*color) for color in classes.colors]
    table = [{"name": name, "color": color} for name, color in zip(classes.names, colors, strict=True)]
    value = {**about, "classes": table, "background": classes.background, "images": drawn}
    write_json(folder / GALLERY_FILE, value)


def read_gallery(folder: Path) -> dict[str, Any]:
    """Read ``gallery.json``; DataError if it is missing or damaged."""
    value: dict[str, Any] = read_state(folder / GALLERY_FILE, dict[str, Any], SCORE_AGAIN)
    if not isinstance(value.get("images"), list):
        raise damaged(folder / GALLERY_FILE)
    return value


def error_map(mask: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `RIGHT`, `WRONG`, `NO_ANSWER` where the mask is 255, and 255 where the truth is: uint8 `h w`."""
    errors = np.where(mask == truth, RIGHT, np.where(mask == IGNORE_INDEX, NO_ANSWER, WRONG)).astype(np.uint8)
    errors[truth == IGNORE_INDEX] = IGNORE_INDEX
    return errors


def _draw(folder: Path, image: GalleryImage, classes: ClassTable) -> dict[str, Any]:
    place = file_for(folder, image.key)
    place.mkdir(exist_ok=True)
    colors = dict(enumerate(classes.colors))
    _reduced(Image.fromarray(image.picture), SIDE, Image.Resampling.LANCZOS).save(place / "image.webp", quality=82)
    named: dict[str, NDArray[np.uint8]] = {} if image.truth is None else {"truth": image.truth}
    named |= {str(kind): drawn for kind, drawn in image.masks.items()}
    for name, mask in named.items():
        _save_indexed(place / f"{name}.png", mask, colors)
    if image.truth is not None:
        for name, mask in image.masks.items():
            _save_indexed(place / f"{name}.errors.png", error_map(mask, image.truth), ERROR_COLORS)
    for number, shown in enumerate(image.maps):
        _save_map(place / f"map{number}.webp", shown.values)
    return {
        "key": image.key,
        "height": image.picture.shape[0],
        "width": image.picture.shape[1],
        "classes": {name: _shares(mask, classes) for name, mask in named.items()},
        "scores": {
            name: {"miou": score.miou, "pixel_accuracy": score.pixel_accuracy} for name, score in image.scores.items()
        },
        "maps": [{"class": shown.name, "probability": round(shown.probability, 4)} for shown in image.maps],
        "maps_left_out": image.maps_left_out,
    }


def _shares(mask: NDArray[np.uint8], classes: ClassTable) -> dict[str, float]:
    """Return the share of the pixels of each class that occurs, the largest first; 255 as an empty name."""
    counts = np.bincount(mask.ravel(), minlength=IGNORE_INDEX + 1)
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda value: (-counts[value], value))
    return {
        "" if value == IGNORE_INDEX else classes.names[value]: round(float(counts[value] / mask.size), 4)
        for value in order
    }


def _reduced(picture: Image.Image, side: int, how: Image.Resampling) -> Image.Image:
    """Return a picture whose longer side is at most `side`."""
    factor = side / max(picture.size)
    if factor >= 1:
        return picture
    return picture.resize((max(1, round(picture.width * factor)), max(1, round(picture.height * factor))), how)


def _save_indexed(path: Path, mask: NDArray[np.uint8], colors: Mapping[int, tuple[int, int, int]]) -> None:
    """Write a mask as a palette PNG in which 255 is transparent: no colour is left that no class could have."""
    # Indices close up, because a palette of few colours makes a file with fewer bits for each pixel.
    values, closed = np.unique(mask, return_inverse=True)
    picture = Image.fromarray(closed.reshape(mask.shape).astype(np.uint8))
    picture.putpalette([part for value in values.tolist() for part in colors.get(value, (128, 128, 128))])
    clear: dict[str, Any] = {"transparency": len(values) - 1} if values[-1] == IGNORE_INDEX else {}
    _reduced(picture, SIDE, Image.Resampling.NEAREST).save(path, optimize=True, **clear)


def _save_map(path: Path, values: NDArray[np.float32]) -> None:
    import matplotlib as mpl

    from wsss_toolkit.report.figures import MAP_COLORS

    scaled = values / max(float(values.max()), 1e-12)
    reduced = _reduced(Image.fromarray(scaled.astype(np.float32)), MAP_SIDE, Image.Resampling.BILINEAR)
    colored = mpl.colormaps[MAP_COLORS](np.clip(np.asarray(reduced), 0, 1), bytes=True)
    Image.fromarray(np.ascontiguousarray(colored[..., :3])).save(path, quality=80)
