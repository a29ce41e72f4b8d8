"""Keeps what libraries remark on the files that they handle out of the terminal and of logs: it may quote a header."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """Silence the logs of libraries, their warnings, and what they make others warn of."""
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in libraries}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name in libraries:
            warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
        for logger in levels:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)
