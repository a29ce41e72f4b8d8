"""Silence about headers: pydicom and highdicom quote names and numbers of patients in warnings and logs."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("pydicom", "highdicom")


@contextmanager
def without_remarks() -> Iterator[None]:
    """Keep what the libraries say of the values that they handle out of the terminal and of logs.

    Values that break the standard's rules are the source's. What files an object (names and numbers of patient and
    study) is copied as it is, because it must match; what else matters is mended.
    """
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
