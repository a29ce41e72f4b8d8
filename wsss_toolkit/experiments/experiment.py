"""Carries an experiment out cell by cell: what is finished is kept, what fails is named, the others go on."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from wsss_toolkit.compute import find_launch
from wsss_toolkit.domain import Adapter
from wsss_toolkit.domain.progress import Watch, count, enter, watched
from wsss_toolkit.errors import DataError, UsageError, WsssError
from wsss_toolkit.experiments import child
from wsss_toolkit.experiments.cells import SUPERVISED_STAGES, Cell, Row, cells_of
from wsss_toolkit.experiments.curves import draw_curves
from wsss_toolkit.experiments.sharing import Shelf, incoming_folder, shelf_of, take_over
from wsss_toolkit.experiments.supervised_inputs import stage_digests
from wsss_toolkit.experiments.table import build_table, flat_rows, write_table
from wsss_toolkit.files import discard, is_leftover, remove_leftovers, write_json, write_text
from wsss_toolkit.recipe import Recipe, check_against_adapter, recipe_digest, section_json
from wsss_toolkit.runs import pipeline
from wsss_toolkit.runs.folder import REPORT_FILE, RunFolder, alone_in, read_report
from wsss_toolkit.runs.stages import StageWork
from wsss_toolkit.state import read_state

MARKER = "experiment.json"
"""Tells a folder of an experiment from others."""

STAGES = tuple(stage for stage in pipeline.STAGES if stage != "export")
"""What a cell does unless told otherwise: the table needs no exported masks."""

Kind = Literal["sweep", "compare"]


class Experiment:
    """The folder of an experiment and its cells.

    Args:
        path: The folder, made if it is not there; None means ``runs/NAME-KIND``.
        kind: What kind of experiment.
        rows: The lines of the table, in order.
        seeds: How many seeds each row has.
        stages: What each cell does; None means `STAGES`.
        device: ``auto``, ``cpu`` or ``cuda``.
        console: Where progress goes; None means nowhere.

    Raises:
        UsageError: If two rows have the same name, a stage needs one that is neither in `stages` nor in any cell, or
            several processes were started.
    """

    def __init__(
        self,
        path: Path | None,
        kind: Kind,
        rows: Sequence[Row],
        seeds: int,
        *,
        stages: Sequence[str] | None = None,
        device: str = "auto",
        console: Console | None = None,
    ) -> None:
        self.path = path if path is not None else Path("runs") / f"{rows[0].recipe.name}-{kind}"
        self.kind, self.device, self.console = kind, device, console or Console(quiet=True)
        self.rows, self.cells = tuple(rows), tuple(cells_of(rows, seeds))
        self.stages = tuple(stages) if stages is not None else STAGES
        self.failures: dict[str, str] = {}
        self._adapters: dict[str, Adapter] = {}
        if find_launch().processes > 1:
            fix = "start it without torchrun or srun; machine.devices says how many GPUs each training takes"
            raise UsageError(f"wsss {kind} is one process that starts others", fix=fix)
        names = [row.name for row in rows]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"two rows come to the same folder, {twice!r}", fix="give them names that differ more")
        there = {stage for stage, _ in self._shelf()}
        self._require_whole(lambda _, stage: stage in there)

    def folder(self, cell: Cell) -> Path:
        """Return the run folder of a cell."""
        return self.path / "cells" / cell.name

    def stages_of(self, cell: Cell) -> tuple[str, ...]:
        """Return the stages that a cell carries out, of those that its recipe has."""
        if cell.row.supervised is not None:
            return SUPERVISED_STAGES
        absent = pipeline.absent_stages(cell.recipe)
        return tuple(stage for stage in self.stages if stage not in absent)

    def is_finished(self, cell: Cell) -> bool:
        """Return whether a cell's report answers its recipe and tells of every stage."""
        file = self.folder(cell) / REPORT_FILE
        if not file.is_file():
            return False
        try:
            run = read_report(file.parent)["run"]
        except DataError:
            return False  # it is written again
        same = run.get("recipe_digest") == recipe_digest(cell.recipe)
        return same and set(self.stages_of(cell)) <= set(run.get("stages", {}))

    def carry_out(self) -> None:
        """Carry out the cells that are not finished; `failures` then says which failed and why.

        Raises:
            UsageError: If the folder holds something else, another process works in it, or a stage that `stages` leaves
                out has not finished for a cell's recipe.
            WsssError: If the data cannot be read, or do not fit a recipe.
        """
        self._claim()
        with alone_in(self.path):
            for cell in self.cells:
                check_against_adapter(cell.recipe, self._adapter(cell.recipe))
            shelf = self._shelf()
            self._require_whole(lambda cell, stage: (stage, self._pipeline(cell).digest(stage)) in shelf)
            self.failures.clear()
            remove_leftovers(self.path / "failures")
            for number, cell in enumerate(self.cells, start=1):
                self._carry_out(cell, f"cell {number} of {len(self.cells)}: {cell.name}")
                self.write_table()
                count("cells", number, len(self.cells))

    def _require_whole(self, finished: Callable[[Cell, str], bool]) -> None:
        """Refuse stages of which a cell lacks one that they need, before any cell is carried out."""
        for cell in self.cells:
            if cell.row.supervised is None:
                pipeline.require_whole(cell.recipe, self.stages_of(cell), partial(finished, cell), self.path)

    def _shelf(self) -> Shelf:
        """Return what the cells have finished, those of earlier commands included."""
        return shelf_of(self.path / "cells", pipeline.STAGES)

    def write_table(self) -> dict[str, Any]:
        """Write the table of the cells that are finished so far, and return it."""
        reports = {cell.name: self.folder(cell) for cell in self.cells if self.is_finished(cell)}
        table = build_table(self.kind, self.rows, self.cells, reports, self.failures)
        write_table(table, self.path)
        return table

    def draw(self) -> list[Path]:
        """Draw the curves of the table, and return their files; methods have no order to draw a curve over."""
        return draw_curves(self.write_table(), self.path) if self.kind == "sweep" else []

    def _carry_out(self, cell: Cell, title: str) -> None:
        folder, note = self.folder(cell), self.path / "failures" / f"{cell.name}.txt"
        kept = self.is_finished(cell) and self._has_stages(cell)
        self.console.print(f"{title}: finished, kept" if kept else title, highlight=False, markup=False)
        failure: child.Failure | None = None
        try:
            if not kept:
                self._take_over(cell)
                failure = child.in_child(carry_out_cell, cell, folder, self.stages_of(cell), self.device)
        except WsssError as error:
            failure = child.failure_of(error)
        if failure is None:
            note.unlink(missing_ok=True)
            return
        self.failures[cell.name] = failure.message
        self.console.print(f"cell {cell.name} failed: {failure.message}", style="red", highlight=False, markup=False)
        note.parent.mkdir(exist_ok=True)
        write_text(note, f"{failure.message}\n\n{failure.details}")

    def _has_stages(self, cell: Cell) -> bool:
        """Return whether the page and every stage lie there, with the digest of today's inputs; data may change."""
        if cell.row.supervised is not None:
            wanted = stage_digests(cell.recipe, cell.row.supervised, self._adapter(cell.recipe))
            folder = RunFolder(self.folder(cell), cell.recipe.name)
            return all(folder.find(stage, digest) is not None for stage, digest in wanted.items())
        from wsss_toolkit.report.page import PAGE_FILE  # slow

        page = self.folder(cell) / PAGE_FILE  # written last: whoever was killed before lacks it
        return page.is_file() and all(map(self._pipeline(cell).has, self.stages_of(cell)))

    def _take_over(self, cell: Cell) -> None:
        """Give a cell the stages that its siblings have finished."""
        if cell.row.supervised is not None:
            return
        plan, shelf, own = self._pipeline(cell), self._shelf(), self.stages_of(cell)
        needed = {earlier for stage in own for earlier in (*pipeline.needs(cell.recipe, stage), stage)}
        with alone_in(plan.folder.path):
            for stage in pipeline.STAGES:
                discard(incoming_folder(plan.folder, stage))
            for stage in (stage for stage in pipeline.STAGES if stage in needed):
                source = take_over(plan.folder, stage, plan.digest(stage), shelf)
                if source is not None:
                    shown = source.relative_to(self.path / "cells").parts[0]
                    self.console.print(f"{stage}: shared with {shown}", highlight=False, markup=False)

    def _pipeline(self, cell: Cell) -> pipeline.Pipeline:
        folder = RunFolder(self.folder(cell), cell.recipe.name)
        work = StageWork(cell.recipe, self._adapter(cell.recipe), folder, self.device, Console(quiet=True))
        return pipeline.Pipeline(work)

    def _adapter(self, recipe: Recipe) -> Adapter:
        key = section_json(recipe.data)
        if key not in self._adapters:
            self._adapters[key] = pipeline.prepared_adapter(recipe)
        return self._adapters[key]

    def _claim(self) -> None:
        """Make the folder this experiment's; a folder of something else is refused."""
        marker, ours = self.path / MARKER, {"kind": self.kind, "name": self.cells[0].recipe.name}
        if marker.is_file():
            fix = f"write {json.dumps(ours)} into it if the folder is that {self.kind}'s, or choose another --out"
            found = read_state(marker, dict[str, str], fix)
            if found != ours:
                what = f"the folder holds a {found.get('kind')} of recipe {found.get('name')!r}"
                raise UsageError(what, where=str(self.path), fix="choose another --out")
        elif self.path.exists() and not (self.path.is_dir() and all(map(is_leftover, self.path.iterdir()))):
            what = f"the folder is no {self.kind} and not empty"
            raise UsageError(what, where=str(self.path), fix="choose another --out")
        write_json(marker, ours)
        (self.path / "cells").mkdir(exist_ok=True)


def table_rows(experiment: Experiment, progress: Watch | None) -> list[dict[str, Any]]:
    """Carry an experiment out for a program, and return the rows of its table as plain values.

    A `WsssError` says which cells have failed; the table tells of the others.
    """
    with watched(progress):
        enter(experiment.kind, "started")
        experiment.carry_out()
        enter(experiment.kind, "done")
    table = experiment.write_table()
    experiment.draw()
    if experiment.failures:
        reasons = "; ".join(f"{name}: {why}" for name, why in experiment.failures.items())
        what = f"{len(experiment.failures)} of {len(experiment.cells)} cells failed: {reasons}"
        fix = "table.csv has the others; the same call tries these cells again"
        raise WsssError(what, where=str(experiment.path), fix=fix)
    numbers = [row.numbers for row in experiment.rows]
    return [{**flat, **known} for flat, known in zip(flat_rows(table), numbers, strict=True)]


def carry_out_cell(cell: Cell, folder: Path, stages: Sequence[str], device: str) -> None:
    """Carry out one cell; what the child process is asked to do."""
    if cell.row.supervised is not None:
        from wsss_toolkit.experiments.supervised import run_supervised  # torch and all that

        run_supervised(cell.recipe, cell.row.supervised, out=folder, device=device)
        return
    pipeline.run(cell.recipe, out=folder, stages=stages, device=device)
