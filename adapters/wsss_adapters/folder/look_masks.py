"""What the values of a folder's masks probably stand for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wsss_adapters.folder.class_names import flaw, refuse_too_many
from wsss_adapters.folder.color_table import Codes
from wsss_adapters.folder.mask_reader import spread
from wsss_adapters.pictures.mask_colors import packed, read_colors, refuse_differing_palettes, refuse_other_colors
from wsss_adapters.pictures.masks import read_codes
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.domain.table import normal_form, plain
from wsss_toolkit.errors import DataError

VOID = frozenset({"void", "ignore", "ignored", "unlabeled", "unlabelled", "dontcare"})
"""What tables of colours call pixels that are not labelled, as `plain` writes it."""

MOST = 100
"""Values beyond which a picture is no mask."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Classes and what the masks' values stand for."""

    classes: tuple[str, ...]
    """Names in the order of mask values."""
    background: str | None = None
    """The class for what is none of the others, or None."""
    codes: dict[int | str, str] = field(default_factory=dict)
    """Class of each value or colour; empty where values are places in `classes`."""
    ignore: tuple[int | str, ...] = ()
    comments: dict[str, str] = field(default_factory=dict)
    """Remarks on keys of the `data` section."""
    found: tuple[str, ...] = ()
    """Sentences for the user."""


def read_names(path: Path) -> tuple[str, ...]:
    """Read a list of class names, one a line.

    Raises:
        DataError: If it cannot be read, is empty, a name repeats or cannot be that of a class, or names are too many.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fix = "write one class name a line, in UTF-8"
        raise DataError(f"cannot be read ({error})", where=str(path), fix=fix) from error
    # labelme's labels.txt begins with __ignore__, which stands for -1.
    names = tuple(normal_form(line.strip()) for line in lines if line.strip() and line.strip() != "__ignore__")
    for number, line in enumerate(lines, start=1):
        if wrong := flaw(normal_form(line.strip())):
            raise DataError(f"class {line.strip()!r} {wrong}", where=f"{path}:{number}", fix="correct the list")
    refuse_too_many(len(names), str(path))
    twice = next((name for name in names if names.count(name) > 1), None)
    if not names or twice:
        fix = "correct the list"
        raise DataError(f"names {twice!r} twice" if twice else "names no class", where=str(path), fix=fix)
    return names


def mask_values(masks: Sequence[Path]) -> tuple[int, ...]:
    """Return the values of masks, of `SAMPLE` at most, sorted.

    Raises:
        DataError: If one cannot be read, or values are too many for a mask.
    """
    found: set[int] = set()
    refuse_differing_palettes(spread(masks))
    for mask in spread(masks):
        found |= set(np.unique(read_codes(mask)).tolist())
        if len(found) > MOST or min(found) < 0 or max(found) > IGNORE_INDEX:
            what = f"holds values up to {max(found)}, {len(found)} so far: a picture, not a mask of classes"
            raise DataError(what, where=str(mask), fix="masks hold the number of a class in each pixel")
    return tuple(sorted(found))


def from_table(path: Path, codes: Codes, masks: Sequence[Path]) -> Meaning:
    """Match masks with the table of colours or values that an export has beside them.

    Raises:
        DataError: If a mask cannot be read, or holds a colour or value that the table lacks.
    """
    colors = any(isinstance(code, str) for code in codes)
    known = {packed(code) if isinstance(code, str) else code for code in codes}
    for mask in spread(masks):
        if colors:
            refuse_other_colors(read_colors(mask), known, mask, path.name, "add them there; void is left out")
        elif other := sorted(set(np.unique(read_codes(mask)).tolist()) - known - {IGNORE_INDEX}):
            raise DataError(f"holds {other[0]}, which {path.name} does not name", where=str(mask), fix="add it there")
    void = tuple(code for code, name in codes.items() if plain(name) in VOID)
    named = {code: name for code, name in codes.items() if code not in void}
    names = tuple(dict.fromkeys(named.values()))
    background = next((name for name in names if name.casefold().strip("_") == "background"), None)
    left_out = {"ignore": ", ".join(dict.fromkeys(codes[code] for code in void))} if void else {}
    return Meaning(names, background, named, void, {"codes": f"as {path.name} says", **left_out})


def with_names(names: tuple[str, ...], background: str | None, values: tuple[int, ...], where: Path) -> Meaning:
    """Match values with classes whose names are known, in the order of mask values, the background first if any.

    Raises:
        DataError: If there are more values than classes.
    """
    drawn = [value for value in values if value != IGNORE_INDEX]
    if background is not None and len(names) == 2 and set(values) == {0, IGNORE_INDEX}:
        codes: dict[int | str, str] = {0: background, IGNORE_INDEX: next(name for name in names if name != background)}
        return Meaning(names, background, codes, comments={"codes": "masks are black and white"})
    extra = [value for value in drawn if value >= len(names)]
    if len(extra) > 1:
        what = f"masks hold the values {_listed(drawn)}, but there are {len(names)} classes: {', '.join(names)}"
        fix = f"list all classes in classes.txt, one a line in the order of mask values from {min(drawn)}"
        raise DataError(what, where=str(where), fix=fix)
    comments = {"ignore": "the value after the last class: void?"} if extra else {}
    if values:
        comments["classes"] = "in the order of mask values from 0: check it"
    return Meaning(names, background, ignore=tuple(extra), comments=comments)


def without_names(values: tuple[int, ...], where: Path) -> Meaning:
    """Name classes after the masks' values.

    Raises:
        DataError: If masks hold one value only.
    """
    drawn = tuple(value for value in values if value != IGNORE_INDEX)
    if len(values) == 2 and values[0] == 0 and (drawn == (0,) or drawn == (0, 1)):
        codes: dict[int | str, str] = {0: "background", values[1]: "object"}
        comments = {"codes": "masks are black and white", "classes": "rename object"}
        return Meaning(("background", "object"), "background", codes, comments=comments)
    if len(drawn) < 2:
        fix = "two classes are the least"
        raise DataError(f"all masks hold the value {_listed(values)} alone", where=str(where), fix=fix)
    names = tuple(f"class {value}" for value in drawn)
    codes = {} if drawn == tuple(range(len(drawn))) else dict(zip(drawn, names, strict=True))
    void = f" ({IGNORE_INDEX} counts as not labelled; if it is a class, name it in codes)" * (IGNORE_INDEX in values)
    said = f"the masks hold the values {_listed(values)}{void}; rename their classes in the recipe"
    comment = "rename them; background: class 0 if that is none of the others; a void value goes into ignore, not here"
    return Meaning(names, None, codes, comments={"classes": comment}, found=(said,))


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")
