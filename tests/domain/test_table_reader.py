"""Tables as spreadsheets write them: separators, encodings, workbooks; what is wrong is named with its line."""

import datetime
import io
import sys
import zipfile

import openpyxl
import pytest

from wsss_toolkit.domain import table as table_module
from wsss_toolkit.domain.table import read_table
from wsss_toolkit.errors import DataError


def read(path, content):
    """Write a file and return the cells that are read from it, with its columns."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_table(path, key="data.table")
    return table.columns, [row.cells for row in table.rows]


def workbook(path, *rows, change=lambda book: None):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    change(book)
    book.save(path)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,ü\n2,\n",
        "a;b\r\n1;ü\r\n2;\r\n",
        "a\tb\r1\tü\r2\t\r",
        "\n \n,\na,b\n\n1,ü\n2,\n",
        "sep=|\na|b\n1|ü\n2|\n",
        '\n"SEP=;"\n\na;b\n1;ü\n2;\n',
        'a, "b"\n 1 ,ü\n"2",""\n'.replace(', "', ',"'),
        "a,b\n1,u\u0308\n2,\n",
        "\ufeffa,b\n1,ü\n2,\n",
        "a,b\n1,ü\n2,\n".encode("utf-16"),
        b"\xfe\xff" + "a;b\n1;ü\n2;\n".encode("utf-16-be"),
    ],
)
def test_ways_to_write_a_table(tmp_path, content):
    assert read(tmp_path / "t.csv", content) == (("a", "b"), [("1", "ü"), ("2", "")])


def test_line_and_page_separators_are_part_of_a_cell(tmp_path):
    assert read(tmp_path / "t.csv", "a,b\n1,x\u2028y\n2,x\x0cy\n")[1] == [("1", "x\u2028y"), ("2", "x\x0cy")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n\nx,é\n".encode("cp1252"), r":3: is not UTF-8 text: the byte 0xE9 would be 'é' in Windows-1252; save"),
        ("a,b\n".encode("utf-16-le"), r": is UTF-16 without a byte order mark, or no text; save it as CSV in UTF-8"),
        (b"\xff\xfea", r": is damaged UTF-16 text; save it as CSV in UTF-8"),
        ('a,b\n1,"x\n', r":2: malformed: .*; check the quotes"),
        ('\n\na,b\n1,"x"y\n', r":4: malformed: .*; check the quotes"),
        ("a;b\nx,1\ny,2\n", r":2: the row is separated by ',', the header by ';'; use one of them"),
        (b"PK\x03\x04 and no more", r": is no readable Excel workbook; save it as CSV in UTF-8"),
    ],
)
def test_what_is_no_table(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"t\.csv{message}") as refused:
        read(tmp_path / "t.csv", content)
    assert "\n" not in str(refused.value)


def test_columns_are_found_or_named(tmp_path):
    (tmp_path / "t.csv").write_text("ID,Image,film,film\n1,a,x,y\n")
    table = read_table(tmp_path / "t.csv", key="data.table")
    assert table.find(("images", "image")) == 1 and table.find(("path",)) is None
    assert table.column("Image") == 1
    with pytest.raises(DataError, match=r"t\.csv:1: two columns are called 'film'; rename one"):
        table.column("film")
    with pytest.raises(DataError, match=r"t\.csv:1: has no column 'Imgae'; did you mean Image\?"):
        table.column("Imgae")
    with pytest.raises(DataError, match=r"has no column 'patient'; it has ID, Image, film, film"):
        table.column("patient")


def test_files_that_are_too_large_are_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(table_module, "MOST_BYTES", 100)
    assert read(tmp_path / "t.csv", "a,b\n" + "1,2\n" * 24)[0] == ("a", "b")
    with pytest.raises(DataError, match=r"t\.csv: is larger than 0 MB"):
        read(tmp_path / "t.csv", "a,b\n" + "1,2\n" * 25)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", "0" * 10_000)
    monkeypatch.setattr(table_module, "MOST_BYTES", len(packed.getvalue()))
    with pytest.raises(DataError, match=r"t\.xlsx: is larger than"):
        read(tmp_path / "t.xlsx", packed.getvalue())


def test_workbooks(tmp_path):
    path = workbook(
        tmp_path / "t.xlsx", [], [" image ", "n", "ok"], ["u\u0308.png", 7, True], [], ["b", 0.1 + 0.2], ["c", 2.0]
    )
    table = read_table(path, key="data.table")
    assert table.columns == ("image", "n", "ok") and table.where.endswith("t.xlsx:2")
    assert [row.cells for row in table.rows] == [("ü.png", "7", "TRUE"), ("b", "0.3", ""), ("c", "2", "")]
    assert [row.where.rpartition(":")[2] for row in table.rows] == ["3", "5", "6"]
    path.rename(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv", key="data.table").rows[0].cells == table.rows[0].cells


DAY = datetime.date(2026, 2, 1)


def two_sheets(book):
    book.create_sheet("more").append([0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (two_sheets, r"t\.xlsx: 2 sheets hold rows: Sheet, more; keep one"),
        (lambda book: book.active.merge_cells("B2:B3"), r"t\.xlsx:2: the cells B2:B3 are merged; fill each"),
        (lambda book: book.active.cell(3, 2, '=A2&"x"'), r"t\.xlsx:3: the formula in B3 has no value; open and save"),
        (lambda book: book.active.cell(3, 2, "#N/A"), r"t\.xlsx:3: B3 holds the error #N/A; correct the cell"),
        (lambda book: book.active.cell(3, 2, DAY), r"t\.xlsx:3: B3 is a date or a time; format the column as text"),
    ],
)
def test_workbooks_that_could_be_misread(tmp_path, change, message):
    path = workbook(tmp_path / "t.xlsx", ["image", "classes"], ["a", "cat"], ["b", None], change=change)
    with pytest.raises(DataError, match=message):
        read_table(path, key="data.table")


def test_an_empty_sheet_beside_the_table_is_no_matter(tmp_path):
    path = workbook(tmp_path / "t.xlsx", ["image"], ["a"], change=lambda book: book.create_sheet("empty"))
    assert read_table(path, key="data.table").rows[0].cells == ("a",)


def test_workbooks_without_openpyxl(tmp_path, monkeypatch):
    path = workbook(tmp_path / "t.xlsx", ["image"], ["a"])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"t\.xlsx: Excel workbooks need openpyxl; pip install 'wsss-toolkit\[excel\]'"):
        read_table(path, key="data.table")
