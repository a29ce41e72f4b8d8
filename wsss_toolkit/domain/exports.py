"""Tags as annotation programs export them: JSON in several shapes, CVAT's XML, YOLO's folder of text files."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import yaml

from wsss_toolkit.domain.cells import checked, names_of
from wsss_toolkit.domain.table import CLASS_COLUMNS, IMAGE_COLUMNS, decode, normal_form, read_content
from wsss_toolkit.errors import DataError

Row = tuple[str, tuple[str, ...], str]
"""An image's name, the classes that it shows, and the place for messages."""

CONVERT: Final = (
    "where you trust the file, write image,classes into a CSV with numpy.load(FILE, allow_pickle=True).item(), which "
    "gives a row of 0 and 1 by image"
)
SHAPES: Final = "expected an object {image: [class, ...]}"


def read_export(path: Path, key: str, known: Collection[str]) -> Iterator[Row]:
    """Read one of the exports; `key` is the recipe's key that names the file, `known` are the recipe's classes.

    - JSON `{image: [class, ...]}`, a list of objects with an image and its classes, or such an object a line (`.jsonl`)
    - Label Studio's JSON, whole or short (`JSON-MIN`); tasks without an annotation are left out
    - COCO's JSON, where an image shows the categories of its annotations
    - CVAT's XML for images, where an image shows its tags and the labels of its shapes
    - a folder of YOLO's text files, whose classes are named by `data.yaml`, `classes.txt` or `obj.names` in or above it

    Raises:
        DataError: If the file cannot be read or is none of these.
    """
    if path.is_dir():
        return _yolo(path, known)
    content = read_content(path, key)
    if path.suffix.lower() == ".npy":
        kind = "pickled Python objects, which could run anything" if b"|O" in content[:200] else "no names of images"
        fix = (
            CONVERT if kind.startswith("pickled") else "write it as CSV: image, and a column of 0 and 1 for each class"
        )
        raise DataError(f"holds {kind}, and is not read", where=str(path), fix=fix)
    text = decode(content, path, "save it as UTF-8")
    if path.suffix.lower() == ".xml":
        return _cvat(text, path, known)
    if path.suffix.lower() == ".jsonl":
        lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        return _records([(f"{path}:{number}", _parsed(line, path, dict, number)) for number, line in lines], known)
    return _from_json(text, path, known)


def _parsed(text: str, path: Path, pairs: Callable[[list[tuple[str, Any]]], Any], line: int = 1) -> Any:
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        where = f"{path}:{line + error.lineno - 1}:{error.colno}"
        raise DataError(f"malformed JSON: {error.msg}", where=where) from None
    except (RecursionError, ValueError):
        raise DataError("malformed JSON: nested too deep, or a number too long", where=str(path)) from None


class _Pairs(dict[str, Any]):
    """An object of JSON that keeps keys which stand there twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _from_json(text: str, path: Path, known: Collection[str]) -> Iterator[Row]:
    content = _parsed(text, path, _Pairs)
    if isinstance(content, list) and content and all(isinstance(entry, dict) for entry in content):
        if all("data" in entry and ("annotations" in entry or "completions" in entry) for entry in content):
            yield from _label_studio(content, path, known)
        else:
            yield from _records([(f"{path}: entry {place}", entry) for place, entry in enumerate(content)], known)
        return
    if not isinstance(content, _Pairs):
        raise DataError(SHAPES, where=str(path))
    if {"images", "annotations", "categories"} <= content.keys():
        yield from _coco(content, path, known)
        return
    for image, names in content.pairs:
        where = f"{path}: image {image!r}"
        if not isinstance(names, list | dict):
            raise DataError("expected a list of class names", where=where)
        yield image, names_of(names, known, where), where


def _records(entries: list[tuple[str, Any]], known: Collection[str]) -> Iterator[Row]:
    """Read objects with an image and its classes, such as Label Studio's JSON-MIN and Hugging Face's metadata."""
    for where, entry in entries:
        keys = {key.casefold(): key for key in entry} if isinstance(entry, dict) else {}
        image = next((entry[keys[name]] for name in IMAGE_COLUMNS if name in keys), None)
        names = next((keys[name] for name in CLASS_COLUMNS if name in keys), None)
        if not isinstance(image, str) or names is None:
            raise DataError("expected an object with image and classes", where=where, fix=SHAPES)
        yield image, names_of(entry[names], known, where), where


def _label_studio(tasks: list[dict[str, Any]], path: Path, known: Collection[str]) -> Iterator[Row]:
    """Read tasks with annotations; those of several people must agree."""
    for place, task in enumerate(tasks):
        where = f"{path}: task {task.get('id', place)}"
        data, made = task["data"], task.get("annotations") or task.get("completions")
        image = next(
            (data[name] for name in ("image", *IMAGE_COLUMNS) if isinstance(data, dict) and name in data), None
        )
        if image is None and isinstance(data, dict):
            image = next((text for text in data.values() if isinstance(text, str)), None)
        if not isinstance(image, str):
            raise DataError("names no image", where=where, fix="export the project again")
        found: set[tuple[str, ...]] = set()
        for annotation in made if isinstance(made, list) else ():
            if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
                continue
            result = annotation.get("result")
            values = [
                part.get("value") for part in (result if isinstance(result, list) else ()) if isinstance(part, dict)
            ]
            named = [value for value in values if isinstance(value, dict) and _names_classes(value)]
            found.add(tuple(sorted({name for value in named for name in names_of(value, known, where)})))
        if len(found) > 1:
            shown = " and ".join(", ".join(names) or "none" for names in sorted(found)[:2])
            raise DataError(f"people disagree: {shown}", where=where, fix="keep one annotation of each picture")
        if found:
            yield image, found.pop(), where


def _names_classes(value: Mapping[str, Any]) -> bool:
    return "choices" in value or any(key.endswith("labels") for key in value)


def _coco(content: Mapping[str, Any], path: Path, known: Collection[str]) -> Iterator[Row]:
    try:
        names = {entry["id"]: normal_form(str(entry["name"])) for entry in content["categories"]}
        images = {entry["id"]: str(entry["file_name"]) for entry in content["images"]}
        shown: dict[Any, dict[str, None]] = {image: {} for image in images}
        for entry in content["annotations"]:
            shown[entry["image_id"]][names[entry["category_id"]]] = None
    except (KeyError, TypeError) as error:
        what = f"is no COCO file: {error} is missing, or is known to no image or category"
        raise DataError(what, where=str(path), fix="export it again") from None
    for image, file in images.items():
        where = f"{path}: image {file!r}"
        yield file, checked(shown[image], known, where), where


def _cvat(text: str, path: Path, known: Collection[str]) -> Iterator[Row]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(
            "has a DOCTYPE, whose entities can be made to fill the memory", where=str(path), fix="remove it"
        )
    try:
        root = ElementTree.fromstring(text)  # without a DOCTYPE there are no entities
    except ElementTree.ParseError as error:
        raise DataError(f"malformed XML: {error}", where=str(path), fix="export it again") from None
    images = root.findall("image")
    if not images:
        fix = "export as `CVAT for images`; Pascal VOC's XML is read by the adapter voc"
        raise DataError(f"holds no <image> (its root is <{root.tag}>)", where=str(path), fix=fix)
    for image in images:
        name = image.get("name", "")
        where = f"{path}: image {name!r}"
        labels = [normal_form(label) for part in image if (label := part.get("label"))]
        yield name, checked(dict.fromkeys(labels), known, where), where


def _yolo(folder: Path, known: Collection[str]) -> Iterator[Row]:
    """Read a text file for each image, one object a line, which begins with the number of its class."""
    files = sorted(path for path in folder.rglob("*.txt") if path.name not in ("classes.txt", "train.txt", "val.txt"))
    names = _yolo_names(folder)
    stems = [path.stem for path in files]
    if not files:
        raise DataError("holds no .txt file", where=str(folder), fix="a folder of tags holds YOLO's labels")
    for path in files:
        # The folder tells apart what has one name in several splits.
        parts = [part for part in path.relative_to(folder).with_suffix("").parts if part != "labels"]
        shown: dict[str, None] = {}
        for number, line in enumerate(decode(path.read_bytes(), path, "save it as UTF-8").splitlines(), start=1):
            first = line.split()[:1]
            if first and (not re.fullmatch(r"\d{1,6}", first[0]) or int(first[0]) not in names):
                fix = "lines begin with the number of a class in data.yaml or classes.txt"
                raise DataError(f"{first[0]!r} is the number of no class", where=f"{path}:{number}", fix=fix)
            shown |= {names[int(word)]: None for word in first}
        image = path.stem if stems.count(path.stem) == 1 else "/".join(parts)
        yield image, checked(shown, known, str(path)), str(path)


def _yolo_names(folder: Path) -> dict[int, str]:
    """Return the names of classes by number."""
    for place in (folder, *folder.absolute().parents[:2]):
        for name in ("data.yaml", "data.yml", "classes.txt", "obj.names"):
            path = place / name
            if not path.is_file():
                continue
            text = decode(path.read_bytes(), path, "save it as UTF-8")
            if path.suffix in (".yaml", ".yml"):
                try:
                    found = yaml.safe_load(text)
                except (yaml.YAMLError, RecursionError, ValueError):
                    raise DataError("is no readable YAML", where=str(path), fix="export it again") from None
                listed = found.get("names") if isinstance(found, dict) else None
                pairs = (
                    listed.items()
                    if isinstance(listed, dict)
                    else enumerate(listed if isinstance(listed, list) else ())
                )
                return {int(number): str(name) for number, name in pairs if str(number).isdigit()}
            return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    fix = "put data.yaml or classes.txt beside it, as YOLO's exports have it"
    raise DataError("nothing names the classes of YOLO's numbers", where=str(folder), fix=fix)
