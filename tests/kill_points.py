"""Kills `wsss` at many points of its life, and gives the same command again.

Run as a program, so that nothing but what it starts itself is at work in it: the libraries load once, and every command
is a fork of this process. What came of each point is printed as a line of JSON.
"""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import psutil

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree"}
"""Events of Python's audit hooks, beside `open`, by which files come, go and change their names."""

PATIENCE = 5.0
"""Seconds in which the processes of a killed command have to be gone."""


def watch(folder, at, total):
    """Count what this process does to files below a folder: it kills itself before the event `at`.

    The number of events goes to the file `total` whenever it grows.
    """
    place, count = os.fsencode(folder), 0

    def heed(event, arguments):
        nonlocal count
        if event == "open":
            changes = isinstance(arguments[2], int) and arguments[2] & WRITING
        else:
            changes = event in CHANGES
        if not changes or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if not os.fsencode(arguments[0]).startswith(place):
            return
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        os.pwrite(total, b"%12d" % count, 0)

    sys.addaudithook(heed)


def start(arguments, folder, at, total, cpu=0.0):
    """Give a command in a fork of this process, and return the process; it ends after `cpu` seconds of computing."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setsid()
        log = os.open(folder.parent / "wsss.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["wsss", *arguments]
        from wsss_toolkit.cli.main import main

        watch(folder, at, total)
        signal.setitimer(signal.ITIMER_PROF, cpu)  # nobody heeds its signal, which ends a process as SIGKILL does
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        os._exit(code)


def pool_processes():
    """Return the processes that the server of forks has started for commands."""
    server = forkserver._forkserver._forkserver_pid
    return {child.pid for child in psutil.Process(server).children()} if server else set()


def watch_files(folder, process, most=None):
    """Wait until a process has ended or so many files were seen below a folder.

    Returned are how many were, its status or None where it lives, and the seconds for which it has computed.
    """
    seen = set()
    while True:
        for place, _, files in os.walk(folder):
            seen.update((place, file) for file in files if ".partial" not in file)
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended or (most is not None and len(seen) > most):
            return len(seen), status if ended else None, usage.ru_utime + usage.ru_stime
        time.sleep(0.001)


def kill_at(arguments, folder, *, event=None, cpu=0.0, files=None):
    """Kill a command before an event, after seconds of computing, or when so many files were seen.

    Returned is whether it was killed, and how many of its processes lived some seconds later.
    """
    with Path(os.devnull).open("r+b") as nowhere:
        process = start(arguments, folder, event, nowhere.fileno(), cpu)
        status = watch_files(folder, process, files)[1]
    children = pool_processes()
    if status is None:
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
    deadline = time.monotonic() + PATIENCE
    while (alive := children & pool_processes()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return os.WIFSIGNALED(status), len(alive)


def finish(arguments, folder):
    """Give the command to its end; return its exit code, and the numbers of its events, files and CPU seconds."""
    counted = folder.parent / "events"
    with counted.open("w+b") as file:
        files, status, cpu = watch_files(folder, start(arguments, folder, None, file.fileno()))
    return os.waitstatus_to_exitcode(status), {"event": int(counted.read_text() or 0), "files": files, "cpu": cpu}


def points(count, seed, most):
    """Return points of two kinds, half and half, each drawn from its own share of the command's life."""
    chance = random.Random(seed)
    kinds = list(most)
    for index in range(count):
        kind = kinds[index % len(kinds)]
        place = (index // len(kinds) + chance.random()) / (count / len(kinds)) * most[kind]
        yield {kind: place if kind == "cpu" else int(place)}


def use_one_server_of_forks():
    """Let pools of all commands take their processes from a server that has loaded the libraries."""
    multiprocessing.set_forkserver_preload(["wsss_toolkit.scenes.job", "wsss_adapters.synthetic", "rasterio.shutil"])
    forkserver.ensure_running()
    resource_tracker.ensure_running()
    from wsss_toolkit.scenes import engine

    context = multiprocessing.get_context("forkserver")
    engine.multiprocessing = type("multiprocessing", (), {"get_context": staticmethod(lambda kind: context)})
    # A fork of this process is not the server's parent, and need not be.
    forkserver._forkserver.ensure_running = lambda: None


def main(kind, root, count, *arguments):
    """Give a command undisturbed, then kill it at so many points.

    In the arguments ``{}`` is a folder that is empty before; its content is to be found below `root` by the point.
    """
    root, count = Path(root), int(count)
    import wsss_toolkit.runs.stages
    import wsss_toolkit.scenes.pseudolabel
    import wsss_toolkit.segmentation.train
    import wsss_toolkit.training.train  # noqa: F401

    if kind == "pseudolabel":
        use_one_server_of_forks()
    # All points have the same paths, which are part of what is compared, and are moved away when they are over.
    here = root / "here"
    mine = [text.replace("{}", str(here)) for text in arguments]

    def over(name, **found):
        here.rename(root / name)
        print(json.dumps({"point": name, **found}), flush=True)

    here.mkdir()
    code, most = finish(mine, here)
    over("whole", code=code, most=most)
    del most["files" if kind == "run" else "cpu"]  # who waits for others computes nothing
    for number, point in enumerate(points(count, 5, most)):
        here.mkdir()
        killed, alive = kill_at(mine, here, **point)
        code, _ = finish(mine, here)
        over(f"point-{number}", where=point, killed=killed, alive=alive, code=code)


if __name__ == "__main__":
    main(*sys.argv[1:])
