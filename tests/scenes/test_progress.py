"""What a terminal shows while scenes are labelled, and what is said of those that failed."""

import io
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from wsss_toolkit.errors import DataError
from wsss_toolkit.scenes.job import Finished
from wsss_toolkit.scenes.progress import SceneProgress, failure_report


@dataclass(frozen=True)
class Source:
    name: str

    @property
    def shown(self):
        return f"scenes/{self.name}.tif"


@dataclass(frozen=True)
class Job:
    source: Source
    height: int = 2000
    width: int = 1000


def test_each_scene_and_all_of_them_have_a_bar_with_pixels_per_second():
    jobs = [Job(Source(name)) for name in ("a", "b")]
    screen = io.StringIO()
    with SceneProgress(jobs, Console(file=screen, force_terminal=True, width=100)) as progress:
        progress.advance(jobs[0], 500_000)
        progress.advance(jobs[0], 500_000)
        progress._bars.refresh()
        shown = screen.getvalue()
        lines = [line for line in shown.splitlines() if "Mpx/s" in line]
        assert any("2 scenes" in line and " 25%" in line for line in lines)
        assert any("a " in line and " 50%" in line for line in lines)
        progress.advance(jobs[0], 1_000_000)
        progress.finished(jobs[0], Finished(Path("out/a_mask.tif"), empty=False))
        progress.failed(jobs[1], DataError("truncated", where="scenes/b.tif"))
    assert "a: 2000 x 1000 pixels, out/a_mask.tif" in screen.getvalue()
    assert list(progress.failures) == ["scenes/b.tif"] and progress.warnings == []


def test_scenes_without_a_class_are_named_at_the_end():
    screen = io.StringIO()
    with SceneProgress([Job(Source("a")), Job(Source("b"))], Console(file=screen, width=40)) as progress:
        progress.finished(Job(Source("a")), Finished(Path("out/a_mask.tif"), empty=True))
        progress.finished(Job(Source("b")), Finished(Path("out/b_mask.tif"), empty=False))
        assert "warning" not in screen.getvalue()
    [line] = [line for line in screen.getvalue().splitlines() if "warning" in line]
    assert line.startswith("warning: scenes/a.tif: no pixel has a class, the mask is 255 everywhere")


def test_reasons_of_failed_scenes_are_one_line_each():
    failures = {"b.tif": DataError("truncated", where="b.tif"), "c": ValueError("two\nlines"), "d": KeyError()}
    assert str(failure_report(failures, 5)).splitlines() == [
        "3 of 5 scenes failed:",
        "  b.tif: truncated",
        "  c: ValueError: two lines",
        "  d: KeyError",
    ]
