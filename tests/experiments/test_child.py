import multiprocessing
import os
import signal

import pytest

from wsss_toolkit.errors import DataError
from wsss_toolkit.experiments import child


@pytest.fixture(autouse=True)
def quick_start(monkeypatch):
    """Processes that load no torch first."""
    monkeypatch.setattr(child, "_context", lambda: multiprocessing.get_context("spawn"))


def write_own_number(path):
    path.write_text(str(os.getpid()))


def refuse():
    raise DataError("no such image", where="a.tif", fix="look again")


def stumble():
    raise ZeroDivisionError("by\nzero")


def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    os._exit(7)


def test_work_is_done_in_another_process(tmp_path):
    assert child.in_child(write_own_number, tmp_path / "pid") is None
    assert int((tmp_path / "pid").read_text()) != os.getpid()


@pytest.mark.parametrize(
    ("work", "message", "details"),
    [
        (refuse, str(DataError("no such image", where="a.tif", fix="look again")), "in refuse"),
        (stumble, "ZeroDivisionError: by zero", "in stumble"),
        (be_killed, "its process was ended by SIGKILL, perhaps for lack of memory", ""),
        (leave, "its process ended without a word (exit code 7)", ""),
    ],
)
def test_failures_are_told_in_one_line(work, message, details):
    failure = child.in_child(work)
    assert failure.message == message
    assert details in failure.details
