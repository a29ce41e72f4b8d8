"""A grid of recipe values, with several seeds, as one table: what `wsss sweep` and `wsss_toolkit.sweep` share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from wsss_toolkit.domain.progress import Watch
from wsss_toolkit.experiments.cells import Row, grid_row
from wsss_toolkit.experiments.experiment import Experiment, table_rows
from wsss_toolkit.experiments.grid import combinations, read_grid
from wsss_toolkit.recipe import Recipe, override_texts, value_text
from wsss_toolkit.runs.run import Changes, RecipeLike, resolve_recipe


def sweep_rows(
    recipe: RecipeLike,
    options: Sequence[str],
    cases: Sequence[str] = (),
    opened: Callable[[Any, Sequence[str]], Recipe] = resolve_recipe,
) -> list[Row]:
    """Return one row per combination of the values that `read_grid` reads; `opened` gives the recipe with changes.

    Raises:
        UsageError: If an option is malformed, or a value, case or key is given twice.
        RecipeErrors: If a combination makes no valid recipe.
    """
    fixed, axes = read_grid(options, cases)
    return [
        grid_row(axes, combination, opened(recipe, [*fixed, *(o for c in combination for o in c.overrides)]))
        for combination in combinations(axes)
    ]


def sweep(  # noqa: PLR0913  # one argument for each option of the command
    recipe: RecipeLike,
    grid: Mapping[str, Iterable[object]],
    *,
    cases: Mapping[str, Mapping[str, object]] | None = None,
    set: Changes = (),
    seeds: int = 1,
    out: str | PathLike[str] | None = None,
    stages: Sequence[str] | None = None,
    device: str = "auto",
    progress: Watch | None = None,
) -> list[dict[str, Any]]:
    """Run a recipe with every combination of values: what `wsss sweep` does.

    Every cell runs in a process of its own. In a script, call this below ``if __name__ == "__main__":``; notebooks need
    no such thing. Finished cells are kept when the same call is made again.

    Args:
        recipe: A recipe's file, the name of a bundled one, or a recipe that is loaded already.
        grid: Values by dotted key, such as ``{"model.token_masking": [0, 0.5]}``.
        cases: Named sets of values, an axis of their own, such as ``{"as it is": {}, "no gates": {...}}``.
        set: Changes of the recipe that hold for all rows.
        seeds: How many seeds each row has.
        out: Folder of the cells and the table; None means ``runs/NAME-sweep``.
        stages: Stages of each cell; None means all but export.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Is told of each cell.

    Returns:
        One dictionary of plain values per row, which pandas takes as it is: the values that tell the row from others,
        ``trained_on``, ``seeds``, ``failed`` and every figure as ``NAME.mean`` and ``NAME.std`` (None where one seed
        has finished). The folder gets the same as ``table.csv``, with curves.

    Raises:
        UsageError: If a value is malformed or given twice, or the folder holds something else.
        RecipeErrors: If a combination makes no valid recipe; nothing has run then.
        WsssError: If cells have failed; the others are finished and in the table.
    """
    options = [f"{key}={','.join(map(value_text, values))}" for key, values in grid.items()]
    named = [f"{name}: {'; '.join(override_texts(values))}" for name, values in (cases or {}).items()]
    rows = sweep_rows(recipe, [*override_texts(set), *options], named)
    folder = None if out is None else Path(out)
    return table_rows(Experiment(folder, "sweep", rows, seeds, stages=stages, device=device), progress)
