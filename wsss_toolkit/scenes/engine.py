"""Carries out jobs in this process, in local processes or on a Dask cluster: the same functions everywhere."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, cast

from wsss_toolkit.errors import UsageError, WsssError
from wsss_toolkit.processes import begin_work
from wsss_toolkit.scenes.job import Finished, SceneJob, discard_blocks, finish_scene, label_blocks

RETRIES = 2
"""How often a block is tried again after a failure that is not the input's fault."""


class Watcher(Protocol):
    """Is told what happens; see `progress`."""

    def advance(self, job: SceneJob, pixels: int) -> None:
        """Pixels of a scene were labelled."""

    def finished(self, job: SceneJob, made: Finished) -> None:
        """A scene's files are complete."""

    def failed(self, job: SceneJob, error: BaseException) -> None:
        """A scene was given up; others go on."""


def run_here(jobs: Sequence[SceneJob], watcher: Watcher) -> None:
    """Label the scenes one after the other in this process, each in one pass."""
    for job in jobs:
        try:
            label_blocks(job, 0, job.height, partial(watcher.advance, job))
            watcher.finished(job, finish_scene(job))
        except Exception as error:  # one scene's failure is reported, the others go on
            discard_blocks(job)
            watcher.failed(job, error)
        except BaseException:  # interrupted
            discard_blocks(job)
            raise


@dataclass
class _Progress:
    """What is left to do of one scene."""

    job: SceneJob
    blocks: set[tuple[int, int]]
    tries: dict[tuple[int, int], int] = field(default_factory=dict)
    over: bool = False


def run_on(executor: Executor, jobs: Sequence[SceneJob], watcher: Watcher) -> None:
    """Label the scenes block by block with an executor, local or Dask's.

    Blocks travel through files in the output folder, so that nothing but a job's description passes through the
    scheduler. A block that fails is tried again, unless its input is at fault; a scene whose blocks are complete is
    put together by one of the workers.
    """
    states = {id(job): _Progress(job, set(job.blocks)) for job in jobs}
    pending: dict[Future[object], tuple[_Progress, tuple[int, int] | None]] = {}

    def submit_block(state: _Progress, block: tuple[int, int]) -> None:
        pending[executor.submit(label_blocks, state.job, *block)] = (state, block)

    def give_up(state: _Progress, error: BaseException) -> None:
        state.over = True
        _cancel(future for future, (owner, _) in pending.items() if owner is state)
        watcher.failed(state.job, error)

    for state in states.values():
        for first in sorted(state.blocks):
            submit_block(state, first)
    try:
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                state, block = pending.pop(future)
                if state.over:
                    continue
                error = _error(future)
                if error is not None:
                    tried = state.tries.get(block, 0) if block else RETRIES
                    if block is None or isinstance(error, WsssError) or tried >= RETRIES:
                        give_up(state, error)
                        continue
                    state.tries[block] = tried + 1
                    submit_block(state, block)
                elif block is None:
                    watcher.finished(state.job, cast(Finished, future.result()))
                    state.over = True
                else:
                    state.blocks.discard(block)
                    watcher.advance(state.job, (block[1] - block[0]) * state.job.width)
                    if not state.blocks:
                        pending[executor.submit(finish_scene, state.job)] = (state, None)
    finally:
        _cancel(pending)
        # Blocks that a cluster is at cannot be cancelled; what they still write lies in a hidden folder of this job,
        # which the next call clears.
        for state in states.values():
            discard_blocks(state.job)


def _cancel(futures: Iterable[Future[object]]) -> None:
    for future in futures:
        future.cancel()


def _error(future: "Future[object]") -> BaseException | None:
    """Return what ended a task; a pool that has lost a process ends everything."""
    try:
        error = future.exception()
    except BaseException as cancelled:  # CancelledError: the cluster gave the task up
        return cancelled
    if isinstance(error, BrokenProcessPool):
        raise WsssError(
            "a worker process ended abruptly, perhaps for lack of memory",
            fix="give the same command with fewer --workers; finished scenes are kept",
        ) from error
    return error


@contextmanager
def local_pool(workers: int) -> Iterator[Executor]:
    """Give a pool of local processes that share the cores among them.

    They end with this process, however it ends. If the block ends with an exception, they end at once.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    # Forked children would inherit the locks of this process's threads.
    context = multiprocessing.get_context("spawn")
    theirs, lifeline = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=begin_work, initargs=(theirs, threads))
    try:
        yield pool
    except BaseException:
        lifeline.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        lifeline.close()
        theirs.close()


@contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """Give the workers of a running Dask cluster.

    Raises:
        UsageError: If nothing answers at the address.
        WsssError: If Dask is not installed.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise WsssError("--dask needs Dask, which is not installed", fix="pip install 'wsss-toolkit[dask]'") from error
    try:
        client = Client(address, timeout=20, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address!r} ({str(error).splitlines()[0]})",
            fix="start one with `dask scheduler` and give its address, e.g. --dask tcp://HOST:8786",
        ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            fix = f"start some: dask worker {address}"
            raise UsageError(f"the Dask scheduler at {address} has no workers", fix=fix)
        # A lost worker's tasks go to others of their own accord; retries are ours.
        yield client.get_executor(pure=False)  # type: ignore[no-untyped-call]
