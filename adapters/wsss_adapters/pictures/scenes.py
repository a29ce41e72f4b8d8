"""Pictures of any size as scenes: read by sliding windows at full size or as a whole, labelled as PNG."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import numpy as np

from wsss_adapters.pictures.decoding import decode_picture
from wsss_adapters.pictures.names import LOOKED_FOR, SUFFIXES, find_pictures, name_below, safe_keys
from wsss_adapters.pictures.png_mask import OURS, is_ours, mask_tags, write_png_mask
from wsss_adapters.pictures.reading import RASTER, RGB, Header, band_numbers, check_bands, read_header, window_slices
from wsss_adapters.pictures.videos import left_in
from wsss_toolkit.domain import (
    ChannelTable,
    ClassTable,
    Destination,
    Layers,
    ModelDescription,
    Sample,
    SceneOutputs,
    SceneSource,
    Window,
)
from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.domain.unread import files_beside, paths_of
from wsss_toolkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class PictureSource:
    """A picture that was found and not opened yet; see `wsss_toolkit.domain.SceneSource`."""

    name: str
    """What its files are named after."""
    path: Path
    whole: bool
    """Whether it is labelled as a whole, at the size of the training images."""

    @property
    def shown(self) -> str:
        """The path."""
        return str(self.path)

    def fingerprint(self) -> str:
        """Return a digest of the file's path, size and time, and of how it is labelled."""
        try:
            stat = self.path.stat()
            state = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:  # it fails when it is opened
            state = "gone"
        return hashlib.sha256(f"{self.path} {self.whole} {state}".encode("utf-8", "surrogateescape")).hexdigest()


class PictureScene:
    """An open picture; see `wsss_toolkit.domain.Scene`.

    Ordinary pictures are decoded once and kept as bytes; rasters are read window by window.
    """

    def __init__(self, source: PictureSource, header: Header, channels: ChannelTable) -> None:
        check_bands(header.sensor, channels, source.shown)
        self.height, self.width = header.height, header.width
        self.frame_height = header.height if source.whole else None
        self.sensors: tuple[str, ...] = (header.sensor.name,)
        several = f"holds {header.pages} pictures, the first of which is taken"
        self.notices: tuple[str, ...] = (several,) if header.pages > 1 else ()
        self._source = source
        self._numbers = band_numbers(header.sensor, channels)
        self._picture = decode_picture(source.path, source.shown) if header.sensor == RGB else None

    def read(self, window: Window) -> Sample:
        """Read a window, NaN where a pixel is missing.

        Raises:
            DataError: If it cannot be read.
        """
        if self._picture is None:
            from wsss_adapters.geotiff.reading import read_bands

            pixels = read_bands(self._source.path, self._numbers, window, named=self._numbers)
            return Sample(self._source.name, {RASTER: pixels})
        rows, columns = window_slices(window)
        colors = [number - 1 for number in self._numbers]
        bands = self._picture.pixels[rows, columns].transpose(2, 0, 1)[colors].astype(np.float32)
        if self._picture.there is not None:
            bands[:, ~self._picture.there[rows, columns]] = np.nan
        return Sample(self._source.name, {RGB.name: bands})


class PictureScenes:
    """Implements `wsss_toolkit.domain.SceneAdapter` for picture files."""

    Outputs: ClassVar[type[SceneOutputs]] = SceneOutputs

    @property
    def scenes_are_whole(self) -> bool:
        """Whether a picture is labelled as a whole and not by sliding windows."""
        return False

    def find_scenes(self, inputs: Sequence[str], channels: ChannelTable) -> tuple[SceneSource, ...]:
        """Find pictures among files, folders and globs; masks that `wsss pseudolabel` wrote are left out.

        Raises:
            UsageError: If an input does not exist, or holds no picture.
        """
        found: dict[Path, str] = {}
        for text in inputs:
            asked = Path(text).is_file()  # what is only called like a mask is left out, but where it is named itself
            pictures = [
                (path, base)
                for path, base in _pictures(text)
                if not (is_ours(path) if asked else OURS.search(path.name))
            ]
            if not pictures:
                raise UsageError(f"no pictures in {text!r}{left_in(text)}", fix=LOOKED_FOR)
            for path, base in pictures:
                found.setdefault(path, name_below(path, base))
        # Two inputs may hold files of one relative path: the whole path tells them apart then.
        times = Counter(found.values())
        names = {path: normal_form(path.as_posix()) if times[name] > 1 else name for path, name in found.items()}
        keys = safe_keys(names.values())
        sources = [PictureSource(keys[name], path, self.scenes_are_whole) for path, name in names.items()]
        return tuple(sorted(sources, key=lambda source: source.name))

    def unread(self, inputs: Sequence[str], sources: Sequence[SceneSource]) -> Sequence[Path]:
        """Return the files among the inputs that are no picture, nor a mask of ours."""
        read = [cast(PictureSource, source).path for source in sources]
        return [path for path in files_beside(inputs, read) if not is_ours(path)]

    @contextmanager
    def open_scene(
        self, source: SceneSource, channels: ChannelTable, outputs: SceneOutputs | None = None
    ) -> Iterator[PictureScene]:
        """Open a picture.

        Raises:
            DataError: If it cannot be read or has other bands than the model sees.
        """
        picture = cast(PictureSource, source)
        yield PictureScene(picture, read_header(picture.path), channels)

    def write_scene(
        self,
        source: SceneSource,
        layers: Sequence[Layers],
        classes: ClassTable,
        destination: Destination,
        channels: ChannelTable,
    ) -> Path:
        """Write the mask as palette PNG of the picture's size, and what else was asked for as grey PNGs."""
        return write_png_mask(source.name, layers, classes, destination, cast(PictureSource, source).path.name)

    def scene_tags(self, name: str, folder: Path) -> Mapping[str, str] | None:
        """Return the tags of a finished mask."""
        return mask_tags(folder / f"{name}_mask.png")

    def describe_scenes(self, folder: Path, model: ModelDescription) -> tuple[Path, ...]:
        """Write nothing: pictures have no catalogue."""
        return ()


def _pictures(text: str) -> Iterator[tuple[Path, Path]]:
    """Yield the pictures of an input, each with the folder that its name is relative to."""
    for match in paths_of(text):
        if match.is_dir():
            yield from ((picture, match) for picture in find_pictures(match))
        elif match.suffix.lower() in SUFFIXES:
            yield match, match.parent
