"""How processes end: on request as by Ctrl-C, and children together with the process that started them."""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection, wait
from types import FrameType

REQUESTS = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals by which a process is asked to end: by `kill` or a scheduler, and by a terminal that is closed."""


class Ended(KeyboardInterrupt):
    """This process was asked to end; it is taken for Ctrl-C wherever that is known.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


def end_on_request() -> None:
    """Let the signals of `REQUESTS` raise `Ended` in the main thread, the first of them once.

    What whoever started the process has arranged stays: `nohup` ignores SIGHUP.
    """
    for number in REQUESTS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    for other in REQUESTS:  # a second one would cut short what the first has begun to tidy up
        if signal.getsignal(other) is _raise:
            signal.signal(other, signal.SIG_IGN)
    raise Ended(number)


def end_with_parent(*, grace: float = 0.0, lifeline: Connection | None = None) -> None:
    """End this process when the one that started it by `multiprocessing` has ended, in whatever way, SIGKILL included.

    A thread waits for the end of a pipe, which every system closes with the process that holds it.

    Args:
        grace: Seconds that this process has to write down how far it came, as after Ctrl-C; 0 ends it at once.
        lifeline: Another pipe whose end has the same effect: the parent closes it to be rid of its children.
    """
    threading.Thread(target=_wait, args=(grace, lifeline), name="end-with-parent", daemon=True).start()


def _wait(grace: float, lifeline: Connection | None) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a child waits for its parent's end"
    wait([parent.sentinel] if lifeline is None else [parent.sentinel, lifeline])
    if grace:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(grace)
    os._exit(1)


def begin_work(lifeline: Connection, threads: int) -> None:
    """Prepare a process of a pool: it ends with its parent, leaves Ctrl-C to it, and computes on so many threads.

    This module loads nothing, so that a process whose parent dies while it still loads its libraries ends too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(lifeline=lifeline)
    import torch

    torch.set_num_threads(threads)
