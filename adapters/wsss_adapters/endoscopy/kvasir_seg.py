"""Kvasir-SEG: 1,000 polyps in `images/`, their outlines in `masks/`."""

from pathlib import Path

from wsss_adapters.endoscopy.frame_folder import Frame, check_masks, find_masks
from wsss_adapters.pictures.names import by_stem, list_pictures
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import safe_key

NAMES = ("Kvasir-SEG", "kvasir-seg")
"""What the archive calls its folder."""


def is_kvasir_seg(root: Path) -> bool:
    """Return whether a folder is laid out as Kvasir-SEG."""
    return (root / "images").is_dir() and (root / "masks").is_dir()


def kvasir_seg_root(root: Path) -> Path:
    """Return the folder of `images` and `masks`: the root, or the archive's folder in it."""
    return next((root / name for name in NAMES if is_kvasir_seg(root / name)), root)


def kvasir_seg_frames(root: Path, polyps: str) -> list[Frame]:
    """Find all frames; each shows a polyp and has a mask.

    Args:
        root: The folder of `images` and `masks`.
        polyps: Name of the class.

    Raises:
        DataError: If folders or masks are missing.
    """
    folder = kvasir_seg_root(root)
    if not is_kvasir_seg(folder):
        raise DataError(
            "Kvasir-SEG not found: there are no folders images and masks",
            where=str(root),
            fix="unpack kvasir-seg.zip (https://datasets.simula.no/kvasir-seg/) there, or correct data.root",
        )
    pictures = by_stem(list_pictures(folder / "images"))
    masks = find_masks(folder / "masks")
    check_masks(masks, pictures, folder / "images")
    bare = sorted(set(pictures) - set(masks))
    if bare:
        raise DataError(
            f"{len(bare)} {'frame has' if len(bare) == 1 else 'frames have'} no mask, {pictures[bare[0]].name} first",
            where=str(folder / "masks"),
            fix="the copy is incomplete; unpack it again, or use `layout: frames`",
        )
    return [Frame(safe_key(stem), path, masks[stem], polyps, (polyps,)) for stem, path in pictures.items()]
