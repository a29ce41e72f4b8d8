"""Tags as annotation programs export them: JSON in several shapes, CVAT's XML, YOLO's folder of text files."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import yaml

from wsss_toolkit.domain.cells import checked, names_of
from wsss_toolkit.domain.table import CLASS_COLUMNS, IMAGE_COLUMNS, decode, normal_form, plain, read_content
from wsss_toolkit.errors import DataError

Row = tuple[str, tuple[str, ...], str, Mapping[str, str]]
"""An image's name, the classes that it shows, the place for messages, and what else is said of it, by key."""

Columns = tuple[str | None, str | None]
"""The columns, or keys, that a recipe chooses for image and classes; None looks for a usual name."""

YOLO_NAMES: Final = ("data.yaml", "data.yml", "classes.txt", "obj.names")
"""Files that name the classes of YOLO's numbers, in or above the folder of labels."""

CONVERT: Final = (
    "where you trust the file, write image,classes into a CSV with numpy.load(FILE, allow_pickle=True).item(), which "
    "gives a row of 0 and 1 by image"
)
SHAPES: Final = "expected an object {image: [class, ...]}"


def read_export(path: Path, key: str, known: Collection[str], columns: Columns = (None, None)) -> Iterator[Row]:
    """Read one of the exports; `key` is the recipe's key that names the file, `known` are the recipe's classes.

    - JSON `{image: [class, ...]}`, a list of objects with an image and its classes, or such an object a line (`.jsonl`)
    - Label Studio's JSON, whole or short (`JSON-MIN`); tasks without an annotation are left out. The `columns` are its
      keys: the question that names the classes is one
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
        parsed = [(f"{path}:{number}", _parsed(line, path, dict, number)) for number, line in lines]
        return _records(parsed, known, columns)
    return _from_json(text, path, known, columns)


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


def _from_json(text: str, path: Path, known: Collection[str], columns: Columns) -> Iterator[Row]:
    content = _parsed(text, path, _Pairs)
    if isinstance(content, list) and content and all(isinstance(entry, dict) for entry in content):
        if all("data" in entry and ("annotations" in entry or "completions" in entry) for entry in content):
            yield from _label_studio(content, path, known, columns)
        else:
            entries = [(f"{path}: entry {place}", entry) for place, entry in enumerate(content)]
            yield from _records(entries, known, columns)
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
        yield image, names_of(names, known, where), where, {}


def _records(entries: list[tuple[str, Any]], known: Collection[str], columns: Columns) -> Iterator[Row]:
    """Read objects with an image and its classes, such as Label Studio's JSON-MIN and Hugging Face's metadata."""
    keys = {plain(key): key for _, entry in entries if isinstance(entry, dict) for key in entry}
    image, names = (
        next((keys[name] for name in usual if name in keys), None) if chosen is None else chosen
        for chosen, usual in zip(columns, (IMAGE_COLUMNS, CLASS_COLUMNS), strict=True)
    )
    for where, entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get(image), str):
            raise DataError("expected an object with image and classes", where=where, fix=SHAPES)
        cells = {key: str(value) for key, value in entry.items() if isinstance(value, str | int | float)}
        if names in entry:
            yield entry[image], names_of(entry[names], known, where), where, cells
        elif "annotation_id" in entry and names in keys.values():
            # Label Studio writes no answer where nothing was chosen.
            yield entry[image], (), where, cells
        else:
            shown = ", ".join(map(repr, entry))
            fix = "the key of the classes is label or classes, or classes_column chooses it"
            raise DataError(f"names no classes, it has {shown}", where=where, fix=fix)


def _label_studio(tasks: list[dict[str, Any]], path: Path, known: Collection[str], columns: Columns) -> Iterator[Row]:
    """Read tasks with annotations; those of several people must agree."""
    for place, task in enumerate(tasks):
        where = f"{path}: task {task.get('id', place)}"
        data, made = task["data"], task.get("annotations") or task.get("completions")
        texts = {key: text for key, text in data.items() if isinstance(text, str)} if isinstance(data, dict) else {}
        usual = IMAGE_COLUMNS if columns[0] is None else columns[:1]
        image = next((texts[name] for name in usual if name in texts), next(iter(texts.values()), None))
        if image is None:
            raise DataError("names no image", where=where, fix="export the project again")
        found: set[tuple[str, ...]] = set()
        for annotation in made if isinstance(made, list) else ():
            if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
                values = _answers(annotation.get("result"), columns[1], where)
                found.add(tuple(sorted({name for value in values for name in names_of(value, known, where)})))
        if len(found) > 1:
            shown = " and ".join(", ".join(names) or "none" for names in sorted(found)[:2])
            raise DataError(f"people disagree: {shown}", where=where, fix="keep one annotation of each picture")
        if found:
            yield image, found.pop(), where, texts


def _answers(result: object, question: str | None, where: str) -> list[dict[str, Any]]:
    """Return the values of an annotation that name classes: those of one question, if there are several."""
    parts = [part for part in (result if isinstance(result, list) else ()) if isinstance(part, dict)]
    named = [part for part in parts if isinstance(part.get("value"), dict) and _names_classes(part["value"])]
    if question is not None:
        return [part["value"] for part in named if part.get("from_name") == question]
    asked = {str(part.get("from_name")) for part in named if "choices" in part["value"]}
    if len(asked) > 1:
        what = f"answers several questions: {', '.join(sorted(asked))}"
        raise DataError(what, where=where, fix="choose the one that names classes by classes_column")
    return [part["value"] for part in named]


def _names_classes(value: Mapping[str, Any]) -> bool:
    return "choices" in value or any(key.endswith("labels") for key in value)


def _coco(content: Mapping[str, Any], path: Path, known: Collection[str]) -> Iterator[Row]:
    try:
        names = {entry["id"]: normal_form(str(entry["name"])) for entry in content["categories"]}
        images = {entry["id"]: str(entry["file_name"]) for entry in content["images"]}
        shown: dict[Any, dict[str, None]] = {image: {} for image in images}
        for entry in content["annotations"]:
            for part in entry.get("segments_info", [entry]):  # a panoptic file has an entry for each image
                shown[entry["image_id"]][names[part["category_id"]]] = None
    except (KeyError, TypeError, AttributeError) as error:
        what = f"is no COCO file: {error} is missing, or is known to no image or category"
        raise DataError(what, where=str(path), fix="export it again") from None
    for key, ids in (("categories", names), ("images", images)):
        if len(ids) < len(content[key]):
            raise DataError(f"two of its {key} have one id", where=str(path), fix="export it again")
    for image, file in images.items():
        where = f"{path}: image {file!r}"
        yield file, checked(shown[image], known, where), where, {}


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
        yield name, checked(dict.fromkeys(labels), known, where), where, {}


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
            words, where = line.split(), f"{path}:{number}"
            if words and (not re.fullmatch(r"\d{1,6}", words[0]) or int(words[0]) not in names):
                fix = "lines begin with the number of a class in data.yaml or classes.txt"
                raise DataError(f"{words[0]!r} is the number of no class", where=where, fix=fix)
            if len(words) > 5 and len(words) % 2 == 0:
                what = f"has {len(words)} values: a label has its class and pairs of numbers, a prediction a confidence"
                raise DataError(
                    what, where=where, fix="use the labels, or leave out the last column of those you trust"
                )
            shown |= {names[int(word)]: None for word in words[:1]}
        image = path.stem if stems.count(path.stem) == 1 else "/".join(parts)
        yield image, checked(shown, known, str(path)), str(path), {}


def _yolo_names(folder: Path) -> dict[int, str]:
    """Return the names of classes by number."""
    for place in (folder, *folder.absolute().parents[:2]):
        for name in YOLO_NAMES:
            path = place / name
            if not path.is_file():
                continue
            text = decode(path.read_bytes(), path, "save it as UTF-8")
            if path.suffix not in (".yaml", ".yml"):
                return {number: line.strip() for number, line in enumerate(text.splitlines()) if line.strip()}
            try:
                found = yaml.BaseLoader(text).get_single_data()  # texts alone: `no` is a name here
            except (yaml.YAMLError, RecursionError, ValueError):
                raise DataError("is no readable YAML", where=str(path), fix="export it again") from None
            listed = found.get("names") if isinstance(found, dict) else None
            pairs = (
                listed.items() if isinstance(listed, dict) else enumerate(listed if isinstance(listed, list) else ())
            )
            return {int(number): normal_form(str(name)) for number, name in pairs if str(number).isdigit()}
    fix = "put data.yaml or classes.txt beside it, as YOLO's exports have it"
    raise DataError("nothing names the classes of YOLO's numbers", where=str(folder), fix=fix)
