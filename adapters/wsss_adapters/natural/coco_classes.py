"""The 80 kinds of objects of MS COCO with their sparse category ids, and class tables of files in COCO's format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from wsss_adapters.natural.images import bit_palette
from wsss_toolkit.domain import IGNORE_INDEX, ClassTable, is_one_line
from wsss_toolkit.errors import DataError

BACKGROUND: Final = "background"

COCO: Final[Mapping[int, str]] = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe",
    27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove", 41: "skateboard",
    42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife",
    50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot",
    58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book",
    85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip
"""Name of each category id."""


def class_table(categories: Mapping[int, str]) -> ClassTable:
    """Return background as 0 and the categories from 1 on, in the order of their ids."""
    names = (BACKGROUND, *(categories[number] for number in sorted(categories)))
    return ClassTable(names, bit_palette(len(names)), background=0)


def class_indices(categories: Mapping[int, str]) -> dict[int, int]:
    """Return the class index, from 1 on, of every category id."""
    return {number: index for index, number in enumerate(sorted(categories), start=1)}


def read_categories(entries: Any, path: Path) -> dict[int, str]:
    """Return name by id of the `categories` of an annotation file.

    Raises:
        DataError: If there are none or more than 254, ids or names repeat, or an entry is malformed.
    """
    categories: dict[int, str] = {}
    for entry in entries if isinstance(entries, list) else ():
        number, name = (entry.get("id"), entry.get("name")) if isinstance(entry, dict) else (None, None)
        if type(number) is not int or not isinstance(name, str) or not name.strip():
            raise DataError(f"category {entry!r} has no whole id or no name", where=str(path), fix="correct the file")
        if not is_one_line(name):
            what = f"category {name!r} holds a control character or a line break"
            raise DataError(what, where=str(path), fix="rename it")
        if number in categories:
            raise DataError(f"category id {number} is given twice", where=str(path), fix="correct the file")
        if name in categories.values() or name == BACKGROUND:
            raise DataError(f"category {name!r} is given twice or means background", where=str(path), fix="rename it")
        categories[number] = name
    if not 0 < len(categories) < IGNORE_INDEX:
        what = f"lists {len(categories)} categories; masks hold 1 to {IGNORE_INDEX - 1} beside background"
        fix = "take a file in COCO's format whose `categories` are filled, or leave some out"
        raise DataError(what, where=str(path), fix=fix)
    return categories


def check_is_coco(categories: Mapping[int, str], path: Path) -> None:
    """Raise a DataError where an id means something else than COCO's; a file may lack some."""
    for number, name in categories.items():
        if COCO.get(number) != name:
            what = f"category {number} is {name!r}, which is not COCO's {COCO.get(number, 'anything')!r}"
            fix = "set data.categories to file, which takes the classes from the file"
            raise DataError(what, where=str(path), fix=fix)
