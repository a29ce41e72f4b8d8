"""Shows the progress of scenes, one bar each and one for all, with pixels per second."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from wsss_toolkit.domain import SceneSource
from wsss_toolkit.domain.progress import count
from wsss_toolkit.errors import WsssError, of_the_machine, printable, said
from wsss_toolkit.scenes.job import Finished, SceneJob
from wsss_toolkit.scenes.notices import Notices

SHOWN = 8
"""Scenes that have a bar of their own at a time."""

NOTHING = "no pixel has a class, the mask is 255 everywhere; does the scene hold data in all bands of the model?"
"""What is said of a scene without a class, so that nobody takes its mask for a result."""


DOUBTFUL = "values lie far off those that the model was trained on, so its mask is doubtful"
"""What is said of a scene whose values look like another unit."""


class _PixelSpeed(ProgressColumn):
    """Pixels per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if not speed else f"{speed / 1e6:.2f} Mpx/s", style="progress.data.speed")


class SceneProgress:
    """A watcher that draws bars, and keeps the `failures` and `warnings`: what is doubtful of finished masks."""

    def __init__(
        self, jobs: Sequence[SceneJob], console: Console, failures: dict[str, BaseException] | None = None
    ) -> None:
        self.warnings: list[tuple[str, str]] = []
        self.failures = {} if failures is None else failures
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            _PixelSpeed(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._scenes, self._done = len(jobs), 0
        pixels = sum(job.height * job.width for job in jobs)
        self._all = self._bars.add_task(f"{len(jobs)} scenes", total=pixels)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "SceneProgress":
        """Begin to draw."""
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End drawing, and name the scenes whose masks are doubtful, where nobody overlooks them."""
        self._bars.stop()
        with Notices(self._console) as notices:
            for warning in self.warnings:
                notices.tell(*warning)

    def advance(self, job: SceneJob, pixels: int) -> None:
        """Move the scene's bar and the common one."""
        name = job.source.name
        if name not in self._tasks and len(self._tasks) < SHOWN:
            self._tasks[name] = self._bars.add_task(name, total=job.height * job.width)
        if name in self._tasks:
            self._bars.advance(self._tasks[name], pixels)
        self._bars.advance(self._all, pixels)

    def finished(self, job: SceneJob, made: Finished) -> None:
        """Take the scene's bar away and name its mask."""
        self._remove(job)
        self._done += 1
        count("scenes", self._done, self._scenes)
        if made.empty:
            self.warnings.append((job.source.shown, NOTHING))
        if made.doubt:
            self.warnings.append((job.source.shown, f"{DOUBTFUL}: {made.doubt}"))
        size = f"{job.height} x {job.width}"
        shown = printable(Path(job.source.shown).name)
        of = f" of {shown}" if shown and Path(shown).stem != job.source.name else ""
        line = f"{job.source.name}: {size} pixels{of}, {made.mask}"
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def failed(self, job: SceneJob, error: BaseException) -> None:
        """Take the scene's bar away and keep the reason."""
        self._remove(job)
        add_failure(self.failures, job.source, error)

    def _remove(self, job: SceneJob) -> None:
        task = self._tasks.pop(job.source.name, None)
        if task is not None:
            self._bars.remove_task(task)


def add_failure(failures: dict[str, BaseException], source: SceneSource, error: BaseException) -> None:
    """Keep why a scene failed under what messages call it, which scenes of one product share."""
    failures[source.shown if source.shown not in failures else f"{source.shown} ({source.name})"] = error


def failure_report(failures: Mapping[str, BaseException], total: int) -> WsssError:
    """Put the reasons of failed scenes together, one line each."""
    lines = [f"{len(failures)} of {total} scenes failed:"]
    for shown, failure in failures.items():
        error, shown = of_the_machine(failure) or failure, printable(shown)
        words = " ".join(str(error).split()) if isinstance(error, WsssError) else said(error)
        lines.append(words if words.startswith(shown) else f"{shown}: {words}")
    return WsssError("\n  ".join(lines))
