"""Spoiled tables of tags: `wsss init` and `wsss check` read them, or end with one line."""

import csv
import io
import json
import random

import fake_folders
import pytest
from fuzzing import none_of, spoil_bytes, wsss

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("adapters")]

CASES, PARTS = 200, 4
CELLS = [
    "", " ", "cat", "dog", "cat;dog", "cat|dog", "cat,dog", "['cat', 'dog']", '["cat"]',
    '{"choices": ["cat", "dog"]}', "[]", "{}", "nan", "NaN", "None", "null", "NA", "0", "1", "0.0", "True", "-", "?",
    "unknown", "=1+1", "@x", "cat ", "CAT", "kat\u00df", "\u732b", "\x00", "a" * 5000, "2024-01-01", "1e400",
    "['cat'", '{"choices": ', "../../etc/passwd", "photo_1.png", "[[['cat']]]", "[1, 2]", "\u202ecat", "cat\ndog",
]  # fmt: skip
HEADERS = [
    ["image", "classes"], ["image", "label"], ["filename", "tags"], ["image", "cat", "dog"],
    ["image", "classes", "split"], ["path"], ["", ""], ["image", "image"], ["classes", "image"],
    ["id", "image", "choice"], ["image", "classes", "patient"], ["a", "b"], ["image", "cat", "cat"],
]  # fmt: skip
ENCODINGS = ["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp932"]


def as_csv(chance):
    """Return a table with odd cells, as text in some encoding."""
    header, buffer = chance.choice(HEADERS), io.StringIO()
    delimiter = chance.choice([",", ",", ";", "\t", "|"])
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=chance.choice(["\n", "\r\n", "\r"]))
    writer.writerow(header)
    usual = ["cat", "dog", "cat;dog", ""] if chance.random() < 0.5 else [chance.choice(CELLS) for _ in range(3)]
    for number in range(12):
        row = [f"photo_{number}.png", *(chance.choice(usual) for _ in header[1:])]
        if chance.random() < 0.15:
            row[chance.randrange(len(row))] = chance.choice(CELLS)
        if chance.random() < 0.05:
            row = row[: chance.randrange(len(row) + 1)] + [chance.choice(CELLS)] * chance.randint(0, 2)
        writer.writerow(row)
    return buffer.getvalue().encode(chance.choice(ENCODINGS), "replace"), "csv"


def as_json(chance):
    """Return tags as JSON of some shape."""
    value = chance.choice([["cat"], "cat", None, 1, {"choices": ["cat"]}, ["cat", ["dog"]], [None], True])
    names = [f"photo_{number}.png" for number in range(12)]
    shape = chance.choice(["by name", "rows", "label studio", "coco", "number"])
    found = {
        "by name": {name: value for name in names},
        "rows": [{"image": name, "classes": value} for name in names],
        "label studio": [
            {"data": {"image": name}, "annotations": [{"result": [{"value": {"choices": value}}]}]} for name in names
        ],
        "coco": {
            "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
            "annotations": value,
            "categories": [value],
        },
        "number": 12,
    }[shape]
    return json.dumps(found).encode(), "json"


RECIPE = """\
name: photos
data: {{adapter: folder, root: {root}, classes: [cat, dog], splits: {{fractions: {{train: 0.6, val: 0.2, test: 0.2}}}}}}
channels: {{rgb: {{bands: all, scale: imagenet}}}}
labels: {{source: tag_file, tag_file: {table}}}
"""


@pytest.mark.parametrize("part", range(PARTS))
def test_spoiled_tables(tmp_path, part, monkeypatch):
    root, broken = fake_folders.tagged(tmp_path / "photos"), []
    sound = (root / "tags.csv").read_bytes()
    (root / "tags.csv").unlink()
    monkeypatch.chdir(tmp_path)
    for case in range(part, CASES, PARTS):
        chance = random.Random(f"table {case}")
        kind = chance.choice(["csv", "csv", "csv", "json", "bytes"])
        content, suffix = as_csv(chance) if kind == "csv" else as_json(chance) if kind == "json" else (sound, "csv")
        if kind == "bytes" or chance.random() < 0.15:
            content = spoil_bytes(content, chance)
        table, recipe, given = root / f"tags.{suffix}", tmp_path / f"recipe{case}.yaml", tmp_path / f"given{case}.yaml"
        table.write_bytes(content)
        given.write_text(RECIPE.format(root=root, table=table))
        for command in (["init", root, "--out", recipe], ["check", recipe], ["check", given]):
            if command[1] == recipe and not recipe.exists():
                continue
            _, why = wsss(*command)
            if why:
                broken.append((f"table {case} ({kind}), {command[0]}", why))
        table.unlink()
    none_of(broken)
