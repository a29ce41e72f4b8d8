"""Generated Sentinel-1/2-like tiles in the DFC2020 layout, for a first run without any download."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.remote_sensing.dfc2020 import Dfc2020, Dfc2020Options
from wsss_adapters.remote_sensing.dfc2020_files import CONTEST_FOLDERS, LISTS
from wsss_adapters.synthetic_scenes import Scene, draw_scene
from wsss_toolkit.domain import AdapterOptions, Changes, Fingerprint
from wsss_toolkit.domain.progress import counted
from wsss_toolkit.errors import WsssError

GENERATOR_VERSION = 1
"""Raised whenever the generated pixels change, so that old tiles are not taken for new ones."""
PIXEL_SIZE = 10.0
"""Metres."""


class TileCounts(BaseModel):
    """Number of tiles in each split."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    train: Annotated[int, Field(ge=1, le=100_000)] = 120
    """Tiles to train on."""
    val: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Tiles to choose the checkpoint on."""
    test: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Tiles to test on."""


class SyntheticOptions(AdapterOptions):
    """The `data` section of a recipe for synthetic tiles."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    root: Annotated[Path, Changes.NOTHING] = Path("data/synthetic")
    """Tiles are generated in a subfolder of this folder, named by a digest of the options below."""
    tiles: TileCounts = TileCounts()
    """Number of tiles in each split."""
    size: Annotated[int, Field(ge=16, le=2048)] = 96
    """Side of a tile in pixels."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Draws the tiles."""
    scenes: Annotated[SceneRules | None, Changes.NOTHING] = None
    """Which files make a scene for `wsss pseudolabel`; null looks for `.SAFE` products and stacks."""


class Synthetic(Dfc2020):
    """Generates tiles once, then is DFC2020 in the generated folder."""

    Options = SyntheticOptions

    def __init__(self, options: SyntheticOptions) -> None:
        self.generator = options
        files = {"root": self.folder, "layout": "contest", "split": "torchgeo", "scenes": options.scenes}
        super().__init__(Dfc2020Options.model_validate({"adapter": "dfc2020", **files}))

    @property
    def notices(self) -> tuple[str, ...]:
        """What must be read beside every figure."""
        return ("Synthetic data: figures say nothing about real scenes.",)

    @property
    def folder(self) -> Path:
        """The folder of the tiles that these options describe."""
        text = json.dumps(self._parameters(), sort_keys=True)
        return self.generator.root / f"tiles-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def prepared(self) -> bool:
        """Whether the tiles have been generated."""
        return self.folder.is_dir()

    def prepare(self) -> None:
        """Generate the tiles unless they are there; the folder appears complete or not at all."""
        if self.prepared:
            super().prepare()
            return
        root = self.generator.root
        try:
            root.mkdir(parents=True, exist_ok=True)
            for left in filter(Path.is_dir, root.glob(".generating-????????")):
                with suppress(Timeout), FileLock(left / ".lock", timeout=0):  # nobody is at work in it any more
                    shutil.rmtree(left)
            with _unfinished(root) as partial:
                self._generate(partial)
                (partial / ".lock").unlink(missing_ok=True)
                try:
                    partial.rename(self.folder)
                except OSError:
                    if not self.folder.is_dir():  # else another process was faster with the same tiles
                        raise
        except OSError as error:
            what = f"cannot write synthetic tiles: {error.strerror or error}"
            fix = "free disk space or choose another folder with --set data.root=DIR"
            raise WsssError(what, where=str(root), fix=fix) from error
        self.__dict__.pop("_tiles", None)

    def fingerprint(self) -> Fingerprint:
        """Return what the pixels depend on, and the tiles as DFC2020 sees them."""
        return replace(super().fingerprint(), options=self._parameters())

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Return the keys of `train`, `val` and `test`; known before the tiles are generated."""
        return {split: tuple(sorted(_key(*place) for place in places)) for split, places in self._places().items()}

    def write_mask(
        self,
        path: Path,
        key: str,
        mask: NDArray[np.uint8],
        confidence: NDArray[np.uint8] | None,
        tags: Mapping[str, str],
    ) -> Path:
        """Write a mask as GeoTIFF, as DFC2020; it says that its source is synthetic."""
        return super().write_mask(path, key, mask, confidence, {**tags, "NOTICE": self.notices[0]})

    def _parameters(self) -> dict[str, Any]:
        """Return everything that the pixels depend on."""
        return {
            "version": GENERATOR_VERSION,
            **self.generator.model_dump(mode="json", include={"tiles", "size", "seed"}),
        }

    def _places(self) -> dict[str, list[tuple[str, int]]]:
        """Return group and number of each split's tiles; as in the paper, "validation" is for testing."""
        counts = self.generator.tiles
        return {
            "train": [("test", number) for number in range(counts.train)],
            "val": [("test", number) for number in range(counts.train, counts.train + counts.val)],
            "test": [("validation", number) for number in range(counts.test)],
        }

    def _generate(self, folder: Path) -> None:
        """Draw and write all tiles, the lists of the splits and a note of the parameters."""
        layout = self._places()
        places = [place for split in layout.values() for place in split]
        seeds = np.random.SeedSequence(self.generator.seed).spawn(len(places))
        tiles = counted(zip(places, seeds, strict=True), "tiles made", len(places))
        for index, ((group, number), seed) in enumerate(tiles):
            scene = draw_scene(self.generator.size, np.random.default_rng(seed))
            _write_tile(folder, group, number, scene, index)
        for split, file in LISTS.items():
            lines = [_name("dfc", *place) for place in layout[split]]
            (folder / file).write_text("\n".join(lines) + "\n")
        note = {"notice": self.notices[0], **self._parameters()}
        (folder / "synthetic.json").write_text(json.dumps(note, indent=2) + "\n")


def _key(group: str, number: int) -> str:
    """Return the key under which DFC2020 knows a tile."""
    return f"{'val' if group == 'validation' else group}_p{number}"


def _name(product: str, group: str, number: int) -> str:
    """Return the name of a tile's file, such as ``ROIs0000_test_s2_0_p609.tif``."""
    folder, suffix = CONTEST_FOLDERS[group]
    return f"{folder}_{product}_{suffix}_p{number}.tif"


def _write_tile(folder: Path, group: str, number: int, scene: Scene, index: int) -> None:
    """Write the three files of a tile, each tile at a place of its own in UTM zone 32 N."""
    import rasterio

    base, suffix = CONTEST_FOLDERS[group]
    height, width = scene.codes.shape
    column, row = index % 100, index // 100
    left = 300_000 + column * width * PIXEL_SIZE
    top = 5_500_000 - row * height * PIXEL_SIZE
    transform = rasterio.Affine(PIXEL_SIZE, 0, left, 0, -PIXEL_SIZE, top)
    layers = (("s1", scene.sentinel1), ("s2", scene.sentinel2), ("dfc", scene.codes[None]))
    for product, pixels in layers:
        path = folder / base / f"{product}_{suffix}" / _name(product, group, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        profile = {"driver": "GTiff", "count": len(pixels), "height": height, "width": width, "dtype": pixels.dtype}
        with rasterio.open(path, "w", **profile, crs="EPSG:32632", transform=transform) as raster:
            raster.write(pixels)
        # GDAL reports a full disk in its log only; the pixels are not compressed, so the size tells.
        if path.stat().st_size < pixels.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextmanager
def _unfinished(root: Path) -> Iterator[Path]:
    """Give a folder to generate tiles in; its lock says that somebody is at work in it, and goes with the process."""
    partial = Path(tempfile.mkdtemp(prefix=".generating-", dir=root))
    try:
        partial.chmod(0o755)  # mkdtemp makes folders that nobody else may read
        with FileLock(partial / ".lock", timeout=10):
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
