"""Runs an iterator in a thread of its own, a few items ahead, so that reading and computing overlap."""

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _End:
    """The last thing in the queue: nothing more comes, or the exception that ended it."""

    error: BaseException | None


def prefetch(items: Iterable[Item], ahead: int) -> Iterator[Item]:
    """Yield the items in order while a thread, whose exceptions are raised here, makes at most `ahead` more."""
    waiting: queue.Queue[Item | _End] = queue.Queue(maxsize=max(1, ahead))
    stopped = threading.Event()

    def put(item: Item | _End) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as caught:  # raised again in the consumer's thread
            error = caught
        put(_End(error))

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()
