"""The 150 classes of the scene parsing challenge on ADE20K, in the order of its mask values 1..150."""

from pathlib import Path
from typing import Final

from wsss_adapters.natural.images import bit_palette
from wsss_toolkit.domain import ClassTable
from wsss_toolkit.errors import DataError

LIST: Final = "objectInfo150.txt"
"""The data set's own list: one class a line, its first column the mask value, its last the class's synonyms."""

NAMES: Final = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet",
    "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water",
    "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk",
    "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard",
    "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path",
    "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase",
    "blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus", "towel", "light",
    "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television", "airplane", "dirt track",
    "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van",
    "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool", "barrel",
    "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank", "trade name",
    "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce",
    "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor", "bulletin board",
    "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip
"""The first synonym of each."""

CLASSES: Final = ClassTable(NAMES, bit_palette(151)[1:])
"""Mask value v of the files is class v - 1; colours are VOC's, which differ for all."""


def check_class_list(path: Path) -> None:
    """Raise a DataError where the data set's own list, if there, has other classes: mask values then mean those."""
    if not path.is_file():
        return
    other = "this is another release than ADEChallengeData2016, whose masks mean other classes; download that one"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read as text ({error})", where=str(path), fix="unpack it again") from error
    found = {}
    for line in lines:
        columns = [column.strip() for column in line.split("\t")]
        if columns[0].isdecimal():
            found[int(columns[0])] = columns[-1].split(",")[0].strip()
    if len(found) != len(NAMES):
        raise DataError(f"lists {len(found)} classes, not {len(NAMES)}", where=str(path), fix=other)
    for number, name in enumerate(NAMES, start=1):
        if found.get(number) != name:
            raise DataError(f"calls class {number} {found.get(number)!r}, not {name!r}", where=str(path), fix=other)
