"""Spoiled recipes: `wsss check` ends with a line for each mistake, or calls them ready, and then labels are made."""

import random

import pytest
import tiny_recipe
import yaml
from fuzzing import none_of, spoil_bytes, wsss

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("adapters")]

CASES = 500
BUNDLED = sorted((tiny_recipe.REPOSITORY / "recipes").rglob("*.yaml"))
ODD = [
    None, True, False, 0, -1, 3, 10**30, 1.5, -0.0, float("nan"), float("inf"), float("-inf"), 1e308, 1e-320, "", " ",
    "~", "no", "010", "1e3", "null", "../..", "/", "\x00", "\N{BELL}", "\u202etxt", "ä" * 300, "{site}", "{}",
    "{0.__class__}", "%s", "$HOME", "auto", "all", "none", [], {}, [[]], [None], [1, 2, 3], {"a": {}},
    {"kind": "linear"}, {1: 2}, {"kind": None}, [{}],
]  # fmt: skip
"""Values that people write by mistake, or that programs do."""
TEXT = [
    "\t",
    ": ",
    "- ",
    "&a *a",
    "!!python/object:os.system ls",
    "\x07",
    "{",
    "]",
    "'",
    '"',
    "|",
    ">-",
    "#",
    "---\n",
    "? ",
    "<<: *b",
    "é",
    "\ufeff",
]


def nodes(value, path=()):
    """Yield the path of every key and item of a recipe."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from nodes(child, (*path, key))


def change_gently(recipe, chance):
    """Change a number or a switch of a recipe in place, or remove a key: what comes out may well be right."""
    *parents, last = chance.choice([path for path in nodes(recipe) if path[0] not in ("name", "data")])
    section = recipe
    for parent in parents:
        section = section[parent]
    if isinstance(section[last], bool):
        section[last] = not section[last]
    elif isinstance(section[last], (int, float)):
        section[last] = chance.choice([0, 1, 2, 3, 5, 16, 0.0, 0.25, 0.5, 1.0])
    else:
        del section[last]


def spoil_values(recipe, chance):
    """Change, remove, add or move one to three values of a recipe in place."""
    for _ in range(chance.randint(1, 3)):
        places = list(nodes(recipe))
        if not places:
            return
        *parents, last = chance.choice(places)
        section = recipe
        for parent in parents:
            section = section[parent]
        kind = chance.choice(["odd", "odd", "odd", "remove", "add", "other"])
        if kind == "odd":
            section[last] = chance.choice(ODD)
        elif kind == "remove":
            del section[last]
        elif kind == "add" and isinstance(section, dict):
            section[chance.choice(["x", last, "kind", 1, None, True, "epochs"])] = chance.choice(ODD)
        else:
            *others, key = chance.choice(places)
            found = recipe
            for other in [*others, key]:
                try:
                    found = found[other]
                except (KeyError, IndexError, TypeError):
                    return
            section[last] = yaml.safe_load(yaml.safe_dump(found))


def spoil_text(text, chance):
    """Change the text of a recipe: lines doubled, removed or indented, characters put in, bytes spoiled."""
    lines = text.split("\n")
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(lines))
        kind = chance.choice(["double", "remove", "indent", "insert", "swap"])
        if kind == "double":
            lines.insert(place, lines[place])
        elif kind == "remove" and len(lines) > 1:
            del lines[place]
        elif kind == "indent":
            lines[place] = " " * chance.randint(1, 5) + lines[place]
        elif kind == "swap":
            other = chance.randrange(len(lines))
            lines[place], lines[other] = lines[other], lines[place]
        else:
            at = chance.randint(0, len(lines[place]))
            lines[place] = lines[place][:at] + chance.choice(TEXT) + lines[place][at:]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def root_of(path):
    """Return the recipe's `data.root`: no other folder may be written into."""
    return yaml.safe_load(path.read_text())["data"].get("root")


@pytest.mark.parametrize("part", range(10))
def test_spoiled_recipes(tmp_path, part, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, broken = tmp_path / "data", []
    for case in range(part, CASES, 10):
        chance = random.Random(f"recipe {case}")
        if chance.random() < 0.5:
            recipe = tiny_recipe.sections(data)
        else:
            recipe = yaml.safe_load(chance.choice(BUNDLED).read_text())
        kind = chance.choice(["gentle", "gentle", "values", "values", "text", "bytes"])
        if kind in ("gentle", "values"):
            (change_gently if kind == "gentle" else spoil_values)(recipe, chance)
        content = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
        path = tmp_path / "spoilt.yaml"
        path.write_bytes(spoil_bytes(content.encode(), chance) if kind == "bytes" else content.encode())
        if kind == "text":
            path.write_bytes(spoil_text(content, chance))
        result, why = wsss("check", path)
        if why is None and result.exit_code == 0 and root_of(path) == str(data):
            result, why = wsss("run", path, "--stages", "labels", "--out", tmp_path / f"run{case}", "--device", "cpu")
            if why is None and result.exit_code:
                why = f"`wsss check` called it ready: {result.output}"
        if why:
            broken.append((f"recipe {case} ({kind})", why))
    none_of(broken)
