"""JSON files that this toolkit wrote, read as other people's are: a disk or a hand may have changed them since."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wsss_toolkit.errors import DataError

LARGEST_STATE = 2**29
"""Bytes of the largest JSON file of ours that is read: the inputs of some million files."""


def read_state(path: Path, shape: Any, fix: str) -> Any:
    """Read a JSON file that this toolkit wrote, with the care that other people's files get.

    Args:
        path: The file.
        shape: What it must hold: a type that pydantic knows.
        fix: What to do where it is missing or damaged.

    Returns:
        The value, as the shape's type.

    Raises:
        DataError: If the file is missing, cut short, too large, no JSON in UTF-8, or holds something else.

    >>> _ = Path("run.json").write_text('{"name": 3}')
    >>> read_state(Path("run.json"), dict[str, str], "run it again")
    Traceback (most recent call last):
    wsss_toolkit.errors.DataError: run.json: is damaged (name: Input should be a valid string); run it again
    """
    try:
        if not path.is_file():
            raise DataError("is no file" if path.exists() else "is missing", where=str(path), fix=fix)
        if (size := path.stat().st_size) > LARGEST_STATE:
            raise ValueError(f"it has {size} bytes")
        text = path.read_bytes().decode("utf-8-sig")
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if "\\u" in text:  # halves of a character, which cannot be printed or written
            json.dumps(value, ensure_ascii=False).encode()
        return _reader(shape).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
    except UnicodeError:
        reason = "it is no text in UTF-8"
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=str(path), fix=fix) from error
    except (ValueError, RecursionError) as error:
        reason = "it is empty" if not path.stat().st_size else " ".join(str(error).split())
    raise DataError(f"is damaged ({reason})", where=str(path), fix=fix)


@cache
def _reader(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value
