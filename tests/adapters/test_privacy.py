"""What identifies a patient is recognised in the ways that people write it into file names."""

import re
from pathlib import Path

import numpy as np
import pytest

from wsss_adapters.dicom.privacy import NOBODY, WHOLE, Identifiers, bare, identifiers, shown_path

HEADER = {
    "PatientName": "Müller-Lüdenscheidt^Anna Li^^Dr.=漢字^花子",
    "PatientID": "HOSP-4711",
    "OtherPatientIDs": "X1\\77",
    "AccessionNumber": "2024/0815",
    "StudyInstanceUID": "1.2.276.0.7230010.3.1",
    "PatientBirthDate": "19770203",
    "StudyDate": "20240131",
}
WHO = identifiers(lambda keyword: HEADER.get(keyword, ""))


@pytest.mark.parametrize(
    "text",
    [
        "Mueller_MÜLLER.dcm",
        "muller-2",
        "annamuller",
        "ludenscheidt",
        "Li_3",
        "li2024",
        "hosp4711",
        "HOSP_4711_a",
        "20240815-1",
        "1.2.276.0.7230010.3.1",
        "1_2_276_0_7230010_3_1",
        "9.8.7.6.5.4",
        "IM-1.3.12.2.1107.5-2",
        "1977-02-03",
        "03.02.1977",
        "scan_01312024",
        "20240131T1200",
        "漢字",
        "X1",
        "77",
        "a-77-b",
    ],
)
def test_recognised(text):
    assert WHO.in_text(text)


@pytest.mark.parametrize(
    "text", ["IM0001.dcm", "study", "polyps", "linear", "x12", "1977", "0771", "v1.2.3", "177", ""]
)
def test_not_mistaken(text):
    assert not WHO.in_text(text)


def test_paths_keep_the_parts_that_say_nothing():
    path = Path("/data/colon/MULLER^ANNA/20240131/IM1.dcm")
    assert shown_path(path, WHO.in_text, "dicom-1") == "/data/colon/dicom-1/dicom-1/IM1.dcm"
    assert shown_path(path, NOBODY.in_text, "dicom-1") == str(path)


def test_together():
    other = Identifiers(frozenset({"roe"}), frozenset())
    both = Identifiers.of_all([WHO, other])
    assert both.in_text("roe") and both.in_text("anna") and not Identifiers.of_all([]).in_text("roe")
    assert bare("Ä-b_1.2") == "ab12"


OTHERS = [
    ("Müller^Jürgen", ["Mueller_Juergen.dcm", "muller", "MÜLLER", "juergen-2"], ["muell", "jung"]),
    ("Mueller^Juergen", ["Müller", "Jürgen 3"], []),
    ("Østergaard^Åse", ["Oestergaard_Aase.png", "ostergaard", "Østergård", "aase"], ["osten"]),
    ("Łukasiewicz^Đorđe", ["Lukasiewicz", "djordje dorde"], ["lukas"]),
    ("Wang^XiaoDong=王^小东", ["王小东.png", "小东", "WangXiaoDong", "xiaodongwang"], ["小王", "東"]),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["山田太郎.png", "太郎山田", "山田さん", "やまだ", "yamadatarou"], ["山"]),
    ("Li^Na", ["LiNa.dcm", "nali_2", "Li-1"], ["linear", "nail"]),
    ("Hong^Gildong=洪^吉洞=홍^길동", ["홍길동", "길동", "洪吉洞"], ["동"]),
]


@pytest.mark.parametrize("name, shown, not_shown", OTHERS)
def test_names_in_other_spellings(name, shown, not_shown):
    who = identifiers(lambda keyword: name if keyword == "PatientName" else "")
    assert [text for text in shown if not who.in_text(text)] == []
    assert [text for text in not_shown if who.in_text(text)] == []


def test_empty_headers_identify_nobody():
    assert identifiers(lambda keyword: "") == NOBODY
    assert identifiers(lambda keyword: "^^" if keyword == "PatientName" else "\\") == NOBODY


def test_names_inside_words_are_found_as_a_naive_search_finds_them():
    random = np.random.default_rng(0)

    def word(length):
        return "".join(random.choice(list("abcdx123é漢"), length))

    known = {word(int(random.integers(1, 7))) for _ in range(300)}
    many = Identifiers(frozenset(name for name in known if name.isalpha()), frozenset(known))
    found = 0
    for _ in range(500):
        text = word(int(random.integers(1, 12)))
        joined = bare(text)
        naive = any(name in joined for name in known if len(name) >= (WHOLE if name.isascii() else 2))
        naive |= bool(set(re.findall(r"[^\W\d_]+", joined)) & many.names) or joined in many.codes
        if naive:
            assert many.in_text(text), text
            found += 1
    assert 50 < found < 450


def test_a_text_is_compared_with_its_own_parts_and_not_with_every_name():
    class Counted(str):
        """A name that counts how often it is looked at."""

        looks = 0

        def __len__(self):
            Counted.looks += 1
            return super().__len__()

    many = Identifiers(frozenset(Counted(f"somebody{number}") for number in range(2000)))
    assert many.in_text("xsomebody77x")
    once = Counted.looks
    for number in range(100):
        assert not many.in_text(f"nobody-at-all-{number}.dcm")
    assert Counted.looks == once >= 2000
