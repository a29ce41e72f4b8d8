"""How processes end."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

PARENT = """
import multiprocessing, sys, time
from wsss_toolkit.processes import end_with_parent

def sleep(lifeline, told):
    end_with_parent(grace=%(grace)s, lifeline=lifeline)
    try:
        told.put(multiprocessing.current_process().pid)
        while True:  # a signal that comes just before a long sleep begins would not end it
            time.sleep(0.05)
    except KeyboardInterrupt:
        print("tidied up", flush=True)

if __name__ == "__main__":
    context = multiprocessing.get_context("%(method)s")
    theirs, lifeline = context.Pipe(duplex=False)
    told = context.Queue()
    children = [context.Process(target=sleep, args=(theirs, told)) for _ in range(2)]
    for child in children:
        child.start()
    print(*(told.get() for _ in children), flush=True)
    sys.stdin.readline()
    lifeline.close()
    for child in children:
        child.join()
    print([child.exitcode for child in children], flush=True)
"""

ASKED = """
import sys, time
from wsss_toolkit.processes import Ended, end_on_request

end_on_request()
try:
    print("ready", flush=True)
    time.sleep(60)
except Ended as asked:
    time.sleep(0.3)  # tidying up takes a while
    sys.exit(f"ended by {asked.signal.name}")
"""


def start(tmp_path, program):
    file = tmp_path / "program.py"
    file.write_text(program)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, file], text=True, **pipes)


def gone(processes, within=15):
    deadline = time.monotonic() + within
    while any(psutil.pid_exists(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(("method", "grace"), [("spawn", 0), ("forkserver", 0), ("spawn", 10)])
def test_children_end_with_a_parent_that_is_killed(tmp_path, method, grace):
    if sys.platform == "win32":
        pytest.skip("kills by signals")
    parent = start(tmp_path, PARENT % {"method": method, "grace": grace})
    children = [int(word) for word in parent.stdout.readline().split()]
    assert len(children) == 2 and all(psutil.pid_exists(child) for child in children)
    parent.kill()
    assert gone(children)
    printed, _ = parent.communicate()
    assert printed.count("tidied up") == (2 if grace else 0)


def test_children_end_when_their_parent_lets_go(tmp_path):
    parent = start(tmp_path, PARENT % {"method": "spawn", "grace": 0})
    children = [int(word) for word in parent.stdout.readline().split()]
    printed, _ = parent.communicate("\n")
    assert printed == "[1, 1]\n" and gone(children)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_heard_once(tmp_path, number):
    process = start(tmp_path, ASKED)
    assert process.stdout.readline() == "ready\n"
    for _ in range(3):  # whoever is impatient does not cut short what the first has begun
        process.send_signal(number)
        time.sleep(0.05)
    _, printed = process.communicate()
    assert printed == f"ended by {number.name}\n"


def test_what_nohup_ignores_stays_ignored(tmp_path):
    program = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + ASKED
    process = start(tmp_path, program)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    assert process.communicate()[1] == "ended by SIGTERM\n"
