"""The XML annotations of Pascal VOC: which objects an image shows, and its size."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from wsss_adapters.pictures.decoding import Size, check_there
from wsss_toolkit.errors import DataError

OBJECTS: Final = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The twenty classes in the order of mask values 1..20."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What an XML file says of its image.

    Attributes:
        size: Height and width in pixels, None where it is silent.
        clear: Classes with an object that is not marked as difficult, each once, sorted.
        difficult: Classes all of whose objects are marked as difficult, sorted.
    """

    size: Size | None
    clear: tuple[str, ...]
    difficult: tuple[str, ...]


def read_annotation(path: Path) -> Annotation:
    """Read an annotation; one without objects shows none.

    Raises:
        DataError: If the file is missing, empty, malformed, has a DOCTYPE (entities can be made to fill the memory), or
            names a class that is none of VOC's.
    """
    check_there(path)
    try:
        tree = ElementTree.fromstring(path.read_bytes(), parser=ElementTree.XMLParser(target=_NoDoctype()))
    except ElementTree.ParseError as error:
        raise DataError(f"is no well-formed XML ({error})", where=str(path), fix="unpack it again") from error
    except (_Doctype, ValueError, LookupError) as error:
        raise DataError(f"is refused: {error}", where=str(path), fix="annotations of VOC are plain XML") from error
    if tree.tag != "annotation":
        raise DataError(f"is no annotation of VOC but <{tree.tag}>", where=str(path), fix="unpack it again")
    found: dict[str, bool] = {}
    for element in tree.findall("object"):  # not iter: an object's parts, such as hands, have names too
        name = (element.findtext("name") or "").strip()
        if name not in OBJECTS:
            raise DataError(f"names the class {name!r}, which VOC does not have", where=str(path), fix="correct it")
        difficult = (element.findtext("difficult") or "0").strip()
        if difficult not in ("0", "1"):
            raise DataError(f"says difficult {difficult!r}, not 0 or 1", where=str(path), fix="correct it")
        found[name] = found.get(name, True) and difficult == "1"
    return Annotation(
        _size(tree),
        tuple(sorted(name for name, only_difficult in found.items() if not only_difficult)),
        tuple(sorted(name for name, only_difficult in found.items() if only_difficult)),
    )


class _Doctype(Exception):
    """The file declares a document type."""


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds trees of XML without a document type, and so without entities of its own."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse the file before any entity is declared."""
        raise _Doctype(f"it has a DOCTYPE ({name!r})")


def _size(tree: ElementTree.Element) -> Size | None:
    texts = [(tree.findtext(f"size/{side}") or "").strip() for side in ("height", "width")]
    if not all(re.fullmatch(r"[1-9][0-9]{0,6}", text) for text in texts):
        return None
    return int(texts[0]), int(texts[1])
