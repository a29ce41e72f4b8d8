"""The secret key by which identifiers are replaced: who has no key cannot find them by trying."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from wsss_toolkit.errors import UsageError
from wsss_toolkit.files import complete_file

KEY_BYTES: Final = 32
"""Bytes of a key that is made."""

SHORTEST: Final = 16
"""Bytes below which a key could be found by trying."""

MOST: Final = 4096
"""Bytes beyond which a file is no key."""

PRIVATE: Final = ".private"
"""What the folder of keys and tables is called after the folder of masks, beside which it lies."""


def private_folder(folder: Path) -> Path:
    """Return where key and table of a folder of masks lie: beside it, so that masks can be given away without them."""
    return folder.with_name(f"{folder.name}{PRIVATE}")


def key_path(folder: Path, key_file: str | None) -> Path:
    """Return the file of the key for masks in a folder."""
    return Path(key_file) if key_file is not None else private_folder(folder) / "key"


def key_for(folder: Path, key_file: str | None) -> bytes:
    """Return the key for masks in a folder; one is made and kept where the user gave none and none is kept.

    Raises:
        UsageError: If there is no such file, or what it holds could be guessed.
        WsssError: If the key cannot be written.
    """
    path = key_path(folder, key_file)
    if key_file is None and not path.exists():
        write_private(path, f"{secrets.token_hex(KEY_BYTES)}\n")
    fix = "make one: openssl rand -hex 32 > FILE"
    try:
        if path.exists() and not path.is_file():  # a pipe gives its bytes once, and the key is read for each file
            raise UsageError("is no file, so no key is read of it", where=str(path), fix=fix)
        with path.open("rb") as file:
            content = file.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"the key cannot be read ({error.strerror})", where=str(path), fix=fix) from None
    if len(content) > MOST or len(content.strip()) < SHORTEST:
        raise UsageError(f"a key has {SHORTEST} to {MOST} bytes", where=str(path), fix=fix)
    return content.strip()


def read_by_others(path: Path) -> bool:
    """Tell whether a file can be read by all users of the machine."""
    return bool(path.stat().st_mode & 0o004)


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, complete or not at all, in a folder of the same kind."""
    with complete_file(path) as partial:
        if not (path.parent.stat().st_mode & 0o777) == 0o700 and path.parent.name.endswith(PRIVATE):
            path.parent.chmod(0o700)
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    path.chmod(0o600)


def keyed(key: bytes, *parts: str) -> bytes:
    """Return the HMAC-SHA256 of some texts."""
    text = "\0".join(("wsss-toolkit", *parts))
    return hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
