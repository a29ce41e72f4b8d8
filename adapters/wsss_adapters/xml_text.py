"""Reads XML that others wrote: without entities, and of a limited size."""

from xml.etree import ElementTree

from wsss_toolkit.errors import DataError

MOST_BYTES = 2**26
"""Size of a document: the metadata of a product have up to some megabytes."""


def read_xml(content: bytes, where: str, *, most: int = MOST_BYTES) -> ElementTree.Element:
    """Return the root of a document.

    A document that declares its type is refused: a few bytes of entities can stand for gigabytes, and may name files.

    Raises:
        DataError: If it is damaged, too large, in an encoding that nobody knows, or declares entities.
    """
    if len(content) > most:
        what = f"is larger than {most >> 20} MiB, which such a file never is"
        raise DataError(what, where=where, fix="unpack or download it again")
    try:
        parser = ElementTree.XMLParser(target=_NoDoctype())
        root: ElementTree.Element = ElementTree.fromstring(content, parser=parser)
    except ElementTree.ParseError as error:
        raise DataError(f"is no well-formed XML ({error})", where=where, fix="unpack or download it again") from error
    except (_Doctype, ValueError, LookupError) as error:  # the last two: an encoding that nobody knows
        raise DataError(f"is refused: {error}", where=where, fix="such files are plain XML without entities") from error
    return root


class _Doctype(Exception):
    """The file declares a document type."""


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds trees of XML without a document type, and so without entities of its own, whatever the encoding."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse the file before any entity is declared."""
        raise _Doctype(f"it has a DOCTYPE ({name!r})")
