"""Lets TorchGeo check, unpack or download its copy of DFC2020 (extra `remote-sensing`)."""

import warnings
from pathlib import Path

from wsss_toolkit.errors import DataError, WsssError


def fetch(root: Path, *, download: bool) -> None:
    """Check that TorchGeo finds its copy; let it unpack or download what is missing.

    Raises:
        DataError: If the data are missing and `download` is false.
        WsssError: If TorchGeo is not installed or the download fails.
    """
    try:
        # Importing TorchGeo brings third-party deprecation warnings that are not the user's to mend.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torchgeo.datasets import CopernicusBenchDFC2020S1, CopernicusBenchDFC2020S2, DatasetNotFoundError
    except ImportError as error:
        raise WsssError(
            f"TorchGeo's copy of DFC2020 needs the package {error.name!r}, which is not installed",
            fix="pip install 'wsss-toolkit[remote-sensing]'",
        ) from error
    try:
        for split in ("train", "val", "test"):
            for kind in (CopernicusBenchDFC2020S1, CopernicusBenchDFC2020S2):
                kind(root=root, split=split, download=download)
    except DatasetNotFoundError as error:
        raise DataError(
            "DFC2020 not found: dfc2020_s1s2 is not there and `download` is false",
            where=str(root),
            fix="set `download: true`, or put TorchGeo's dfc2020.zip there",
        ) from error
    except (OSError, RuntimeError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise WsssError(
            f"TorchGeo could not provide DFC2020: {cause}",
            where=str(root),
            fix="check the network and the disk, remove a half-finished dfc2020.zip, and run again",
        ) from error
