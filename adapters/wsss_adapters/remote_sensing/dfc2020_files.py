"""Where the files of DFC2020's tiles lie, in the contest's layout and in that of TorchGeo's copy, and its download."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.files import safe_key

CONTEST_FOLDERS = {"test": ("ROIs0000_test", "0"), "validation": ("ROIs0000_validation", "validation")}
TORCHGEO_FOLDER = "dfc2020_s1s2"
LISTS = {split: f"dfc-{split}-new.csv" for split in ("train", "val", "test")}
_CONTEST_NAME = re.compile(r"ROIs0000_(test|validation)_dfc_(?:0|validation)_(p\d+)\.tif")


@dataclass(frozen=True, slots=True)
class Tile:
    """The files of one tile."""

    key: str
    group: str
    sentinel1: Path
    sentinel2: Path
    mask: Path


def tile_key(name: str) -> str:
    """Return the key of a mask's file name: ``ROIs0000_test_dfc_0_p609.tif`` is ``test_p609``."""
    match = _CONTEST_NAME.fullmatch(name)
    if match:
        return f"{'val' if match[1] == 'validation' else 'test'}_{match[2]}"
    return safe_key(Path(name).stem.replace("_dfc", ""))


def contest_tiles(root: Path) -> Iterator[Tile]:
    """Yield the tiles of the contest's folders, found by their Sentinel-2 files."""
    for group, (folder, suffix) in CONTEST_FOLDERS.items():
        base = root / folder
        for sentinel2 in base.glob(f"s2_{suffix}/*.tif"):
            name = sentinel2.name.replace("_s2_", "_dfc_")
            if _CONTEST_NAME.fullmatch(name):
                sentinel1 = base / f"s1_{suffix}" / sentinel2.name.replace("_s2_", "_s1_")
                yield Tile(tile_key(name), group, sentinel1, sentinel2, base / f"dfc_{suffix}" / name)


def torchgeo_tiles(root: Path) -> Iterator[Tile]:
    """Yield the tiles that the lists of TorchGeo's copy name.

    Raises:
        DataError: If a list is missing or holds something else.
    """
    base = root / TORCHGEO_FOLDER
    for name in (name for names in read_lists(root, base).values() for name in names):
        match = _CONTEST_NAME.fullmatch(name)
        sentinel1, sentinel2 = (base / sensor / name.replace("dfc", sensor) for sensor in ("s1", "s2"))
        yield Tile(tile_key(name), match[1] if match else "", sentinel1, sentinel2, base / "dfc" / name)


def read_lists(root: Path, folder: Path) -> dict[str, list[str]]:
    """Read the masks' file names from TorchGeo's three lists in `folder`.

    Raises:
        DataError: If a list is missing or holds something else.
    """
    names = {}
    for split, file in LISTS.items():
        path = folder / file
        if not path.is_file():
            raise not_found(root, f"the list {path} is missing")
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        names[split] = [line.split(",")[0].strip().strip('"') for line in lines]
        for name in names[split]:
            # Lists are downloaded: a name must not lead out of the folder.
            if Path(name).name != name or not name.endswith(".tif"):
                raise DataError(f"lists hold names of .tif files, not {name!r}", where=str(path))
    return names


def not_found(root: Path, cause: str) -> DataError:
    """Return the error that names the root, the cause and both remedies."""
    return DataError(
        f"DFC2020 not found: {cause}",
        where=str(root),
        fix="set `download: true` to fetch TorchGeo's copy, or put the contest's folders ROIs0000_test "
        "and ROIs0000_validation there (https://ieee-dataport.org/competitions/2020-ieee-grss-data-fusion-contest)",
    )


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
        what = f"TorchGeo's copy of DFC2020 needs the package {error.name!r}, which is not installed"
        raise WsssError(what, fix="pip install 'wsss-toolkit[remote-sensing]'") from error
    try:
        for split in ("train", "val", "test"):
            for kind in (CopernicusBenchDFC2020S1, CopernicusBenchDFC2020S2):
                kind(root=root, split=split, download=download)
    except DatasetNotFoundError as error:
        what = "DFC2020 not found: dfc2020_s1s2 is not there and `download` is false"
        fix = "set `download: true`, or put TorchGeo's dfc2020.zip there"
        raise DataError(what, where=str(root), fix=fix) from error
    except (OSError, RuntimeError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        fix = "check the network and the disk, remove a half-finished dfc2020.zip, and run again"
        raise WsssError(f"TorchGeo could not provide DFC2020: {cause}", where=str(root), fix=fix) from error
