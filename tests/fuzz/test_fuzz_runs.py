"""Damaged folders of runs: every command that opens one says what is wrong with it, or does without what is damaged."""

import json
import random
import shutil

import pytest
import stacks
from fuzzing import none_of, spoil_bytes, wsss

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("adapters")]

CASES, PARTS = 100, 5
JSON = [None, 1, "x", [], {}, [1], {"x": 1}, float("nan"), 10**400, [[[[]]]]]


def spoil_json(value, chance):
    """Return a JSON value with one of its leaves or branches replaced or removed."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(sorted(value))
        changed = dict(value)
        if chance.random() < 0.3:
            del changed[key]
        else:
            changed[key] = spoil_json(value[key], chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [*value[:place], spoil_json(value[place], chance), *value[place + 1 :]]
    return chance.choice(JSON)


def damage(run, chance):
    """Damage one or two files or folders of a run; return what was done."""
    done = []
    for _ in range(chance.randint(1, 2)):
        files = sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size < 5e7)
        states = [path for path in files if path.suffix in (".json", ".yaml", ".csv", ".safetensors")]
        path = chance.choice(states if chance.random() < 0.7 else files)
        kind = chance.choice(["bytes", "bytes", "json", "json", "delete", "folder", "new"])
        if kind == "json" and path.suffix == ".json":
            try:
                path.write_text(json.dumps(spoil_json(json.loads(path.read_text()), chance)))
            except (ValueError, RecursionError):  # it was damaged before
                path.write_text("{")
        elif kind == "delete":
            path.unlink()
        elif kind == "folder":
            path.unlink()
            path.mkdir()
        elif kind == "new":
            (
                path.parent / chance.choice([".run.json.123", "x.partial.1", ".generating-1", "stage.json", "a b"])
            ).write_text("?")
        else:
            path.write_bytes(spoil_bytes(path.read_bytes(), chance))
        done.append(f"{kind} {path.relative_to(run)}")
    return ", ".join(done)


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_runs(trained_once, tmp_path, adapters, part):
    scene, broken = stacks.write_scene(tmp_path / "scene.tif", 40, 40), []
    recipe = trained_once.parent / "tiny.yaml"
    for case in range(part, CASES, PARTS):
        chance = random.Random(f"run {case}")
        run = tmp_path / f"run{case}"
        shutil.copytree(trained_once, run)
        what = damage(run, chance)
        commands = {
            "pseudolabel": [
                "pseudolabel",
                "--run",
                run,
                "--tiles",
                scene,
                "--out",
                tmp_path / f"out{case}",
                "--device",
                "cpu",
            ],
            "report": ["report", run],
            "run": ["run", recipe, "--out", run, "--device", "cpu"],
            "explain": ["explain", run, scene, "--out", tmp_path / f"explained{case}", "--device", "cpu"],
        }
        for name in chance.sample(sorted(commands), 2):
            _, why = wsss(*commands[name])
            if why:
                broken.append((f"run {case} ({what}), {name}", why))
        shutil.rmtree(run)
    none_of(broken)
