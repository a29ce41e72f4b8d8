"""Commands on input that was spoiled at random, and what every one of them promises.

Every case has a seed of its own, so that one that fails can be repeated alone.
"""

import signal
import traceback
from contextlib import contextmanager

from click.testing import CliRunner

from wsss_toolkit.cli import cli

HANG = 60
"""Seconds after which a command on small input counts as hanging."""


class Hang(BaseException):
    """The command took too long; no `except Exception` may swallow it."""


@contextmanager
def time_limit(seconds):
    """Raise `Hang` in the block after so many seconds."""

    def stop(number, frame):
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def wsss(*arguments):
    """Run a command in this process; return its result and what it broke of its promises, or None."""
    try:
        with time_limit(HANG):
            result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    except Hang:
        return None, f"no end after {HANG} seconds"
    if result.exception and not isinstance(result.exception, SystemExit):
        lines = traceback.format_exception(result.exception)
        return result, "".join(lines[-4:])
    if result.exit_code not in (0, 1, 2):
        return result, f"exit code {result.exit_code}: {result.output}"
    for word in ("Traceback", "unexpected "):
        if word in result.output:
            return result, f"{word!r} in: {result.output}"
    if result.exit_code and not result.stderr.strip():
        return result, f"exit code {result.exit_code} without a word of why: {result.output}"
    return result, None


def none_of(broken):
    """Fail with all cases that broke a promise."""
    assert not broken, f"{len(broken)} cases:\n" + "\n\n".join(f"{case}: {why[-1500:]}" for case, why in broken[:12])


def spoil_bytes(content, random):
    """Return bytes with a part cut off, changed, doubled, removed or overwritten."""
    data = bytearray(content)
    kind = random.choice(["cut", "flip", "flip", "head", "double", "remove", "zeros", "append", "empty"])
    size = len(data)
    if not size or kind == "empty":
        return b""
    place = random.randrange(size)
    length = random.randint(1, max(1, min(400, size // 4)))
    if kind == "cut":
        return bytes(data[:place])
    if kind in ("flip", "head"):
        for _ in range(random.randint(1, 12)):
            data[random.randrange(min(size, 300) if kind == "head" else size)] = random.randrange(256)
    elif kind == "double":
        data[place:place] = data[place : place + length]
    elif kind == "remove":
        del data[place : place + length]
    elif kind == "zeros":
        data[place : place + length] = bytes(len(data[place : place + length]))
    else:
        data += random.randbytes(length)
    return bytes(data)
