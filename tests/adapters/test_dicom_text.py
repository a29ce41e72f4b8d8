"""Names reach a segmentation in Unicode, whichever character set they are stored in."""

import pydicom
import pytest
from fake_frames import native, picture
from seg_sources import CLASSES, ROWS, make_layers, make_mask, make_output, write_source

from wsss_adapters.dicom.header import read_header
from wsss_adapters.dicom.text import UnknownText, decode_text
from wsss_adapters.dicom_seg.writing import DicomOutputs, write_dicom_seg
from wsss_adapters.endoscopy.scenes import EndoscopyScenes
from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.errors import DataError

STANDARD = [
    (["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
     "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"],
     b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
     "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 149"],
     b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
     "Hong^Gildong=洪^吉洞=홍^길동"),
    (["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
    ("ISO_IR 192", "Wang^XiaoDong=王^小东=".encode(), "Wang^XiaoDong=王^小东="),
    ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
    ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
]  # fmt: skip
"""Names of PS3.5, annexes H, I, J and K, and of PS3.3: character sets, bytes, text."""

OTHERS = [
    (["", "ISO 2022 IR 159"], b"Fujiki^Rinko=\x1b$(D&a&b\x1b(B", None),
    (["", "ISO 2022 IR 87", "ISO 2022 IR 159"], b"\x1b$(D\x22\x6f\x1b(B^\x1b$B==\x1b(B", None),
    ("GBK", "Wang^乗乛".encode("gbk"), "Wang^乗乛"),
    ("GB18030", "Li^俓乗㐀".encode("gb18030"), "Li^俓乗㐀"),
    (["", "ISO 2022 IR 126", "ISO 2022 IR 144"], b"a\x1b-F\xc4 b\x1b-L\xb4", "aΔ bД"),
    (["", "ISO 2022 IR 149"], b"Hong=\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7", "Hong=洪^吉洞"),
    (["ISO 2022 IR 6", "ISO 2022 IR 100"], b"\x1b-A\xc4nne", "Änne"),
    ("iso-ir-100", b"M\xfcller", "Müller"),
]


@pytest.mark.parametrize("sets, stored, text", STANDARD)
def test_the_standards_own_names(sets, stored, text):
    assert decode_text(stored, [sets] if isinstance(sets, str) else sets) == (text, True)


@pytest.mark.parametrize("sets, stored, text", OTHERS)
def test_other_names(sets, stored, text):
    """Bytes of two-byte characters that look like delimiters, escapes in a row, an escape that is left out."""
    found, sure = decode_text(stored, [sets] if isinstance(sets, str) else sets)
    assert sure and "\x1b" not in found and (text is None or found == text)


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("Иванов^Иван".encode(), "Иванов^Иван"),
        ("Müller^Jörg".encode(), "Müller^Jörg"),
        ("山田^太郎".encode(), "山田^太郎"),
        (b"O\x92Brien^Siobh\xe1n", "O\N{RIGHT SINGLE QUOTATION MARK}Brien^Siobhán"),
    ],
)
@pytest.mark.parametrize("sets", ["ISO_IR 100", ""])
def test_what_cannot_be_latin_1(stored, text, sets):
    """Programs name Latin-1, or nothing, and write UTF-8 or Windows' code page."""
    assert decode_text(stored, [sets] if sets else []) == (text, False)


@pytest.mark.parametrize("text", ["Müller^Jörg", "Ñandú^Ýrr", "ÅÄÖ", "Ægir^Þór", "ÀÈÌ ÒÙ"])
def test_latin_1_is_latin_1(text):
    assert decode_text(text.encode("latin_1"), ["ISO_IR 100"]) == (text, True)


def test_cyrillic():
    text = "Люксембург"
    assert decode_text(text.encode("iso8859_5"), ["ISO_IR 144"]) == (text, True)


def test_a_name_without_a_character_set_is_guessed():
    assert decode_text("Müller".encode(), []) == ("Müller", False)
    assert decode_text("Müller".encode("latin_1"), ["ISO_IR 6"]) == ("Müller", False)
    assert decode_text(b"Mueller", []) == ("Mueller", True)


@pytest.mark.parametrize(
    "sets, stored",
    [
        (["ISO_IR 192"], b"M\xfcller"),
        (["NO SUCH SET"], b"M\xfcller"),
        (["", "ISO 2022 IR 87"], b"\x1b$B;3E\x1b(B"),
        (["", "ISO 2022 IR 149", "ISO 2022 IR 58"], b"\xfb\xf3"),
        (["", "ISO 2022 IR 58"], b"\x1b$)Z\xfb\xf3"),
    ],
)
def test_what_cannot_be_decided(sets, stored):
    with pytest.raises(UnknownText):
        decode_text(stored, sets)


def planted(path, sets, stored):
    """Write an instance whose patient's name is the bytes given."""
    write_source(path, SpecificCharacterSet="ISO_IR 100", PatientName="Q" * len(stored))
    content = path.read_bytes().replace(b"Q" * len(stored), stored)
    old = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"
    new = "\\".join([sets] if isinstance(sets, str) else sets).encode()
    new += b" " * (len(new) % 2)
    assert old in content
    path.write_bytes(content.replace(old, b"\x08\x00\x05\x00CS" + len(new).to_bytes(2, "little") + new))
    return path


@pytest.mark.parametrize("sets, stored, text", [case for case in STANDARD if len(case[1]) % 2 == 0][:8])
def test_names_reach_the_segmentation(tmp_path, sets, stored, text):
    source = planted(tmp_path / "source.dcm", sets, stored)
    assert {word for word in read_header(source, shown="a").who.names if len(word) > 1}
    seg = pydicom.dcmread(
        write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    )
    assert str(seg.PatientName).rstrip("=") == text.rstrip("=") and seg.SpecificCharacterSet == "ISO_IR 192"
    assert str(seg.StudyID) == "S-17"


@pytest.mark.parametrize(
    ("sets", "stored"),
    [
        (["ISO_IR 100"], b"Roe\x1b[31m^Jane"),
        (["", "ISO 2022 IR 87"], b"Roe=\x1b$"),
        (["ISO_IR 144"], "Иванов".encode()),
        (["ISO_IR 101"], b"Wa\x9d\xeasa"),
        (["ISO_IR 100"], b"Roe\x81"),
    ],
)
def test_escapes_and_controls_are_no_letters(sets, stored):
    with pytest.raises(UnknownText):
        decode_text(stored, sets)


def test_a_name_that_does_not_fit_is_an_error_that_does_not_quote_it(tmp_path):
    source = planted(tmp_path / "source.dcm", "ISO_IR 192", b"M\xfcllerin")
    layers = make_layers(make_mask())[0]
    with pytest.raises(DataError, match=r"^a: PatientName does not fit its character set .*--deidentify") as caught:
        write_dicom_seg(source, "a", layers, CLASSES, make_output(tmp_path), ROWS)
    assert "llerin" not in str(caught.value)
    seg = pydicom.dcmread(write_dicom_seg(source, "a", layers, CLASSES, make_output(tmp_path, deidentify=True), ROWS))
    assert str(seg.PatientName) == ""


def test_a_guess_is_said_when_the_file_is_opened(tmp_path):
    path = native(tmp_path / "a.dcm", picture()[None], PatientName="Mxller")
    path.write_bytes(path.read_bytes().replace(b"Mxller", b"M\xfcller"))
    rgb = ChannelTable((Sensor("rgb", ("R", "G", "B"), ("R", "G", "B")),))
    scenes = EndoscopyScenes()
    [source] = scenes.find_scenes([str(path)], rgb)
    for outputs, said in ((DicomOutputs(), 1), (DicomOutputs(deidentify=True), 0), (None, 0)):
        with scenes.open_scene(source, rgb, outputs) as scene:
            assert len([notice for notice in scene.notices if "UTF-8 or Latin-1" in notice]) == said
