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
    "check": "runs.run",
    "run": "runs.run",
    "open_run": "runs.run",
    "sweep": "experiments.sweep",
    "compare": "experiments.compare",
    "Run": "runs.run",
    "Prediction": "runs.run",
    "Progress": "domain.progress",
    "Recipe": "recipe",
    "RecipeErrors": "recipe",
    "WsssError": "errors",
    "UsageError": "errors",
    "DataError": "errors",
    "WsssWarning": "runs.run",
}
"""The module of each public name."""

__all__ = [
    "DataError",
    "Prediction",
    "Progress",
    "Recipe",
    "RecipeErrors",
    "Run",
    "UsageError",
    "WsssError",
    "WsssWarning",
    "check",
    "compare",
    "open_run",
    "run",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
