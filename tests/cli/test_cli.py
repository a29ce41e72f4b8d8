import errno
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from wsss_toolkit.cli import cli
from wsss_toolkit.cli.check import training_memory
from wsss_toolkit.cli.main import COMMANDS
from wsss_toolkit.errors import DataError
from wsss_toolkit.recipe import bundled_recipes
from wsss_toolkit.recipe.reference import FIRST

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("adapters")


@pytest.fixture
def calls(monkeypatch):
    """Replace the pipeline by one that notes how it was called, or raises what the test asks for."""
    noted = []
    fake = types.ModuleType("wsss_toolkit.runs.pipeline")
    fake.STAGES = ("labels", "train", "pseudo_masks", "segmentation", "evaluation", "export")
    fake.error = None

    def run(recipe, *, out, stages, device, overwrite):
        noted.append((recipe, out, stages, device, overwrite))
        if fake.error is not None:
            raise fake.error
        return out

    fake.run = run
    monkeypatch.setitem(sys.modules, "wsss_toolkit.runs.pipeline", fake)
    monkeypatch.setattr("wsss_toolkit.runs.pipeline", fake, raising=False)
    return fake, noted


def invoke(*arguments):
    return CliRunner().invoke(cli, list(arguments))


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from wsss_toolkit.cli import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'monai', 'torchgeo', 'rasterio', 'lightning', 'timm', 'numpy', "
        "'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert "wsss run quickstart" in done.stdout


def test_reading_a_recipe_loads_nothing_heavy():
    code = (
        "import sys\n"
        "import wsss_toolkit, wsss_toolkit.errors, wsss_toolkit.domain, wsss_toolkit.recipe\n"
        "heavy = {'torch', 'torchgeo', 'rasterio', 'lightning', 'timm'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_examples(name):
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"wsss {name}" in result.output
    assert "--debug" in result.output


def test_version():
    assert invoke("--version").output == "wsss 0.1.0\n"


def test_run_passes_everything_on(calls):
    result = invoke(
        "run",
        "quickstart",
        "--set",
        "train.epochs=5",
        "--out",
        "o",
        "--stages",
        "train,labels",
        "--device",
        "cpu",
        "--overwrite",
    )
    assert (result.exit_code, result.output) == (0, "results: o\n")
    recipe, *rest = calls[1][0]
    assert recipe.train.epochs == 5
    assert rest == [Path("o"), ("labels", "train"), "cpu", True]


def test_run_defaults(calls):
    invoke("run", "quickstart")
    assert calls[1][0][1:] == (Path("runs/quickstart"), None, "auto", False)


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (
            ["run", "quickstart", "--stages", "trian"],
            2,
            "error: --stages: there is no stage 'trian'; did you mean train?\n",
        ),
        (
            ["run", "quickstart", "--stages", ","],
            2,
            "error: --stages names no stage; choose from labels, train, "
            "pseudo_masks, segmentation, evaluation, export\n",
        ),
        (["run", "xyz"], 2, "error: 'xyz' is neither a file nor a bundled recipe; choose from "),
        (
            ["run", "quickstart", "--set", "train.epoch=5"],
            2,
            "error: --set train.epoch=5: unknown key, did you mean epochs?\n",
        ),
        (["run", "quickstart", "--device", "tpu"], 2, "Error: Invalid value for '--device'"),
        (["run"], 2, "Error: Missing argument 'RECIPE'."),
        (["fly"], 2, "Error: No such command 'fly'."),
    ],
)
def test_wrong_use(calls, arguments, code, expected):
    result = invoke(*arguments)
    assert result.exit_code == code
    assert expected in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (
            DataError("tile is truncated", where="a.tif", fix="copy it again"),
            1,
            "error: a.tif: tile is truncated; copy it again\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x"),
            1,
            "error: no space left on device for runs/x; free space or choose another --out\n",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), 1, "error: Permission denied: runs\n"),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on where it stopped\n"),
        (
            RuntimeError("two\nlines"),
            1,
            "error: unexpected RuntimeError: two lines; run again with --debug for the traceback\n",
        ),
    ],
)
def test_errors_are_one_line(calls, error, code, expected):
    calls[0].error = error
    result = invoke("run", "quickstart")
    assert (result.exit_code, result.stderr) == (code, expected)


@pytest.mark.parametrize("arguments", [["--debug", "run", "quickstart"], ["run", "quickstart", "--debug"]])
def test_debug_shows_the_traceback(calls, arguments):
    calls[0].error = RuntimeError("boom")
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_mistakes_of_a_recipe_are_printed_as_they_are(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nseeds: 1\ndata: {adapter: fake}\nchannels: {radar: {scale: decibel}}\n")
    result = invoke("run", str(path))
    assert result.stderr == (f"{path}:2:1 seeds: unknown key, did you mean seed?\n{path}:3:1 data.root: missing key\n")
    assert result.exit_code == 2


def test_check_prints_the_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("check", "quickstart")
    assert result.exit_code == 0, result.output
    assert "160" in result.output
    assert "153 = 8 of classes + 144 patches of 8 px + 1 registers" in result.output
    assert "Synthetic data" in result.output
    assert "note: the data are not there yet: `wsss run` makes them, so no image or mask was read" in result.output
    assert "warning" not in result.output
    assert result.output.endswith("quickstart: ready; start it with: wsss run quickstart\n")
    assert list(tmp_path.iterdir()) == []


def test_check_shows_the_plan_before_saying_that_data_are_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("check", "sentinel_samples")
    assert result.exit_code == 1
    assert "Rangeland" in result.stdout
    assert result.stderr.startswith("error: data/terramind: ")


def test_check_reports_splits_with_their_position(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\ndata: {adapter: fake, root: .}\nchannels: {radar: {scale: decibel}}\nexport: {splits: [tets]}\n"
    )
    result = invoke("check", str(path))
    assert result.stderr == f"error: {path}:4:18 export.splits: the data have no split 'tets', did you mean test?\n"
    assert result.exit_code == 2


def test_training_memory():
    assert training_memory(10, 15, images=2, tokens=3, width=4, blocks=5) == 16 * 10 + 4 * 5 + 68 * 2 * 3 * 4 * 5


def test_schema_accepts_the_bundled_recipes_and_refuses_others():
    schema = json.loads(invoke("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path, _ in bundled_recipes().values():
        assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == []
    wrong = yaml.safe_load(bundled_recipes()["quickstart"][0].read_text())
    wrong["data"]["adapter"] = "nobody"
    wrong["train"]["epoch"] = 3
    assert sorted(error.json_path for error in validator.iter_errors(wrong)) == ["$.data", "$.train"]


def test_reference_page_is_current():
    page = (REPOSITORY / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert page == invoke("schema", "--markdown").stdout, "run `wsss schema --markdown > docs/recipe.md`"


def test_the_reference_begins_with_the_keys_that_most_recipes_set():
    page = (REPOSITORY / "docs" / "recipe.md").read_text(encoding="utf-8")
    first, rest = page.split("## The keys to begin with")[1].split("## Recipe\n")
    named = re.findall(r"^\| `([\w.]+)` \| (.+) \|$", first, re.MULTILINE)
    assert [key for key, _ in named] == list(FIRST) and len([key for key in FIRST if "." in key]) <= 22
    for key, meaning in named:
        [row] = [line for line in rest.splitlines() if line.startswith(f"| `{key}` ")]
        assert f"| {meaning} |" in row.replace(". Makes nothing stale", ""), "the reference itself says the same"


def test_adapters_and_recipes():
    output = invoke("adapters").output
    assert "fake" in output
    assert "synthetic" in output
    lines = invoke("recipes").output.splitlines()
    assert [line.split()[0] for line in lines] == list(bundled_recipes())
    assert all(len(line.split()) > 3 for line in lines)
