"""Where to compute: devices, precision, and the processes that a launcher started."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wsss_toolkit.errors import UsageError, WsssError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Launch:
    """The processes that work together."""

    name: str = "alone"
    """Tells this launch from others in the same folder."""
    rank: int = 0
    """Number of this process among all, from 0."""
    processes: int = 1
    nodes: int = 1
    """The machines that they run on; each has the same number."""

    @property
    def processes_per_node(self) -> int:
        """Processes on each machine."""
        return self.processes // self.nodes


ALONE = Launch()


def find_launch(environment: Mapping[str, str] | None = None) -> Launch:
    """Read from the environment how this process was started.

    torchrun and `srun` are known, as to Lightning; one task of SLURM is no launch. None means this process's own
    variables.

    Raises:
        UsageError: If torchrun was given no name for a launch on several machines.

    >>> find_launch({"SLURM_NTASKS": "4", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_JOB_ID": "7",
    ...              "SLURM_NNODES": "2"})
    Launch(name='7-0', rank=1, processes=4, nodes=2)
    >>> find_launch({}) == ALONE
    True
    """
    known = os.environ if environment is None else environment
    if "TORCHELASTIC_RUN_ID" in known:
        processes = int(known["WORLD_SIZE"])
        nodes = processes // int(known["LOCAL_WORLD_SIZE"])
        if (name := known["TORCHELASTIC_RUN_ID"]) == "none":  # torchrun's default, the same every time
            if nodes > 1:
                raise UsageError("several machines need a name for their launch", fix="give torchrun --rdzv-id=NAME")
            name = f"parent-{os.getppid()}"
        name = f"{name}-{known['TORCHELASTIC_RESTART_COUNT']}"
        return Launch(name, int(known["RANK"]), processes, nodes)
    if int(known.get("SLURM_NTASKS", "1")) > 1 and "SLURM_STEP_ID" in known and "SLURM_PROCID" in known:
        name = f"{known['SLURM_JOB_ID']}-{known['SLURM_STEP_ID']}"
        return Launch(name, int(known["SLURM_PROCID"]), int(known["SLURM_NTASKS"]), int(known["SLURM_NNODES"]))
    return ALONE


Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PRECISIONS: Mapping[str, Precision] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
"""Lightning's name of each precision."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where to compute."""

    accelerator: Literal["cpu", "cuda"]
    processes: int
    """GPUs, or CPU processes, on each machine."""
    precision: Precision
    launch: Launch = ALONE
    """The processes that torchrun or SLURM started, if they did."""

    @property
    def world(self) -> int:
        """Processes on all machines."""
        return self.processes * self.launch.nodes

    @property
    def torch(self) -> "torch.device":
        """The device of the main process."""
        import torch

        return torch.device(self.accelerator)


def prediction_dtype(precision: str, device: "torch.device") -> "torch.dtype":
    """Return what a trained network computes in where it only predicts: float32, or half of it where that is faster.

    With ``auto`` the processor decides: bf16 with AMX or AVX512-BF16, and on GPUs that have it, takes a half to a
    quarter of the time; a processor without such instructions would need thirty times as long.

    Args:
        precision: The recipe's ``machine.precision``: ``auto``, ``32``, ``bf16`` or ``16``.
        device: Where it computes.

    >>> import torch
    >>> prediction_dtype("32", torch.device("cpu"))
    torch.float32
    """
    import torch

    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported()
        else:
            # Older versions of torch cannot say.
            able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
            fast = able.get("amx_bf16", False) or able.get("avx512_bf16", False)
        precision = "bf16" if fast else "32"
    return {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}[precision]


def autocast(device: "torch.device", dtype: "torch.dtype") -> "torch.autocast":
    """Return a context in which convolutions and products are computed in `dtype`; float32 leaves all as it is."""
    import torch

    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def choose_device(accelerator: str, devices: Literal["auto"] | int, precision: str) -> Device:
    """Resolve ``auto``.

    Raises:
        UsageError: If there is no such device.
        WsssError: If CUDA is asked for and there is none, or fewer GPUs than asked for.

    >>> choose_device("cpu", "auto", "auto").precision
    '32-true'
    """
    if accelerator not in ("auto", "cpu", "cuda"):
        raise UsageError(f"there is no device {accelerator!r}", fix="choose from auto, cpu, cuda")
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if accelerator == "cuda" and not available:
        raise WsssError("--device cuda, but PyTorch sees no CUDA device", fix="use --device cpu, or check the driver")
    kind: Literal["cpu", "cuda"] = "cpu" if accelerator == "cpu" or not available else "cuda"
    launch = find_launch()
    processes = (available if kind == "cuda" else 1) if devices == "auto" else devices
    if launch.processes > 1:
        processes = launch.processes_per_node
    if kind == "cuda" and processes > available:
        asked = "machine.devices is" if launch.processes == 1 else "the launcher's processes per machine are"
        raise WsssError(f"{asked} {processes}, but there are {available} GPUs", fix="ask for as many as there are")
    if precision == "auto":
        precision = ("bf16" if torch.cuda.is_bf16_supported() else "16") if kind == "cuda" else "32"
    return Device(kind, processes, PRECISIONS[precision], launch)
