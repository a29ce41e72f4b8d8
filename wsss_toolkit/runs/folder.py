"""Where the results of each stage lie, and whether they still answer the recipe.

A run folder holds one folder per finished stage with a ``stage.json``: the digest of everything that went in, the
seconds and the peak memory; and an ``inputs.json`` that spells out what went in. A stage works in ``<stage>.partial``
and is renamed when it is done, so a killed run never leaves a half-written stage behind. Results of an older recipe
are moved to ``superseded/`` and come back when the recipe does.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, NonNegativeFloat

from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.files import discard, is_leftover, read_state, remove_leftovers, write_json

MARKER_FILE = "run.json"
RECORD_FILE = "stage.json"
INPUTS_FILE = "inputs.json"
_ATTEMPT_FILE = "attempt.json"
REPORT_FILE = "report.json"
RECIPE_FILE = "recipe.yaml"
LAUNCH = re.compile(r"\.launch-.*")
"""Folders by which processes of a launch find each other; they may be there before the run is."""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """What is known of a finished stage."""

    digest: str
    """SHA-256 of its inputs."""
    seconds: float
    """Wall-clock time, summed over interrupted attempts that left a partial result."""
    peak_memory_mb: float
    """Largest resident memory of the process while it ran."""
    result: dict[str, Any]
    """Plain values that the stage hands on."""


class _Marker(BaseModel):
    """What ``run.json`` holds."""

    name: str


class _Attempt(BaseModel):
    """What is known of a stage that has not finished."""

    digest: str
    seconds: NonNegativeFloat


class _About(BaseModel, extra="allow"):
    """What a report says of its run."""

    name: str = ""
    recipe_digest: str = ""
    seed: int = 0
    versions: dict[str, str] = {}
    notices: list[str] = []
    stages: dict[str, str] = {}


class _Report(BaseModel, extra="allow"):
    """What ``report.json`` holds, as far as programs rely on it; those of older versions lack some of it."""

    run: _About
    supervision: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    classifier: dict[str, dict[str, Any]] = {}
    pseudo_masks: dict[str, dict[str, Any]] = {}
    segmentation: dict[str, dict[str, Any]] = {}
    gates: dict[str, Any] = {}
    seconds: dict[str, NonNegativeFloat] = {}
    peak_memory_mb: dict[str, NonNegativeFloat] = {}


def digest(inputs: object) -> str:
    """Return the SHA-256 of a JSON value; the order of keys counts, as the order of sensors in `channels` does."""
    return hashlib.sha256(json.dumps(inputs, separators=(",", ":")).encode()).hexdigest()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder during the block; a `UsageError` says that one works in it already."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            remove_leftovers(folder, shared=True)
            yield
    except Timeout as error:
        what, fix = "another process is working in this folder", "wait, or choose another --out"
        raise UsageError(what, where=str(folder), fix=fix) from error


class RunFolder:
    """The folder of one run, made if it is not there.

    Raises:
        UsageError: If the folder holds something else than a run of the recipe's name.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        marker = path / MARKER_FILE
        if marker.exists():
            found = read_state(marker, _Marker, _marker_fix(name)).name
            if found != name:
                what = f"the folder holds a run of recipe {found!r}, not {name!r}"
                raise UsageError(what, where=str(path), fix="choose another --out")
        elif not _is_free(path):
            raise UsageError("the folder is not a run and not empty", where=str(path), fix="choose another --out")
        if not marker.exists():  # a finished run may lie where nothing can be written
            path.mkdir(parents=True, exist_ok=True)
            write_json(marker, {"name": name})

    def stage(self, stage: str) -> Path:
        """Return the folder of a finished stage."""
        return self.path / stage

    def partial(self, stage: str) -> Path:
        """Return the folder that a stage works in."""
        return self.path / f"{stage}.partial"

    def record(self, stage: str) -> StageRecord | None:
        """Return what is known of a stage, or None if it has not finished."""
        return read_record(self.stage(stage)) if (self.stage(stage) / RECORD_FILE).exists() else None

    def inputs(self, stage: str) -> dict[str, Any] | None:
        """Return what a finished stage was made from; None where an older version made it, which did not note that."""
        file = self.stage(stage) / INPUTS_FILE
        found: dict[str, Any] | None = read_state(file, dict[str, Any], _again(file.parent)) if file.exists() else None
        return found

    def find(self, stage: str, wanted: str) -> StageRecord | None:
        """Return the finished stage with the wanted digest, bringing it back from ``superseded/`` if it lies there."""
        record = self.record(stage)
        if record is not None and record.digest == wanted:
            return record
        kept = self._superseded(stage, wanted)
        if not kept.exists():
            return None
        self.set_aside(stage)
        kept.rename(self.stage(stage))
        return self.record(stage)

    def set_aside(self, stage: str) -> None:
        """Move a finished stage to ``superseded/``."""
        record = self.record(stage)
        if record is not None:
            kept = self._superseded(stage, record.digest)
            kept.parent.mkdir(exist_ok=True)
            discard(kept, RECORD_FILE)
            self.stage(stage).rename(kept)

    def discard_partial(self, stage: str) -> None:
        """Delete what an interrupted attempt left, so that the stage starts from nothing (``--overwrite``)."""
        discard(self.partial(stage), _ATTEMPT_FILE)

    @contextmanager
    def work(
        self, stage: str, wanted: str, inputs: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Give a folder to work in, and a dictionary for the record's `result`.

        The folder keeps what an interrupted attempt with the same inputs, whose digest is `wanted`, left in it. It
        becomes the stage's when the block ends without an error; the inputs are kept, to say later what has changed.
        """
        partial = self.partial(stage)
        note = partial / _ATTEMPT_FILE
        before = 0.0
        noted = read_state(note, _Attempt, _again(partial)) if note.exists() else None
        if noted is not None and noted.digest == wanted:
            before = noted.seconds
            remove_leftovers(partial)
        else:
            discard(partial, _ATTEMPT_FILE)
            partial.mkdir(parents=True)
        write_json(note, {"digest": wanted, "seconds": before})
        result: dict[str, Any] = {}
        started = time.monotonic()
        try:
            with _peak_memory() as peak:
                yield partial, result
        except BaseException:
            write_json(note, {"digest": wanted, "seconds": before + time.monotonic() - started})
            raise
        record = StageRecord(wanted, round(before + time.monotonic() - started, 2), round(peak[0] / 2**20, 1), result)
        if inputs is not None:
            write_json(partial / INPUTS_FILE, inputs)
        write_json(partial / RECORD_FILE, asdict(record))
        note.unlink()
        old = self.record(stage)
        if old is not None and old.digest == wanted:  # --overwrite: the same result, made again
            discard(self.stage(stage), RECORD_FILE)
        self.set_aside(stage)
        partial.rename(self.stage(stage))

    def _superseded(self, stage: str, of: str) -> Path:
        return self.path / "superseded" / f"{stage}-{of[:12]}"


def read_record(folder: Path) -> StageRecord:
    """Return what is known of the stage that a folder holds; a `DataError` says what is wrong with its record."""
    found: StageRecord = read_state(folder / RECORD_FILE, StageRecord, _again(folder))
    return found


def read_report(run: Path) -> dict[str, Any]:
    """Return a run's ``report.json``; a `DataError` says what is wrong with it."""
    fix = "delete it and run the recipe again with wsss run, which keeps finished stages"
    found: _Report = read_state(run / REPORT_FILE, _Report, fix)
    return found.model_dump(mode="json", exclude_unset=True)


def _again(folder: Path) -> str:
    return f"delete the folder {folder} and run the recipe again with wsss run"


def _marker_fix(name: str) -> str:
    return f'write {{"name": "{name}"}} into it if the folder is that run\'s, or choose another --out'


def _is_free(path: Path) -> bool:
    """Return whether a run may begin in a folder: it is not there, or holds nothing but what a killed run left."""
    if not path.is_dir():
        return not path.exists()
    return all(LAUNCH.match(entry.name) or is_leftover(entry) for entry in path.iterdir())


def newest_run(root: Path = Path("runs")) -> Path:
    """Return the folder below `root` whose report is the newest; a `UsageError` says that there is none."""
    for report in sorted(root.glob(f"*/{REPORT_FILE}"), key=lambda file: file.stat().st_mtime_ns, reverse=True):
        try:
            stages = read_report(report.parent)["run"].get("stages", {})
        except DataError:
            if (report.parent / MARKER_FILE).is_file():
                raise
            continue  # somebody else's file of this name
        if "train" in stages:
            return report.parent
    fix = "train one first, e.g. `wsss run quickstart`, or name one with --run DIR"
    raise UsageError(f"no finished run lies under {root}", fix=fix)


def is_supervised(report: Mapping[str, Any]) -> bool:
    """Return whether a report is of a row of `wsss compare` that was trained on ground-truth masks."""
    return bool(report.get("supervision", {}).get("label_source") == "ground-truth masks")


@contextmanager
def _peak_memory(interval: float = 0.2) -> Iterator[list[int]]:
    """Sample the resident memory of this process and its children in bytes; the list holds the largest."""
    peak = [0]
    done = threading.Event()
    process = psutil.Process()

    def watch() -> None:
        while True:
            total = 0
            for member in (process, *process.children(recursive=True)):
                try:
                    total += member.memory_info().rss
                except psutil.Error:  # the child ended meanwhile
                    continue
            peak[0] = max(peak[0], total)
            if done.wait(interval):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
