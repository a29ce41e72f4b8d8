"""How long a source of items takes, apart from whoever reads them."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Measures the wall-clock time that iterables take to give items, without that of the loops that read them."""

    def __init__(self) -> None:
        self.seconds, self.items = 0.0, 0

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items."""
        iterator = iter(items)
        while True:
            started = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - started
            self.items += 1
            yield item

    def per_item(self) -> float | None:
        """Return the seconds per item; None without items."""
        return round(self.seconds / self.items, 5) if self.items else None
