"""Weakly supervised semantic segmentation: image-level labels in, masks out.

`import wsss_toolkit as w` is the front door for programs and notebooks: docs/python.md. Importing this package loads
neither torch nor any other heavy library; each name is loaded when it is first used.

>>> import wsss_toolkit as w
>>> w.check("quickstart", set={"train.epochs": 5})
('Synthetic data: figures say nothing about real scenes.',)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsss_toolkit.domain.progress import Progress
    from wsss_toolkit.errors import DataError, UsageError, WsssError
    from wsss_toolkit.experiments.compare import compare
    from wsss_toolkit.experiments.sweep import sweep
    from wsss_toolkit.recipe import Recipe, RecipeErrors
    from wsss_toolkit.runs.run import Prediction, Run, WsssWarning, check, open_run, run

__version__ = "0.1.0"

_HOMES = {
    "runs.run": ("check", "run", "open_run", "Run", "Prediction", "WsssWarning"),
    "experiments.sweep": ("sweep",),
    "experiments.compare": ("compare",),
    "domain.progress": ("Progress",),
    "recipe": ("Recipe", "RecipeErrors"),
    "errors": ("WsssError", "UsageError", "DataError"),
}
"""The public names of each module."""

__all__ = [
    "DataError", "Prediction", "Progress", "Recipe", "RecipeErrors", "Run", "UsageError", "WsssError", "WsssWarning",
    "check", "compare", "open_run", "run", "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
