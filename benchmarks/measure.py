"""How the scripts of this folder measure time and memory: interleaved calls, medians, and peaks.

On a machine that other work shares, all calls of one case and then all of the next compare two moments, not two
programs. So every round calls each case once, in an order that turns. Beside wall time stands the CPU time of all
threads: a case that had to wait for a processor shows in the first and not in the second.
"""

import ctypes
import ctypes.util
import datetime
import gc
import itertools
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Timing:
    """Seconds of each round: on the wall, and of all the process's threads on the CPU."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median wall time in seconds."""
        return statistics.median(self.wall)

    @property
    def spread(self) -> float:
        """Slowest round over fastest, less 1: how noisy the machine was."""
        return max(self.wall) / min(self.wall) - 1

    def faster_than(self, other: "Timing") -> float:
        """Return the other's median over this one's: above 1 where this is faster."""
        return other.median / self.median

    def less_cpu_than(self, other: "Timing") -> float:
        """Return the same of CPU seconds, by their medians."""
        return statistics.median(other.cpu) / statistics.median(self.cpu)


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, Timing]:
    """Time calls in turns.

    Args:
        calls: What to time, by name; each is called once before, which does not count.
        rounds: How often each is timed.
        device: Work on it is waited for.
    """
    names = list(calls)
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):
        start = max(number, 0) % len(names)
        for name in names[start:] + names[:start]:
            wait_for(device)
            began, began_cpu = time.perf_counter(), time.process_time()
            calls[name]()
            wait_for(device)
            if number >= 0:
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - began_cpu)
    return {name: Timing(tuple(wall[name]), tuple(cpu[name])) for name in names}


def wait_for(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_of_tensors(call: Callable[[], object], device: torch.device) -> int:
    """Return by how many bytes a call raises the memory of tensors at its highest.

    On a CPU every allocation of PyTorch's, its operators' temporary ones included, is added up from the profiler's
    records; on a GPU its allocator keeps the figure itself.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        call()
    # The public figures are sums per operator, which have no order and so no peak.
    records = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    records.sort(key=lambda record: record.start_ns())
    return max(itertools.accumulate(record.nbytes() for record in records), default=0)


def added_resident_size(call: Callable[[], object]) -> int | None:
    """Return by how many bytes a call raises the process's largest resident size; None where Linux does not tell.

    This is what the system has to have: tensors, the workspaces of libraries, and what the C library keeps or cannot
    use between allocations of different size. It needs a process of its own: memory that earlier work freed would be
    used again without any rise.
    """
    reset = Path("/proc/self/clear_refs")  # sets VmHWM back
    if not reset.exists():
        return None
    gc.collect()
    libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6")
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    reset.write_text("5")
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def machine(device: torch.device) -> str:
    """Return one line: date, processor, threads, load, versions."""
    processor = platform.processor() or platform.machine()
    known = Path("/proc/cpuinfo")
    if known.exists():
        names = [line.partition(":")[2].strip() for line in known.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    if device.type == "cuda":
        processor = f"{torch.cuda.get_device_name(device)}, {processor}"
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{datetime.date.today().isoformat()}; {processor}, {os.cpu_count()} processors, {torch.get_num_threads()} "
        f"threads{load}; Python {platform.python_version()}, torch {torch.__version__}"
    )


def waited(began: "resource.struct_rusage") -> int:
    """Return how often the process has lost its processor to others since `began`: 0 on an idle machine."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - began.ru_nivcsw
