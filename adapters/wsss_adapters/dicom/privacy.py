"""Keeps what identifies a patient or a study out of names and messages."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName")
"""DICOM keywords of names, each word of which identifies."""

CODES = ("PatientID", "OtherPatientIDs", "AccessionNumber", "IssuerOfPatientID", "PatientTelephoneNumbers")
"""DICOM keywords of numbers and codes."""

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""DICOM keywords of identifiers that several objects share; an object's own comes on top."""

DATES = (
    "PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate",
    "AcquisitionDateTime",
)  # fmt: skip
"""DICOM keywords of dates."""

KEYWORDS = (*NAMES, *CODES, *UIDS, *DATES)
"""All of them: what the header is asked for."""

UID_LIKE = re.compile(r"\d+(?:\.\d+){4,}")
"""A unique identifier, whichever header it comes from."""

WHOLE = 4
"""Names and codes that are shorter count where they stand alone, not inside another word."""


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What identifies the patients and studies of some files, in lower case and without accents."""

    names: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    """Patient IDs, accession numbers, UIDs and dates: letters and digits only."""

    @staticmethod
    def of_all(many: "Iterable[Identifiers]") -> "Identifiers":
        """Return the identifiers of several files together."""
        known = tuple(many)
        names = frozenset[str]().union(*(one.names for one in known))
        return Identifiers(names, frozenset[str]().union(*(one.codes for one in known)))

    def in_text(self, text: str) -> bool:
        """Tell whether a text holds one of them, or anything that looks like a UID."""
        if UID_LIKE.search(text):
            return True
        plain = _plain(text)
        words = set(re.findall(r"[^\W\d_]+", plain))
        runs = set(re.findall(r"[^\W_]+", plain))
        joined = bare(text)
        if words & self.names or runs & self.codes:
            return True
        return any(len(known) >= WHOLE and known in joined for known in (*self.names, *self.codes))


NOBODY = Identifiers()
"""Of a file that names nobody, or whose header cannot be read."""


def identifiers(value: Callable[[str], str]) -> Identifiers:
    """Return what identifies a patient or study; `value` gives the text of a DICOM keyword, "" where there is none."""
    names = {word for keyword in NAMES for word in re.findall(r"[^\W\d_]+", _plain(value(keyword))) if len(word) > 1}
    codes = {code for keyword in (*CODES, *UIDS) for code in _codes(value(keyword))}
    codes |= {written for keyword in DATES for written in _dates(value(keyword))}
    return Identifiers(frozenset(names), frozenset(codes))


def short_hash(text: str, length: int = 12) -> str:
    """Return the first digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:length]


def shown_path(path: Path, identifies: Callable[[str], bool], instead: str) -> str:
    """Return a path in which another text stands in the place of parts that identify somebody."""
    return str(Path(*(instead if identifies(part) else part for part in path.parts)))


def _plain(text: str) -> str:
    """Return a text in lower case without accents."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()


def bare(text: str) -> str:
    """Return the letters and digits of a text, in lower case and without accents."""
    return "".join(re.findall(r"[^\W_]+", _plain(text)))


def _codes(text: str) -> set[str]:
    """Return the values of a field, letters and digits only."""
    return {bare(part) for part in text.split("\\")} - {""}


def _dates(text: str) -> set[str]:
    """Return a date as people write it in file names: 20240131, 31012024, 01312024."""
    match = re.match(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)", text)
    if match is None:
        return set()
    year, month, day = match.groups()
    return {year + month + day, day + month + year, month + day + year}
