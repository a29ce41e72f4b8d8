"""One cell in a process of its own: its memory is its own, and what ends it does not end the others."""

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from wsss_toolkit.errors import WsssError, of_the_machine
from wsss_toolkit.processes import Ended, end_on_request, end_with_parent

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

GRACE = 3.0
"""Seconds that a cell has to write down how far it came when the experiment has ended."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a cell failed."""

    message: str
    details: str = ""
    """The traceback, where there is one."""


def in_child(work: Callable[..., object], *arguments: object) -> Failure | None:
    """Call a function of a module in a new process and wait for it; return None if it returned, else why it did not.

    The arguments are sent to the other process. If this process is interrupted, the other one is ended too.
    """
    context = _context()
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sending, work, arguments))
    process.start()
    sending.close()
    try:
        outcome: Failure | None = receiving.recv()
    except EOFError:
        process.join()
        return Failure(_ending(process.exitcode))
    except BaseException as error:
        if isinstance(error, Ended):  # Ctrl-C reaches both; other requests have to be passed on
            process.terminate()
        process.join(10)  # it writes down how far it came
        process.kill()
        raise
    finally:
        process.join()
        receiving.close()
    return outcome


def _context() -> "ForkServerContext | SpawnContext":
    """Return a way to start processes that inherit nothing from this one's threads.

    On Linux they come from a server that has loaded the heavy libraries once and done nothing with them.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["wsss_toolkit.training.train", "wsss_toolkit.segmentation.train"])
    return context


def failure_of(error: Exception) -> Failure:
    """Return what to tell of an exception."""
    told = of_the_machine(error) or error
    words = " ".join(str(told).split())
    message = words if isinstance(told, WsssError) else f"{type(error).__name__}: {words}"
    return Failure(message, traceback.format_exc())


def _work(sending: Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    end_on_request()
    end_with_parent(grace=GRACE)
    try:
        work(*arguments)
    except KeyboardInterrupt:
        return
    except Exception as error:
        sending.send(failure_of(error))
    else:
        sending.send(None)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")
    return f"its process ended without a word (exit code {code})"
