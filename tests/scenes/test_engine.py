import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from wsss_toolkit.domain import Destination, SceneOutputs
from wsss_toolkit.errors import DataError, UsageError, WsssError
from wsss_toolkit.scenes import engine
from wsss_toolkit.scenes.job import Finished, SceneJob, Settings


@dataclass(frozen=True)
class Source:
    name: str

    @property
    def shown(self):
        return f"scenes/{self.name}.tif"


class Watcher:
    def __init__(self):
        self.pixels, self.masks, self.failures = {}, {}, {}

    def advance(self, job, pixels):
        self.pixels[job.source.name] = self.pixels.get(job.source.name, 0) + pixels

    def finished(self, job, made):
        self.masks[job.source.name] = made.mask

    def failed(self, job, error):
        self.failures[job.source.name] = error


@pytest.fixture
def jobs(tmp_path):
    settings = Settings(
        tmp_path, (), "unet", "cpu", torch.float32, 16, 0.5, 8, Destination(tmp_path / "out", SceneOutputs(), {})
    )
    return [SceneJob(Source(name), 300, 50, None, settings) for name in ("a", "b", "c")]


@pytest.fixture
def worker(monkeypatch):
    """Replace the work by functions that a test may exchange; calls are noted."""

    class Work:
        def __init__(self):
            self.calls, self.lock = [], threading.Lock()
            self.block = lambda job, start, stop: None
            self.finish = lambda job: None

        def label_blocks(self, job, start, stop):
            with self.lock:
                self.calls.append((job.source.name, start, stop))
            self.block(job, start, stop)

        def finish_scene(self, job):
            with self.lock:
                self.calls.append((job.source.name, "finish"))
            self.finish(job)
            return Finished(Path(f"{job.source.name}_mask.tif"), empty=False)

    work = Work()
    monkeypatch.setattr(engine, "label_blocks", work.label_blocks)
    monkeypatch.setattr(engine, "finish_scene", work.finish_scene)
    return work


def run_on(jobs):
    watcher = Watcher()
    with ThreadPoolExecutor(2) as executor:
        engine.run_on(executor, jobs, watcher)
    return watcher


def test_scenes_are_finished_once_all_their_blocks_are_done(jobs, worker):
    watcher = run_on(jobs)
    assert watcher.masks == {name: Path(f"{name}_mask.tif") for name in "abc"}
    assert watcher.pixels == dict.fromkeys("abc", 300 * 50)
    for name in "abc":
        own = [call[1:] for call in worker.calls if call[0] == name]
        assert sorted(own[:-1]) == [(0, 128), (128, 256), (256, 300)] and own[-1] == ("finish",)


def test_a_block_that_fails_for_no_fault_of_the_input_is_tried_again(jobs, worker):
    failures = []

    def flaky(job, start, stop):
        if job.source.name == "b" and start == 128 and len(failures) < engine.RETRIES:
            failures.append(start)
            raise OSError("connection reset")

    worker.block = flaky
    watcher = run_on(jobs)
    assert set(watcher.masks) == set("abc") and not watcher.failures
    assert worker.calls.count(("b", 128, 256)) == 1 + engine.RETRIES
    assert watcher.pixels["b"] == 300 * 50, "pixels of a failed try do not count"


def test_a_block_that_goes_on_failing_ends_its_scene_alone(jobs, worker):
    def broken(job, start, stop):
        if job.source.name == "b":
            raise OSError("connection reset")

    worker.block = broken
    watcher = run_on(jobs)
    assert set(watcher.masks) == {"a", "c"}
    assert str(watcher.failures["b"]) == "connection reset"
    assert ("b", "finish") not in worker.calls


def test_bad_input_is_not_tried_again(jobs, worker):
    def bad(job, start, stop):
        if job.source.name == "a" and start == 0:
            raise DataError("truncated", where="a.tif")

    worker.block = bad
    watcher = run_on(jobs)
    assert worker.calls.count(("a", 0, 128)) == 1
    assert isinstance(watcher.failures["a"], DataError) and set(watcher.masks) == {"b", "c"}


def test_a_scene_that_cannot_be_written_fails_alone_and_leaves_no_blocks(jobs, worker):
    def full(job):
        job.folder.mkdir(parents=True)
        if job.source.name == "c":
            raise WsssError("cannot write: No space left on device")

    worker.finish = full
    watcher = run_on(jobs)
    assert set(watcher.masks) == {"a", "b"} and "No space" in str(watcher.failures["c"])
    assert not list(jobs[0].folder.parent.glob(".*.blocks"))


def test_an_address_without_a_scheduler_is_refused_in_words():
    pytest.importorskip("distributed")
    with pytest.raises(UsageError, match="no Dask scheduler answers at 'nonsense'"), engine.dask_cluster("nonsense"):
        pass
