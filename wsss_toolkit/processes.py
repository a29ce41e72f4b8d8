"""Which of several processes this one is, where torchrun or SLURM started more than one for one training."""

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wsss_toolkit.errors import UsageError, WsssError

Marker = Literal["work", "kept"]


@dataclass(frozen=True, slots=True)
class Launch:
    """The processes that work together.

    Attributes:
        name: Tells this launch from others in the same folder.
        rank: Number of this process among all, from 0.
        processes: All processes.
        nodes: The machines that they run on; each has the same number.
    """

    name: str = "alone"
    rank: int = 0
    processes: int = 1
    nodes: int = 1

    @property
    def processes_per_node(self) -> int:
        """Processes on each machine."""
        return self.processes // self.nodes


ALONE = Launch()


def find_launch(environment: Mapping[str, str] | None = None) -> Launch:
    """Read from the environment how this process was started.

    torchrun and `srun` are known, as to Lightning; one task of SLURM is no launch.

    Args:
        environment: Variables; None means this process's own.

    Raises:
        UsageError: If torchrun was given no name for a launch on several machines.
    """
    known = os.environ if environment is None else environment
    if "TORCHELASTIC_RUN_ID" in known:
        processes = int(known["WORLD_SIZE"])
        nodes = processes // int(known["LOCAL_WORLD_SIZE"])
        name = known["TORCHELASTIC_RUN_ID"]
        if name == "none":  # torchrun's default, the same every time
            if nodes > 1:
                raise UsageError("several machines need a name for their launch", fix="give torchrun --rdzv-id=NAME")
            name = f"parent-{os.getppid()}"
        name = f"{name}-{known['TORCHELASTIC_RESTART_COUNT']}"
        return Launch(name, int(known["RANK"]), processes, nodes)
    if int(known.get("SLURM_NTASKS", "1")) > 1 and "SLURM_STEP_ID" in known and "SLURM_PROCID" in known:
        name = f"{known['SLURM_JOB_ID']}-{known['SLURM_STEP_ID']}"
        return Launch(name, int(known["SLURM_PROCID"]), int(known["SLURM_NTASKS"]), int(known["SLURM_NNODES"]))
    return ALONE


class Rendezvous:
    """Files in the run's folder by which the first process tells the others when to take part in a training.

    Only training is shared: the first process does everything else alone. Files work wherever the run's folder is
    shared, which checkpoints need anyway.

    Args:
        run: The run's folder.
        launch: The processes that work together.
    """

    def __init__(self, run: Path, launch: Launch) -> None:
        safe = "".join(letter if letter.isalnum() else "-" for letter in launch.name)
        self._folder = run / f".launch-{safe}"
        if launch.rank == 0:
            for older in run.glob(".launch-*"):
                shutil.rmtree(older, ignore_errors=True)

    def announce(self, stage: str, marker: Marker) -> None:
        """Tell the others that a stage begins, or that its result is kept."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f".{stage}"
        partial.write_text(marker)
        partial.rename(self._folder / stage)

    def end(self) -> None:
        """Tell the others that nothing more comes."""
        self.announce("end", "kept")

    def wait(self, stage: str) -> Marker:
        """Wait until the first process reaches a stage.

        Raises:
            WsssError: If it ended before.
        """
        while True:
            if (self._folder / stage).exists():
                return "work" if (self._folder / stage).read_text() == "work" else "kept"
            if (self._folder / "end").exists():
                raise WsssError(f"the first process ended before the stage {stage}", fix="its own message says why")
            time.sleep(0.2)
