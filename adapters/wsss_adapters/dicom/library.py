"""pydicom as this package uses it: present or named as missing, and patient with damaged elements."""

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


def bytes_of(header: Any, keyword: str) -> bytes:
    """Return an element of bytes; none where it is missing or unreadable."""
    try:
        value = header.get(keyword)
    except Exception:  # as above
        return b""
    return value if isinstance(value, bytes) else b""
