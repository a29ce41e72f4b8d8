"""What `wsss sweep` and `wsss compare` have in common."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from wsss_toolkit.experiments.cells import Row
    from wsss_toolkit.experiments.experiment import Kind


def carry_out(
    out: Path | None,
    kind: "Kind",
    rows: "Sequence[Row]",
    seeds: int,
    *,
    stages: Sequence[str] | None,
    device: str,
    dry_run: bool,
) -> None:
    """Carry an experiment out, or list its cells; ends the program with exit code 1 where cells have failed."""
    from rich.console import Console

    from wsss_toolkit.experiments.cells import training_key
    from wsss_toolkit.experiments.experiment import Experiment

    console = Console(stderr=True, markup=False)
    experiment = Experiment(out, kind, rows, seeds, stages=stages, device=device, console=console)
    folder, cells = experiment.path, experiment.cells
    if dry_run:
        for number, cell in enumerate(cells, start=1):
            state = "  (finished)" if experiment.is_finished(cell) else ""
            click.echo(f"cell {number} of {len(cells)}: {cell.name}{state}")
        trainings = len({(training_key(cell.row), cell.seed) for cell in cells if cell.row.supervised is None})
        click.echo(f"{len(cells)} cells, {trainings} trainings of a classifier; folder: {folder}")
        return
    experiment.carry_out()
    table = experiment.write_table()
    Console(markup=False).print(terminal_table(table))
    click.echo(f"table: {folder / 'table.md'} (also .csv and .json)")
    for path in experiment.draw():
        if path.suffix == ".png":
            click.echo(f"figure: {path} (also .svg)")
    if experiment.failures:
        click.echo(f"error: {len(experiment.failures)} of {len(cells)} cells failed:", err=True)
        for name, why in experiment.failures.items():
            click.echo(f"  {name}: {why}", err=True)
        click.echo(f"tracebacks: {folder / 'failures'}; the same command tries these cells again", err=True)
        sys.exit(1)


def terminal_table(table: Mapping[str, Any]) -> "Table":
    """Return rows and mIoU, with training time, for a terminal; the files have the rest.

    In a narrow terminal words are broken rather than cut: two rows may differ in their ends alone.
    """
    from rich.table import Table
    from rich.text import Text

    from wsss_toolkit.experiments.table import IMAGE_LABELS, figure_names, heading, seeds_shown, sentences, shown

    names = figure_names(table)
    chosen = [name for name in names if name.endswith(".miou")]
    chosen += [name for name in ("gates.open", "seconds.training") if name in names]
    laid_out = Table(title=f"{table['recipe']}: {table['kind']}", caption="\n".join(sentences(table)))
    for axis in table["axes"]:
        laid_out.add_column(Text(axis), overflow="fold")
    all_weak = all(row["trained_on"] == IMAGE_LABELS for row in table["rows"])
    if not all_weak:
        laid_out.add_column("trained on", overflow="fold")
    laid_out.add_column("seeds", overflow="fold")
    for name in chosen:
        laid_out.add_column(heading(name), justify="right", overflow="fold")
    for row in table["rows"]:
        trained_on = [] if all_weak else [row["trained_on"]]
        figures = [shown(row["figures"], name) for name in chosen]
        laid_out.add_row(*map(Text, [*row["values"].values(), *trained_on, seeds_shown(row), *figures]))
    return laid_out
