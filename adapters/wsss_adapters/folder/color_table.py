"""What the values or colours of masks stand for, where an export says it: CVAT, CamVid's kin, Roboflow."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from wsss_toolkit.domain.table import decode, normal_form, read_content, read_table
from wsss_toolkit.errors import DataError

Codes = Mapping[int | str, str]
"""The class of each value, or of each colour ``#rrggbb``."""

LABELMAP = "labelmap.txt"
CLASS_DICT = "class_dict.csv"
VALUES = "_classes.csv"
TABLES = (LABELMAP, CLASS_DICT, VALUES)


def find_color_table(places: Sequence[Path]) -> tuple[Path, Codes] | None:
    """Return the table of colours or values that lies in one of some folders; None without one.

    CVAT's ``labelmap.txt`` has ``name:red,green,blue::``, ``class_dict.csv`` the columns name, r, g, b, and Roboflow's
    ``_classes.csv`` of masks ``Pixel Value, Class``.

    Raises:
        DataError: If one of the first two cannot be read.
    """
    for place in dict.fromkeys(places):
        if (path := place / LABELMAP).is_file():
            return path, _labelmap(path)
        if (path := place / CLASS_DICT).is_file():
            return path, _class_dict(path)
        if (path := place / VALUES).is_file() and (values := _values(path)):
            return path, values
    return None


def _labelmap(path: Path) -> Codes:
    found: dict[int | str, str] = {}
    for number, line in enumerate(decode(read_content(path, "masks"), path, "save it as UTF-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([^:]+):(\d{1,3}),(\d{1,3}),(\d{1,3})(:.*)?", line.strip())
        if match is None:
            raise DataError("expected name:red,green,blue::", where=f"{path}:{number}", fix="export it again")
        _add(found, match[1], match.group(2, 3, 4), f"{path}:{number}")
    return found


def _class_dict(path: Path) -> Codes:
    found: dict[int | str, str] = {}
    table = read_table(path, key="masks")
    places = [table.find(names) for names in (("name", "class"), ("r", "red"), ("g", "green"), ("b", "blue"))]
    if any(place is None for place in places):
        raise DataError("expected the columns name, r, g, b", where=table.where, fix="correct it, or move it away")
    for row in table.rows:
        name, *color = (row.cells[place or 0] for place in places)
        _add(found, name, color, row.where)
    return found


def _add(found: dict[int | str, str], name: str, color: Sequence[str], where: str) -> None:
    values = [int(value) if value.isdigit() else 256 for value in color]
    if max(values) > 255:
        raise DataError(f"{', '.join(color)} is no colour", where=where, fix="colours are three numbers, 0 to 255")
    key = "#{:02x}{:02x}{:02x}".format(*values)
    if key in found:
        raise DataError(f"{key} is {found[key]!r} and {name!r}", where=where, fix="give each class a colour of its own")
    found[key] = normal_form(name.strip())


def _values(path: Path) -> Codes:
    table = read_table(path, key="masks")
    value, name = table.find(("pixelvalue",)), table.find(("class", "name"))
    if value is None or name is None:
        return {}
    rows = [(row.cells[value], row.cells[name]) for row in table.rows if len(row.cells) > max(value, name)]
    return {int(number): normal_form(text) for number, text in rows if number.isdigit() and int(number) < 256}
