"""Flags of `wsss pseudolabel` are made of the models of the adapters' outputs."""

from typing import Annotated, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import Field

from wsss_toolkit.cli import output_flags
from wsss_toolkit.cli.output_flags import OutputFlags, output_flag
from wsss_toolkit.domain import SceneOutputs


class Maps(SceneOutputs):
    form: Literal["shp", "kml"] = "kml"
    """Format of the lines."""
    smallest: Annotated[float, Field(gt=0, le=9)] = 2.5
    """Least length."""
    at_most: Annotated[int, Field(ge=3)] = 5
    """Most lines."""
    ratio: float = 0.0
    """Any number."""
    title: str = ""
    """Any text."""
    legend: bool = True
    """Also write a legend."""
    window: bool = False
    """A name that the command has a flag of its own for."""


class Tables(SceneOutputs):
    form: Literal["csv"] = "csv"
    """Format of the table."""
    ratio: float = 0.0
    """Any number, too."""


def command(monkeypatch, models):
    """Return a command with one flag of its own, and the list in which its calls are noted."""
    monkeypatch.setattr(output_flags, "installed_outputs", lambda: models)
    calls = []

    @click.command("label", cls=OutputFlags)
    @click.option("--window", type=int)
    def label(window, outputs):
        calls.append((window, outputs))

    return label, calls


def test_only_what_was_given_reaches_the_function(monkeypatch):
    label, calls = command(monkeypatch, {"maps": Maps})
    values = ["--form", "shp", "--smallest", "9", "--at-most", "3", "--ratio", "-1", "--title", "a b"]
    for arguments in ([], values, ["--scores", "--no-legend"], ["--window", "7", "--ratio", "0"]):
        result = CliRunner().invoke(label, arguments)
        assert result.exit_code == 0, result.output
    given = {"form": "shp", "smallest": 9.0, "at_most": 3, "ratio": -1.0, "title": "a b"}
    assert calls == [(None, {}), (None, given), (None, {"scores": True, "legend": False}), (7, {"ratio": 0.0})]
    Maps.model_validate(given)


@pytest.mark.parametrize("arguments, message", [
    (["--form", "csv"], "'csv' is not one of 'shp', 'kml'"),
    (["--smallest", "0"], "0.0 is not in the range 0<x<=9"),
    (["--at-most", "2"], "2 is not in the range x>=3"),
    (["--at-most", "3.5"], "'3.5' is not a valid integer"),
    (["--ratio", "much"], "'much' is not a valid float"),
    (["--confidence", "--no-scores"], "No such option"),
])  # fmt: skip
def test_limits_and_choices_are_those_of_the_fields(monkeypatch, arguments, message):
    result = CliRunner().invoke(command(monkeypatch, {"maps": Maps})[0], arguments)
    assert result.exit_code == 2 and message in result.output


def test_help_tells_whose_flags_they_are(monkeypatch):
    models = {"maps": Maps, "more": Maps, "pictures": SceneOutputs, "tables": Tables}
    result = CliRunner().invoke(command(monkeypatch, models)[0], ["--help"], terminal_width=200)
    lines = {words[0]: line for line in result.output.splitlines() if (words := line.split())}
    assert lines["--scores"].endswith("Also write the scores of all classes.")
    assert lines["--legend"].endswith("Also write a legend.  [only for maps, more]")
    assert lines["--ratio"].endswith("Any number.  [only for maps, more, tables]")
    assert "[default: 2.5; 0<x<=9]" in lines["--smallest"]
    assert list(lines)[-1] == "--help"


def test_a_field_that_two_adapters_mean_differently_is_left_to_the_runs_own():
    both = {"maps": Maps, "tables": Tables}
    assert output_flag("form", both).type is click.STRING
    assert output_flag("form", {"maps": Maps}).type.choices == ("shp", "kml")
    assert output_flag("ratio", both).type is click.FLOAT


def test_flags_of_the_command_stay_its_own(monkeypatch):
    label, calls = command(monkeypatch, {"maps": Maps})
    assert CliRunner().invoke(label, ["--window", "5"]).exit_code == 0
    assert calls == [(5, {})]


def test_adapters_that_cannot_be_loaded_or_label_no_scenes_have_no_say(adapters, monkeypatch):
    from importlib.metadata import EntryPoint

    from fake_domain import POINT

    broken = [EntryPoint("broken", f"{name}:Adapter", "wsss.adapters") for name in ("no_such_module", "fake_domain")]
    voc = EntryPoint("voc", "wsss_adapters.natural.voc:Voc", "wsss.adapters")
    for point in broken:
        monkeypatch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group, own=point: [POINT, own, voc])
        assert output_flags.installed_outputs() == {"voc": SceneOutputs}
