"""pydicom as this package uses it: present or named as missing, and silent about what it reads."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wsss_toolkit.errors import UsageError

INSTALL = "pip install 'wsss-toolkit[endoscopy]'"
"""What brings pydicom and its decoders."""


def require_pydicom(shown: str) -> None:
    """Raise a UsageError that names the package where pydicom is not installed."""
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise UsageError("is DICOM, and pydicom is not installed", where=shown, fix=INSTALL) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep remarks of pydicom and GDCM, which may quote the header, out of the terminal and of logs."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
        logger.setLevel(logging.CRITICAL + 1)
        _silence_gdcm()
        try:
            yield
        finally:
            logger.setLevel(level)


def _silence_gdcm() -> None:
    try:
        import gdcm
    except ImportError:
        return
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    gdcm.Trace.DebugOff()


def text_of(header: Any, keyword: str) -> str:
    r"""Return an element as text, several values with ``\`` between them; "" where it is missing or unreadable."""
    try:
        value = header.get(keyword)
        if value is None:
            return ""
        if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
            return "\\".join(str(one) for one in value)
        return str(value).strip()
    except Exception:  # a damaged element is as good as none, and pydicom raises many kinds
        return ""
