"""What is said of exceptions that others raise."""

import errno

import pytest
from torch.utils.data import DataLoader, Dataset

from wsss_toolkit.errors import DataError, UsageError, blamed_on, of_the_machine

MEMORY = "not enough memory; use smaller batches, windows or images, fewer workers, or a machine with more"


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), MEMORY),
        (MemoryError("Unable to allocate 7 PiB for an array"), MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), MEMORY),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), MEMORY),
        (RuntimeError("std::bad_alloc"), MEMORY),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MEMORY.replace("memory", "GPU memory", 1)),
        (RuntimeError("CUDA error: out of memory"), MEMORY.replace("memory", "GPU memory", 1)),
        (OSError(errno.ENOSPC, "No space left on device", "a.npy"), "no space left on device for a.npy; free space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no space left on device; free space or choose another --out"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "no space left on device; free space"),
        (
            RuntimeError("unable to write to file </torch_12_34>: No space left on device (28)"),
            "not enough shared memory for the processes that read images; set machine.workers to 0",
        ),
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's "
                         "workers are out of shared memory."),
            "not enough shared memory for the processes that read images; set machine.workers to 0",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
            "a process that reads images ended abruptly; perhaps for lack of memory: lower machine.workers",
        ),
        (RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "), "a process that reads images ended"),
    ],
)  # fmt: skip
def test_a_machine_that_is_full_is_told_in_words(error, said):
    assert str(of_the_machine(error)).startswith(said)
    with pytest.raises(type(error)), blamed_on("a.tif"):  # which is not the file's fault
        raise error


@pytest.mark.parametrize(
    "error",
    [
        KeyError("out of memory"), ValueError("cannot allocate a class"), RuntimeError("shapes differ"),
        FileNotFoundError(2, "No such file", "x"), DataError("no space left on device"),
    ],
)  # fmt: skip
def test_other_exceptions_are_not_the_machines(error):
    assert of_the_machine(error) is None


class Damaged(Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise self.error


@pytest.mark.parametrize(
    "error", [DataError("is cut short", where="a.tif", fix="copy it again"), UsageError("Error: b: c")]
)
def test_processes_that_read_images_speak_without_a_traceback(error):
    with pytest.raises(type(error)) as caught:
        list(DataLoader(Damaged(error), num_workers=1))
    assert str(caught.value) == str(error)
