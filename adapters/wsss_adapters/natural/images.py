"""What the adapters for photographs have in common."""

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import ConfigDict

from wsss_adapters.pictures.adapter import PictureAdapter
from wsss_adapters.pictures.decoding import Size, decode_picture, picture_size
from wsss_adapters.pictures.reading import rgb_sample
from wsss_adapters.pictures.scenes import PictureScenes
from wsss_toolkit.domain import AdapterOptions, Changes, ChannelTable, Sample
from wsss_toolkit.errors import DataError

NAME: Final = re.compile(r"""\w[^\s\x00-\x1f\x7f"'*/:<>?\\|]*""")
"""What a picture's name without suffix consists of, in a list: letters of any script, no marks of markup or paths."""


def bit_palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return the first colours of Pascal VOC's palette, all different for up to 256.

    The bits of an index, from the lowest up, go to red, green and blue in turn, each time from the highest bit down.
    """
    colors = []
    for index in range(count):
        rgb = [0, 0, 0]
        for bit in range(8):
            rgb[bit % 3] |= (index >> bit & 1) << 7 - bit // 3
        colors.append((rgb[0], rgb[1], rgb[2]))
    return tuple(colors)


def read_list(path: Path, fix: str = "copy or download it again") -> tuple[str, ...]:
    """Read a text file with one image a line, and return their names sorted, each once.

    The first word of a line counts, its folder and suffix do not: lists such as ``/JPEGImages/a.jpg /Masks/a.png`` are
    in use.

    Raises:
        DataError: If the file is missing, empty, no text, or names what is no file name.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError("no such list", where=str(path), fix=fix) from None
    except (OSError, ValueError) as error:
        fix = "copy or download it again"
        raise DataError(f"cannot be read as text ({error})", where=str(path), fix=fix) from error
    names = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name = re.sub(r"\.(jpe?g|png|mat)$", "", line.split()[0].rsplit("/", 1)[-1], flags=re.IGNORECASE)
        if not NAME.fullmatch(name):
            raise DataError(f"{line.split()[0]!r} is no image name", where=f"{path}:{number}", fix="correct the list")
        names.add(name)
    if not names:
        raise DataError("the list is empty", where=str(path), fix=fix)
    return tuple(sorted(names))


def check_disjoint(splits: Mapping[str, tuple[str, ...]], where: Path, fix: str) -> None:
    """Raise a DataError where splits share images: what is trained on must not be scored."""
    owners: dict[str, str] = {}
    for split, keys in splits.items():
        for key in keys:
            other = owners.setdefault(key.casefold(), split)
            if other != split:
                raise DataError(f"image {key!r} is in the splits {other!r} and {split!r}", where=str(where), fix=fix)


def check_present(keys: Iterable[str], folder: Path, suffix: str, what: str, fix: str) -> None:
    """Raise a DataError where a folder lacks files of some images, which messages call `what`, in the plural."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [key for key in keys if f"{key}{suffix}" not in there]
    if missing:
        raise DataError(f"{len(missing)} {what} are missing, {missing[0]}{suffix} first", where=str(folder), fix=fix)


class NaturalOptions(AdapterOptions):
    """What the `data` sections of photographs have in common."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    scenes: Annotated[Literal["whole", "windows"], Changes.NOTHING] = "whole"
    """How `wsss pseudolabel` labels a picture: as a `whole` at the size of the training images, for networks trained on
    whole, resized pictures; or by `windows` that slide over it at full size, for networks trained on crops
    (`model.fit: crop`)."""


class NaturalImages(PictureScenes, PictureAdapter):
    """Reads photographs and writes their masks; subclasses know where files and truth lie.

    New pictures (`wsss pseudolabel`) are no part of the data set: nobody states their size, and they are read upright.
    """

    options: NaturalOptions

    def __init__(self, options: NaturalOptions) -> None:
        self.options = options

    @property
    def scenes_are_whole(self) -> bool:
        """Whether new pictures are labelled as a whole, at the size of the training images."""
        return self.options.scenes == "whole"

    @abstractmethod
    def picture(self, key: str) -> Path:
        """Return the file of an image.

        Raises:
            DataError: If there is no such image.
        """

    @abstractmethod
    def stated_size(self, key: str) -> Size | None:
        """Return the size that the data set's annotations have, without looking into a mask; None if unknown."""

    def size(self, key: str) -> Size:
        """Return height and width of an image, see `PictureAdapter.size`."""
        return picture_size(self.picture(key), lambda: self.stated_size(key))

    def read(self, key: str, channels: ChannelTable) -> Sample:
        """Read the selected colours of an image, float32 `c h w` in 0..255."""
        picture = decode_picture(self.picture(key), stated=lambda: self.stated_size(key), deep=False)
        return rgb_sample(key, picture.pixels, None, channels)


def unknown_image(key: str, root: Path) -> DataError:
    """Return the error for a key that no image has."""
    return DataError(f"no image is called {key!r}", where=str(root))


def unusual_counts(splits: Mapping[str, tuple[str, ...]], published: Mapping[str, int]) -> list[str]:
    """Return which splits have not as many images as were published, in words."""
    return [
        f"{len(keys)} in {split} instead of {published[split]}"
        for split, keys in splits.items()
        if len(keys) != published[split]
    ]
