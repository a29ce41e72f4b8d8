"""Keeps what identifies a patient or a study out of names, messages and objects.

Objects follow PS3.15 Annex E, Basic Application Level Confidentiality Profile. Nothing is taken out of a header: a new
one is made from a short list of attributes that identify nobody, so that an attribute which nobody thought of, private
or misplaced, cannot slip through.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from wsss_adapters.dicom.secret import keyed

if TYPE_CHECKING:
    from pydicom import Dataset


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

LETTERS = str.maketrans(
    {"ø": "o", "œ": "o", "æ": "a", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i", "ħ": "h", "ß": "ss"}
)
"""Letters that no accent can be taken off, as passports and file names write them."""

KEPT = (
    "SOPClassUID", "Rows", "Columns", "NumberOfFrames", "InstanceNumber", "PixelSpacing",
    "PixelAspectRatio",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
"""Attributes of the source that a segmentation needs; the profile keeps all of them."""

REPLACED_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""UIDs of the source that a segmentation repeats; the profile replaces all UIDs that point at a person's study."""

UNTIMED = {"ContentDate": "19000101", "ContentTime": "000000"}
"""Dummy values (action D) of dates that a segmentation cannot do without."""

REMOVED = (
    "InstanceCreationDate", "InstanceCreationTime", "SeriesDescription", "ContributingEquipmentSequence",
    "ReferringPhysicianIdentificationSequence",
)  # fmt: skip
"""Attributes (action X) that a segmentation has of its own making."""


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
        """Tell whether a text holds one of them, or anything that looks like a UID.

        It is a help: a nickname, another script's spelling or a typing error is not recognised.
        """
        plain = _plain(text)
        return bool(UID_LIKE.search(text)) or self._in_plain(plain) or self._in_plain(_spelled(plain))

    def _in_plain(self, plain: str) -> bool:
        words = set(re.findall(r"[^\W\d_]+", plain))
        runs = set(re.findall(r"[^\W_]+", plain))
        joined = "".join(re.findall(r"[^\W_]+", plain))
        if words & self.names or runs & self.codes:
            return True
        # Parts of the text are looked up among the names: the time does not grow with the number of patients.
        return any(
            joined[at : at + length] in known
            for length, known in _by_length(self).items()
            for at in range(len(joined) - length + 1)
        )


@lru_cache(maxsize=8)
def _by_length(identifiers: Identifiers) -> Mapping[int, frozenset[str]]:
    """Return the names and codes that count inside another word, by their number of characters."""
    found: dict[int, set[str]] = {}
    for known in (*identifiers.names, *identifiers.codes):
        if _counts_inside(known):
            found.setdefault(len(known), set()).add(known)
    return {length: frozenset(names) for length, names in found.items()}


NOBODY = Identifiers()
"""Of a file that names nobody, or whose header cannot be read."""


def identifiers(value: Callable[[str], str]) -> Identifiers:
    """Return what identifies a patient or study; `value` gives the text of a DICOM keyword, "" where there is none."""
    names = {name for keyword in NAMES for name in _names(value(keyword))}
    codes = {code for keyword in (*CODES, *UIDS) for code in _codes(value(keyword))}
    codes |= {written for keyword in DATES for written in _dates(value(keyword))}
    return Identifiers(frozenset(names), frozenset(codes))


def _names(text: str) -> set[str]:
    """Return the words of a name in all its scripts, and family and given name joined, in both orders."""
    found = set[str]()
    for group in re.split(r"[=\\]", text):
        parts = ["".join(re.findall(r"[^\W\d_]+", _plain(part))) for part in group.split("^")[:3]]
        family, given = [*parts, "", ""][:2]
        words = re.findall(r"[^\W\d_]+", _plain(group))
        joined = (family + given, given + family, "".join(parts)) if family and given else ()
        found |= {word for word in (*words, *joined) if len(word) > 1}
    return found | {_spelled(word) for word in found}


def _counts_inside(known: str) -> bool:
    """Tell whether a name or code counts inside another word: the letters of other scripts say more each."""
    return len(known) >= (WHOLE if known.isascii() else 2)


def _spelled(plain: str) -> str:
    """Return a text in which letters and their usual spellings in ASCII are the same: Müller and Mueller."""
    return re.sub(r"([aou])e|(a)a", r"\1\2", plain.translate(LETTERS))


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


def derived_uid(*parts: str) -> str:
    """Return a UID that the parts determine, and that gives away nothing of them but to those who try them."""
    return _uid(hashlib.sha256("\0".join(("wsss-toolkit", *parts)).encode()).digest())


def _uid(digest: bytes) -> str:
    """Return a UUID of version 8 (RFC 9562) made of a digest, below the root 2.25 (PS3.5, B.2)."""
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76  # version
    number = number & ~(0x3 << 62) | 2 << 62  # variant
    return f"2.25.{number}"


def replaced_uid(uid: str, key: bytes) -> str:
    """Return the UID that stands for one of the source's: with one key always the same, so that studies stay together.

    It is made of the HMAC-SHA256 of the UID. UIDs can be listed (a device's number, date and time), so that a plain
    digest would give them away; without the key there is nothing to compare with.
    """
    return _uid(keyed(key, "deidentified", uid))


def deidentified(header: "Dataset", key: bytes) -> "Dataset":
    """Return the header of an instance without anything that tells whom it shows, when or where.

    The new header of a complete one (`dicom_seg.source.complete_header`) has `KEPT` as they are, `REPLACED_UIDS`
    replaced, name, birth date, sex, dates, numbers and physician empty (action Z), and a patient's ID (Z: a dummy) that
    differs from study to study, so that an archive does not take all patients for one.
    """
    from pydicom import Dataset

    clean = Dataset()
    for keyword in KEPT:
        if keyword in header:
            setattr(clean, keyword, header[keyword].value)
    for keyword in REPLACED_UIDS:
        setattr(clean, keyword, replaced_uid(str(header[keyword].value), key))
    clean.PatientID = f"ANON-{keyed(key, 'patient', str(header.StudyInstanceUID)).hex()[:12].upper()}"
    for keyword in ("PatientName", "PatientSex", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        setattr(clean, keyword, "")
    for keyword in ("PatientBirthDate", "StudyDate", "StudyTime"):
        setattr(clean, keyword, None)
    return clean


def mark_deidentified(segmentation: "Dataset", version: str) -> None:
    """Remove what the profile removes from an object made for a `deidentified` source, and say so in it, in place."""
    from pydicom import Dataset

    for keyword in REMOVED:
        if keyword in segmentation:
            delattr(segmentation, keyword)
    for keyword, value in UNTIMED.items():
        setattr(segmentation, keyword, value)
    segmentation.PatientIdentityRemoved = "YES"
    segmentation.DeidentificationMethod = f"wsss-toolkit {version}, PS3.15 Basic Profile"[:64]
    segmentation.LongitudinalTemporalInformationModified = "REMOVED"
    method = Dataset()
    method.CodeValue = "113100"
    method.CodingSchemeDesignator = "DCM"
    method.CodeMeaning = "Basic Application Confidentiality Profile"
    segmentation.DeidentificationMethodCodeSequence = [method]
