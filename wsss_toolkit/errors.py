"""The errors that users meet: what is wrong, where, and what to do.

The command line prints them as one line without a traceback and exits with their ``exit_code``.
"""

import difflib
import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from urllib.parse import unquote

SAID = 300
"""Characters of a library's message that are quoted."""

MANY = 3
"""Errors of a kind, beside the first, from which one line tells of all."""

NAMED = 10
"""Files that this line names beside the first."""

_ADDRESS = re.compile(r"""[^\s'"]*(?:[A-Za-z][A-Za-z0-9+]*://|/vsi[a-z])[^\s'"]*""")
"""An address or a GDAL path in a message."""

_REMOTE = re.compile(r"([a-z][a-z0-9+]*)://([^/?#]*)([^?#]*)", re.IGNORECASE)
_BUCKET = re.compile(r"/vsi([a-z0-9]+?)(?:_streaming)?/([^/?#]+)([^?#]*)")
_STORES = ("s3", "gs", "az", "adls", "oss", "swift")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?")
_PART = re.compile(r"[^/?#&;=@|\x00-\x1f]*")

_BYTES = re.compile("[\udc80-\udcff]")
"""What Python makes of bytes in a name that are no UTF-8."""

_OF_A_WORKER = re.compile(
    r"Caught \w+ in DataLoader worker process \d+\.\nOriginal Traceback.*\n[\w.]+: (.*)\n", re.DOTALL
)
"""What torch puts before the words of an error that a process for reading images has raised."""


class WsssError(Exception):
    """A run that cannot go on for a reason that the user can understand and mend.

    Args:
        what: What is wrong, quoting the offending input.
        where: The file, tile or recipe position it was found at.
        fix: What to do about it.

    >>> print(WsssError("no band is called 'B2'", where="a.tif", fix="did you mean B02?"))
    a.tif: no band is called 'B2'; did you mean B02?
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = _lines(_OF_A_WORKER.sub(r"\1", what)), where and printable(where), fix
        super().__init__(str(self))

    def __str__(self) -> str:
        """Return ``where: what; fix`` in one line."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.fix}" if self.fix else line

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the parts when the error crosses a process boundary (data-loader workers)."""
        return partial(type(self), self.what, where=self.where, fix=self.fix), ()


class UsageError(WsssError):
    """Wrong use: a bad command line, a bad recipe, an output that would be overwritten."""

    exit_code = 2


class DataError(WsssError):
    """Input data that cannot be read or that contradicts itself."""


def gathered(errors: Iterable[WsssError]) -> list[WsssError]:
    """Return errors, those of a kind as one where they are many, which names the first and some of the others.

    A kind are errors of one text but for numbers, colours and what stands in quotes.

    >>> print(*gathered([WsssError(f"holds {i}", where=f"masks/{i}.png", fix="correct it") for i in range(5)]))
    masks/0.png: holds 0, and 4 more like it: 1.png, 2.png, 3.png, 4.png; correct it
    """
    kinds: dict[tuple[type[WsssError], str], list[WsssError]] = {}
    for error in errors:
        kind = re.sub(r"#[0-9a-f]{6}|'[^']*'|\d+(\.\d+)?((, | and )\d+)*", "0", error.what)
        kinds.setdefault((type(error), kind if error.where else str(error)), []).append(error)
    found: list[WsssError] = []
    for first, *others in kinds.values():
        if len(others) < MANY:
            found += [first, *others]
            continue
        names = [PurePath(error.where or "").name for error in others[:NAMED]]
        more = f", and {len(others)} more like it: {', '.join(names)}{', ...' if len(others) > NAMED else ''}"
        what = first.what + more if others else first.what
        found.append(type(first)(what, where=first.where, fix=first.fix))
    return found


def _lines(text: str) -> str:
    """Return a text of one or more lines, each `printable`; the mistakes of a recipe have a line each."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


@contextmanager
def blamed_on(where: str, fix: str | None = "copy or download it again, or move it away") -> Iterator[None]:
    r"""Turn whatever a library raises in the block into a `DataError` that names a file or an image.

    Our own errors pass, and so does a lack of memory or of space on the disk, which is not the file's fault.

    >>> with blamed_on("a.tif"):  # doctest: +ELLIPSIS
    ...     b"\xff".decode()
    Traceback (most recent call last):
    wsss_toolkit.errors.DataError: a.tif: cannot be read (UnicodeDecodeError: ...
    """
    try:
        yield
    except (WsssError, MemoryError):
        raise
    except Exception as error:
        if of_the_machine(error) is not None:
            raise
        if isinstance(error, UnicodeEncodeError) and _BYTES.search(error.object):
            what, fix = "its name, or that of a folder it lies in, is no text in UTF-8", "rename it, e.g. with convmv"
            raise DataError(what, where=where, fix=fix) from error
        raise DataError(f"cannot be read ({said(error)})", where=where, fix=fix) from error


def said(error: BaseException) -> str:
    """Return what an exception says: its kind and its words in one short line, without the secrets of addresses.

    >>> said(ValueError("no answer from https://me:secret@example.org/a/b.tif?token=1"))
    'ValueError: no answer from https://example.org/.../b.tif'
    """
    # An error of the system names its file, which the caller does, too, if it may be named.
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    words = _ADDRESS.sub(lambda found: public_name(found[0]), " ".join(text.split()))
    words = printable(words)
    if len(words) > SAID:
        words = f"{words[:SAID]}..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def printable(text: str) -> str:
    r"""Return a text in which what would steer a terminal, or is no character, stands in its escaped form.

    Names of files and values of their tags may hold line ends and escape sequences.

    >>> print(printable("a\nb\x1b[31m.tif"))
    a\nb\x1b[31m.tif
    """
    if text.isprintable():
        return text
    return "".join(map(_shown_letter, text))


def _shown_letter(letter: str) -> str:
    if letter.isprintable():
        return letter
    # A byte of a name that is no UTF-8 is shown as shells do.
    return f"\\x{ord(letter) - 0xDC00:02x}" if _BYTES.match(letter) else letter.encode("unicode_escape").decode()


def public_name(source: str) -> str:
    """Return what others may read of a path or an address: scheme, host and the path's last part.

    Everything else may hold a secret or tell of people and machines: user names, passwords, folders, what follows a
    question mark. What is returned is picked out, so that a secret of an unknown kind stays behind.

    >>> public_name("https://me:secret@example.org/private/b.tif?sig=1")
    'https://example.org/.../b.tif'
    >>> public_name("/vsis3/bucket/year/b.tif"), public_name("/home/me/b.tif")
    ('s3://bucket/.../b.tif', 'b.tif')
    """
    plain = unquote(source)
    remote = _REMOTE.search(plain)
    if remote is None:
        stored = _BUCKET.search(plain)
        if stored is None or stored[1] not in _STORES:
            path = plain.rstrip("/")
            return _last(path) if path.startswith("/vsi") else PurePath(source).name
        remote = stored
    scheme, host, path = remote.groups()
    if "@" in path:  # of a password with a slash, nobody can say where it ends
        host = ""
    host = host.rpartition("@")[2]
    host = host if _HOST.fullmatch(host) else "..."
    last = _last(path)
    between = "/..." if path.strip("/").removesuffix(last) else ""
    return f"{scheme}://{host}{between}/{last}" if last else f"{scheme}://{host}"


def quoted(source: str) -> str:
    """Return how a message quotes what a user named as input: of anything but a path, only what is no secret.

    >>> quoted("scenes/b.tif"), quoted("PG:host=db password=secret"), quoted("https://me:secret@example.org/b.tif")
    ("'scenes/b.tif'", "'PG:...'", "'https://example.org/b.tif'")
    """
    if _ADDRESS.search(source):
        return repr(public_name(source))
    named = re.match(r"[A-Za-z]\w+:|\s*[<{]", source)
    return repr(f"{named[0].strip()}..." if named else source)


def _last(path: str) -> str:
    """Return the last part of a path, to the first character that begins something else."""
    found = _PART.match(path.rstrip("/").rpartition("/")[2].rpartition("@")[2])
    return found[0] if found else ""


def did_you_mean(
    name: object, known: Iterable[object], otherwise: str | None = None, *, most: int = 1, cutoff: float = 0.6
) -> str:
    """Return ``did you mean X?``, or ``X or Y`` of at most so many `close_names`.

    Where none is close it is `otherwise`, or without that a list of those that are known.

    >>> did_you_mean("trian", ["train", "val"])
    'did you mean train?'
    >>> did_you_mean("x", ["train", "val"])
    'choose from train, val'
    """
    names = [str(item) for item in known]
    close = close_names(name, names, most, cutoff)
    if close or otherwise is not None:
        return f"did you mean {' or '.join(close)}?" if close else str(otherwise)
    return f"choose from {', '.join(names)}" if names else "there are none"


def close_names(name: object, known: Iterable[object], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known names that are spelled most like what was written, whatever their case, the nearest first.

    There are at most `most` of them; below the likeness `cutoff`, in 0..1, a name is not close.
    """
    folded = {str(item).casefold(): str(item) for item in known}
    return [folded[near] for near in difflib.get_close_matches(str(name).casefold(), folded, most, cutoff)]


_FULL = re.compile(r"no space left on device|disk quota exceeded|\(os error (?:28|122)\)", re.IGNORECASE)
_SHARED = re.compile(r"shared memory|to file </torch_|bus error", re.IGNORECASE)
_MEMORY = re.compile(r"out of memory|(?:can't|cannot|unable to) allocate|bad[_ ]alloc", re.IGNORECASE)
_LOADER = re.compile(r"DataLoader worker \(pid.*(?:killed by signal|exited unexpectedly)", re.IGNORECASE)


def of_the_machine(error: BaseException) -> WsssError | None:
    """Return what to say of an exception that tells of a full disk, of too little memory or of a process that is gone.

    None of all others. Libraries have types of their own for these, and often words alone.

    >>> print(of_the_machine(MemoryError()))
    not enough memory; use smaller batches, windows or images, fewer workers, or a machine with more
    >>> of_the_machine(KeyError("x"))
    """
    words = " ".join(str(error).split())
    number, name = (error.errno, error.filename) if isinstance(error, OSError) else (None, None)
    if isinstance(error, WsssError):
        return None
    if isinstance(error, RuntimeError | OSError) and _SHARED.search(words):
        fix = "set machine.workers to 0, or give the container more, e.g. docker run --shm-size=8g"
        return WsssError("not enough shared memory for the processes that read images", fix=fix)
    if number in (errno.ENOSPC, errno.EDQUOT) or _FULL.search(words):
        what = "no space left on device" + (f" for {name}" if name else "")
        return WsssError(what, fix="free space or choose another --out")
    if isinstance(error, RuntimeError) and _LOADER.search(words):
        fix = "perhaps for lack of memory: lower machine.workers"
        return WsssError("a process that reads images ended abruptly", fix=fix)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _says_memory(error, words):
        fix = "use smaller batches, windows or images, fewer workers, or a machine with more"
        where = "GPU memory" if "CUDA" in words else "memory"
        return WsssError(f"not enough {where}", fix=fix)
    return None


def _says_memory(error: BaseException, words: str) -> bool:
    return isinstance(error, RuntimeError) and _MEMORY.search(words) is not None
