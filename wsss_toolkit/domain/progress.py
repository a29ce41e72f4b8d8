"""How far a long piece of work has come: a bar in the terminal, or events for a program that asked for them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Progress:
    """One piece of news about a run; `str` makes a line of it, so that `print` can be who is told.

    >>> print(Progress("pseudo_masks", "working", "pseudo-masks train", 16, 40))
    pseudo_masks: pseudo-masks train, 16 of 40
    >>> print(Progress("train", "done"))
    train: done
    """

    stage: str
    """The stage of the run, such as ``train``; ``data`` before the first, ``label`` where scenes are labelled,
    ``sweep`` and ``compare`` of experiments."""
    state: Literal["started", "working", "done", "kept"]
    """``started``, then ``working`` any number of times, then ``done``; ``kept`` where nothing had to be done."""
    what: str = ""
    """What is being counted, such as ``pseudo-masks train`` or ``epochs``; empty unless the state is ``working``."""
    count: int = 0
    """How many are done: images, epochs or scenes."""
    total: int | None = None
    """How many there are in all; None where nobody knows yet."""

    def __str__(self) -> str:
        """Return one line for people."""
        if self.state != "working":
            return f"{self.stage}: {self.state}"
        return f"{self.stage}: {self.what}, {self.count}" + ("" if self.total is None else f" of {self.total}")


Watch = Callable[[Progress], object]
"""Is told of progress, in the thread that does the work; what it returns is not looked at."""


@dataclass(frozen=True, slots=True)
class _Watching:
    watch: Watch
    stage: str = "data"


_watching: ContextVar[_Watching | None] = ContextVar("wsss_progress", default=None)


@contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
    """Tell `watch` of the progress of all work inside the block, and draw no bars there; None changes nothing."""
    if watch is None:
        yield
        return
    token = _watching.set(_Watching(watch))
    try:
        yield
    finally:
        _watching.reset(token)


def is_watched() -> bool:
    """Return whether a program is told of the progress, so that nothing is to be drawn."""
    return _watching.get() is not None


def enter(stage: str, state: Literal["started", "done", "kept"]) -> None:
    """Tell that a stage begins or ends; what `count` tells until the next call belongs to it."""
    watching = _watching.get()
    if watching is not None:
        _watching.set(replace(watching, stage=stage))
        watching.watch(Progress(stage, state))


def count(what: str, done: int, total: int | None) -> None:
    """Tell how many things of a kind are done, if a program wants to know."""
    watching = _watching.get()
    if watching is not None:
        watching.watch(Progress(watching.stage, "working", what, done, total))


def counted(
    things: Iterable[Thing], what: str, total: int | None = None, size: Callable[[Thing], int] = lambda thing: 1
) -> Iterator[Thing]:
    """Yield things and show how many were asked for: to the program that watches, or as a bar in the terminal.

    `what` says in words what is counted, and `size` how many a thing stands for, such as the images of a batch.

    >>> with watched(print):
    ...     list(counted("ab", "letters", 2))
    data: letters, 1 of 2
    data: letters, 2 of 2
    ['a', 'b']
    """
    if not is_watched():
        from rich.console import Console
        from rich.progress import Progress as Bars

        with Bars(console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(what, total=total)
            for thing in things:
                yield thing
                bars.advance(task, size(thing))
        return
    done = 0
    for thing in things:
        yield thing
        done += size(thing)
        count(what, done, total)
