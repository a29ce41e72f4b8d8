"""A recipe beside other methods, as one table: what `wsss compare` and `wsss_toolkit.compare` share."""

import importlib.util
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from wsss_toolkit.domain.progress import Watch
from wsss_toolkit.errors import UsageError
from wsss_toolkit.experiments.cells import Row
from wsss_toolkit.experiments.experiment import Experiment, table_rows
from wsss_toolkit.experiments.methods import METHODS, choose_methods, method_rows
from wsss_toolkit.recipe import Recipe
from wsss_toolkit.runs.run import Changes, RecipeLike, resolve_recipe


def compare_rows(recipe: Recipe, names: Sequence[str]) -> list[Row]:
    """Return one row per method; those that cannot be carried out here are refused before hours of others."""
    if "gradcam" in names and importlib.util.find_spec("monai") is None:
        fix = "pip install 'wsss-toolkit[endoscopy]', or leave gradcam out of --methods"
        raise UsageError("gradcam needs MONAI, which is not installed", fix=fix)
    if "supervised_unet" in names and recipe.segmentation is None:
        what = "supervised_unet needs the recipe's segmentation section, and there is none"
        raise UsageError(what, fix="add one, or leave supervised_unet out of --methods")
    return method_rows(recipe, names)


def compare(
    recipe: RecipeLike,
    *,
    methods: Sequence[str] = tuple(METHODS),
    set: Changes = (),
    seeds: int = 1,
    out: str | PathLike[str] | None = None,
    device: str = "auto",
    progress: Watch | None = None,
) -> list[dict[str, Any]]:
    """Run a recipe and other methods on the same data and budget: what `wsss compare` does.

    Rows called ``supervised_...`` learn from ground-truth masks, and say so in ``trained_on``. Every cell runs in a
    process of its own. In a script, call this below ``if __name__ == "__main__":``.

    Args:
        recipe: A recipe's file, the name of a bundled one, or a recipe that is loaded already.
        methods: Rows of the table, in this order.
        set: Changes of the recipe that hold for all rows.
        seeds: How many seeds each row has.
        out: Folder of the cells and the table; None means ``runs/NAME-compare``.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Is told of each cell.

    Returns:
        One dictionary of plain values per row, as `sweep` returns them.

    Raises:
        UsageError: If a method is unknown or cannot be carried out here, or the folder holds something else.
        RecipeErrors: If a method's values do not go with the recipe; nothing has run then.
        WsssError: If cells have failed; the others are finished and in the table.
    """
    loaded = resolve_recipe(recipe, set)
    rows = compare_rows(loaded, choose_methods(",".join(methods), "methods"))
    folder = None if out is None else Path(out)
    return table_rows(Experiment(folder, "compare", rows, seeds, device=device), progress)
