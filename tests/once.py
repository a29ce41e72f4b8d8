"""What is made once for all processes of a test session."""

import os
import shutil
from pathlib import Path

from filelock import FileLock


def session_folder(tmp_path_factory) -> Path:
    """Return the temporary folder that the processes of this session have in common, and no other session has.

    pytest-xdist gives each process a folder of its own below it. Without pytest-xdist, what lies above the process's
    folder belongs to other sessions too, of other versions of the code.
    """
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def made_once(tmp_path_factory, name, make) -> Path:
    """Return a folder that `make` fills, in the first process that asks for it; read it, do not change it."""
    base = session_folder(tmp_path_factory)
    folder = base / name
    with FileLock(base / f"{name}.lock"):
        if not folder.is_dir():
            making = base / f"{name}-unfinished"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            make(making)
            making.rename(folder)
    return folder
