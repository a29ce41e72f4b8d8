import multiprocessing
import os
import signal
import subprocess
import sys
import time

import psutil
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


PROGRAM = """
import multiprocessing, os, pathlib, sys, time
from wsss_toolkit.experiments import child
from wsss_toolkit.processes import end_on_request

child._context = lambda: multiprocessing.get_context("spawn")

def sleep(folder):
    try:
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(60)
    except KeyboardInterrupt:
        (folder / "tidied").write_text("")
        raise

if __name__ == "__main__":
    end_on_request()
    child.in_child(sleep, pathlib.Path(sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_cell_ends_with_the_experiment_and_tidies_up(tmp_path, number):
    (tmp_path / "program.py").write_text(PROGRAM)
    parent = subprocess.Popen([sys.executable, tmp_path / "program.py", tmp_path], stderr=subprocess.PIPE)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 60)
    cell = int((tmp_path / "pid").read_text())
    parent.send_signal(number)
    if number == signal.SIGINT:  # a terminal sends it to both
        os.kill(cell, number)
    parent.communicate(timeout=60)
    wait_for(lambda: not psutil.pid_exists(cell), child.GRACE + 2)
    assert (tmp_path / "tidied").exists()


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
