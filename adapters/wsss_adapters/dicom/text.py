"""Text of a DICOM header in Unicode, whichever of DICOM's character sets it is stored in (PS3.3 C.12.1.1.2, PS3.5 6.1).

pydicom 3.0 leaves the escapes of ISO 2022 IR 58 in names, and takes bytes of two-byte characters for delimiters. Here a
value is decoded as a whole before it is taken apart.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from wsss_toolkit.errors import DataError

ONE_BYTE: Final = {
    "100": "latin_1", "101": "iso8859_2", "109": "iso8859_3", "110": "iso8859_4", "144": "iso8859_5",
    "127": "iso8859_6", "126": "iso8859_7", "138": "iso8859_8", "148": "iso8859_9", "203": "iso8859_15",
    "166": "tis_620", "13": "shift_jis",
}  # fmt: skip
"""Python's codec for the upper half of a character set, by its ISO registration number."""

TWO_BYTES: Final = {"149": "euc_kr", "58": "gb2312"}
"""The same for sets of two bytes; Japanese ones (87, 159) lie in the lower half."""

WHOLE: Final = {"192": "utf_8", "GB18030": "gb18030", "GBK": "gbk"}
"""Sets that no escape leads to or out of."""

UPPER: Final = {
    **{b"-" + letter: ONE_BYTE[number] for letter, number in zip(
        (b"A", b"B", b"C", b"D", b"L", b"G", b"F", b"H", b"M", b"T", b"b"),
        ("100", "101", "109", "110", "144", "127", "126", "138", "148", "166", "203"), strict=True)},
    b")I": "shift_jis", b"$)C": "euc_kr", b"$)A": "gb2312",
}  # fmt: skip
"""Escapes, without ESC, that choose the upper half."""

LOWER: Final = {b"(B": "", b"(J": "", b"$B": "$B", b"$@": "$B", b"$(D": "$(D"}
"""Escapes that choose the lower half: "" is ASCII or its Japanese sibling, else what Python's codec is given."""

ESCAPE: Final = re.compile(rb"\x1b(\$[()]?[@-~]|[()\-][@-~])")
RESETS: Final = re.compile(rb"[\\^=\t\n\f\r]")
"""Delimiters, after which the first character set holds again."""

TEXTS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Value representations whose character set is the header's."""

SINGLE: Final = frozenset({"LT", "ST", "UT"})
"""Those of one value, in which a backslash is a letter."""


class UnknownText(ValueError):
    """Bytes that the character set does not have."""


def decode_text(value: bytes, character_sets: Sequence[str]) -> tuple[str, bool]:
    """Return a text in Unicode, and whether its bytes keep to the character sets that the header names.

    Bytes beyond ASCII of a header that names no set for them, or Latin-1, as many programs do whatever they write, are
    UTF-8 where they can be, else Latin-1.

    Raises:
        UnknownText: If it holds what the sets do not have.
    """
    names = [_number(name) for name in character_sets] or [""]
    try:
        if names[0] in WHOLE:
            return value.decode(WHOLE[names[0]]), True
        if value.isascii() and b"\x1b" not in value:
            return value.decode(), True
        unnamed = not any(name in {**ONE_BYTE, **TWO_BYTES, **WHOLE} for name in names)
        if unnamed and b"\x1b" not in value and any(name not in ("", "6") for name in names):
            raise UnknownText
        if (unnamed or names == ["100"]) and b"\x1b" not in value:
            guessed = _guessed(value)
            return guessed, not unnamed and guessed == value.decode("latin_1")
        return _without_controls("".join(_parts(value, names))), True
    except (UnicodeError, LookupError) as error:
        raise UnknownText from error


def _parts(value: bytes, names: Sequence[str]) -> Iterator[str]:
    """Yield the pieces of a value with escapes, each of one half of one set."""
    first = ONE_BYTE.get(names[0]) or TWO_BYTES.get(names[0], "")
    named = [codec for name in names if (codec := ONE_BYTE.get(name) or TWO_BYTES.get(name))]
    lower, upper, place = "", first, 0
    while place < len(value):
        escape = ESCAPE.match(value, place)
        if escape:
            code, place = escape[1], escape.end()
            if code in UPPER:
                upper = UPPER[code]
            elif code in LOWER:
                lower = LOWER[code]
            else:
                raise UnknownText
            continue
        high = value[place] >= 0x80
        end = place + 1
        while end < len(value) and value[end] != 0x1B and (value[end] >= 0x80) == high:
            end += 1
        run, place = value[place:end], end
        if high:
            # Many devices leave out the escape that ought to stand after each delimiter: the only set is meant.
            codec = upper or (named[0] if len(set(named)) == 1 else "")
            if not codec:
                raise UnknownText
            yield run.decode(codec)
        elif lower:
            yield from _two_bytes(run, lower)
            lower = "" if run[-1:] in (b"\n", b"\r") else lower
        else:
            yield run.decode("ascii")
            upper = first if RESETS.search(run) else upper


def _two_bytes(run: bytes, lower: str) -> Iterator[str]:
    """Yield what lies in a Japanese set of two bytes: ESC and `lower` lead to it."""
    body = run.rstrip(b"\r\n")
    codec = "iso2022_jp" if lower == "$B" else "iso2022_jp_2"
    yield (b"\x1b" + lower.encode() + body + b"\x1b(B").decode(codec)
    yield run[len(body) :].decode("ascii")


def _guessed(value: bytes) -> str:
    """Return UTF-8, else Windows' Latin-1, which has quotation marks where Latin-1 has control characters.

    UTF-8 in Latin-1 would be capitals with accents before signs (Ã¼), which nobody writes.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("cp1252")


def _without_controls(text: str) -> str:
    """Return a text in which no escape is left, nor a control character beyond ASCII: no set of DICOM's has them."""
    if "\x1b" in text or any("\x80" <= letter < "\xa0" for letter in text):
        raise UnknownText
    return text


def _number(name: str) -> str:
    """Return what tells a character set: ``ISO_IR 100``, ``ISO 2022 IR 100`` and common misspellings are 100."""
    plain = re.sub(r"[\s_-]+", " ", name.strip().upper())
    number = re.fullmatch(r"(?:ISO )?(?:2022 )?(?:IR )?(\w+)", plain)
    return number[1] if number else plain


def decode_texts(header: Any, inherited: Sequence[str] = ()) -> None:
    """Turn all text of a header that was read and not looked at yet into Unicode, in place, in sequences too.

    What cannot be decoded is taken out.

    Raises:
        Exception: Whatever pydicom raises over a damaged element.
    """
    sets = character_sets(header) or tuple(inherited)
    for tag in list(header.keys()):
        element = header.get_item(tag)
        kind = _kind(element, tag)
        if kind == "SQ":
            for item in header[tag].value:
                decode_texts(item, sets)
        elif kind in TEXTS and isinstance(element.value, bytes):
            _decode_one(header, tag, kind, sets)
    if "SpecificCharacterSet" in header:
        header.SpecificCharacterSet = "ISO_IR 192"


def require_texts(header: Any, keywords: Iterable[str], where: str) -> str:
    """Return what the user should know of texts that are copied, of a header that was read and not looked at yet.

    Raises:
        DataError: If one does not fit the character set; it does not quote it.
    """
    doubtful = []
    for keyword in keywords:
        try:
            found = raw_text(header, keyword)
        except UnknownText:
            what = f"{keyword} does not fit its character set (SpecificCharacterSet)"
            fix = "correct one of them, or leave names out (--deidentify)"
            raise DataError(what, where=where, fix=fix) from None
        if found is not None and not found[1]:
            doubtful.append(keyword)
    if not doubtful:
        return ""
    return f"{', '.join(doubtful)} is in no character set that the header names: it is read as UTF-8 or Latin-1"


def character_sets(header: Any) -> tuple[str, ...]:
    """Return the values of Specific Character Set, () where there is none."""
    try:
        value = header.get("SpecificCharacterSet")
    except Exception:  # a damaged element is as good as none
        return ()
    if value is None or value == "":
        return ()
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value)


def raw_text(header: Any, keyword: str) -> tuple[str, bool] | None:
    """Return a text of a header that was read and not looked at yet, and whether it keeps to its character set.

    Raises:
        UnknownText: If it holds what the set does not have.
    """
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    element = header.get_item(tag) if tag is not None and tag in header else None
    if element is None or _kind(element, tag) not in TEXTS or not isinstance(element.value, bytes):
        return None
    text, sure = decode_text(element.value.rstrip(b"\0 "), character_sets(header))
    return text.strip(), sure


def _decode_one(header: Any, tag: Any, kind: str, sets: Sequence[str]) -> None:
    from pydicom.dataelem import DataElement

    try:
        text, _ = decode_text(header.get_item(tag).value.rstrip(b"\0 "), sets)
    except UnknownText:
        del header[tag]
        return
    values = [text] if kind in SINGLE else text.split("\\")
    header[tag] = DataElement(tag, kind, values[0] if len(values) == 1 else values)


def _kind(element: Any, tag: Any) -> str:
    """Return the value representation of an element, from the dictionary where the file leaves it out."""
    from pydicom.datadict import dictionary_VR

    kind = str(element.VR or "UN")
    if kind == "UN":
        try:
            kind = dictionary_VR(tag)
        except KeyError:
            return "UN"
    return kind
