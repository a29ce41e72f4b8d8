"""Where the processes of a launch meet: the first does everything, the others help to train."""

import shutil
import time
from pathlib import Path
from typing import Literal

from wsss_toolkit.compute import Launch
from wsss_toolkit.errors import WsssError
from wsss_toolkit.files import write_text

Marker = Literal["work", "kept"]


class Rendezvous:
    """Files in the run's folder by which the first process tells the others when to take part in a training.

    Only training is shared: the first process does everything else alone. Files work wherever the run's folder is
    shared, which checkpoints need anyway.
    """

    def __init__(self, run: Path, launch: Launch) -> None:
        safe = "".join(letter if letter.isalnum() else "-" for letter in launch.name)
        self._folder = run / f".launch-{safe}"
        if launch.rank == 0:
            for older in run.glob(".launch-*"):
                shutil.rmtree(older, ignore_errors=True)

    def announce(self, stage: str, marker: Marker) -> None:
        """Tell the others that a stage begins, or that its result is kept."""
        write_text(self._folder / stage, marker)

    def close(self) -> None:
        """Tell the others that nothing more comes."""
        self.announce("end", "kept")

    def wait(self, stage: str) -> Marker:
        """Wait until the first process reaches a stage; a `WsssError` says that it ended before."""
        while True:
            if (self._folder / stage).exists():
                return "work" if (self._folder / stage).read_text() == "work" else "kept"
            if (self._folder / "end").exists():
                raise WsssError(f"the first process ended before the stage {stage}", fix="its own message says why")
            time.sleep(0.2)
