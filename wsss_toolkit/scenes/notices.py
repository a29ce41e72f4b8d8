"""Warnings about scenes: one of a kind is told in full, and of what other scenes it holds is counted."""

import re

from rich.console import Console

from wsss_toolkit.errors import printable

SHOWN = 3
"""Scenes that are named of those that share a warning."""

_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


def warn(line: str, console: Console) -> None:
    """Print a warning of one line."""
    console.print(f"warning: {printable(line)}", style="yellow", highlight=False, soft_wrap=True, markup=False)


class Notices:
    """Prints a warning the first time; others that differ from it by numbers alone are summed up when it is closed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._others: dict[str, list[tuple[str, str]]] = {}

    def __enter__(self) -> "Notices":
        """Begin."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Sum up."""
        for others in self._others.values():
            if len(others) == 1:
                warn(": ".join(others[0]), self._console)
            elif others:
                names = ", ".join(shown for shown, _ in others[:SHOWN]) + ", ..." * (len(others) > SHOWN)
                what = others[0][1].partition(": ")[0]
                warn(f"{what}: the same of {len(others)} other scenes: {names}", self._console)

    def tell(self, shown: str, text: str) -> None:
        """Say something of a scene."""
        kind = _NUMBER.sub("", text)
        if kind in self._others:
            self._others[kind].append((shown, text))
            return
        self._others[kind] = []
        warn(f"{shown}: {text}", self._console)
