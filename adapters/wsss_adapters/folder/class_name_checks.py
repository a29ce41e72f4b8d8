"""Which names classes may have, how many there may be, and what is one class written in two ways."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from wsss_toolkit.domain import IGNORE_INDEX, is_one_line
from wsss_toolkit.domain.tags import Tags
from wsss_toolkit.errors import DataError

NEGATIVE = frozenset({"background", "empty", "negative", "negatives", "none", "nothing", "normal"})
"""Names that are probably no class: pictures that are called so show none."""


def flaw(name: str) -> str:
    """Return why a name cannot be that of a class, or ""."""
    if not is_one_line(name):
        return "holds a control character or a line break"
    if name != name.strip():
        return "begins or ends with a blank"
    return "holds `;`, which separates classes" if ";" in name else ""


def refuse_too_many(number: int, where: str) -> None:
    """Refuse more classes than an 8-bit mask has values for.

    Raises:
        DataError: If there are more.
    """
    if number > IGNORE_INDEX:
        raise DataError(
            f"{number} classes, counting the background where there is one; masks hold 1 to {IGNORE_INDEX}",
            where=where,
            fix="merge classes, or move rare ones away",
        )


def distinct_names(written: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """Return the names of classes, sorted, each once.

    Args:
        written: Each name as it is written, the place for the error, and the place in short.

    Raises:
        DataError: If a name cannot be that of a class, or two differ in case only, which is one class written in two
            ways.
    """
    seen: dict[str, tuple[str, str]] = {}
    for name, where, short in written:
        wrong = flaw(name)
        if wrong:
            raise DataError(f"class {name!r} {wrong}", where=where, fix=f"call it {_mended(name)!r}, for example")
        other, first = seen.setdefault(name.casefold(), (name, short))
        if other != name:
            raise DataError(f"class {name!r} is written {other!r} in {first}", where=where, fix="write it in one way")
    return tuple(sorted(name for name, _ in seen.values()))


def distinct_tags(rows: Sequence[Tags], path: Path) -> tuple[str, ...]:
    """Return the names of the classes in a table of tags, sorted.

    Raises:
        DataError: If there is none, a name cannot be that of a class, or two names differ in case only.
    """
    if not rows:
        raise DataError(
            "names no class: no row follows the header",
            where=f"{path}:1",
            fix="add one for each picture, such as a.jpg,cat",
        )
    names = distinct_names(
        (name, row.where, f"line {row.where.rpartition(':')[2]}") for row in rows for name in row.classes
    )
    if not names:
        others = f", nor do the other {len(rows) - 1}" if len(rows) > 1 else ""
        raise DataError(
            f"the row names no class{others}",
            where=rows[0].where,
            fix="write what each picture shows into the column of the classes, separated by ; or |",
        )
    return names


def _mended(name: str) -> str:
    plain = "".join(letter if is_one_line(letter) else " " for letter in name)
    return plain.replace(";", "-").strip(" -") or "other"
