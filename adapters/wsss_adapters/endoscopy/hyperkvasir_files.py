"""HyperKvasir: labelled images in class folders, and outlined polyps in `segmented-images/`.

And Kvasir-SEG: 1,000 polyps in `images/`, their outlines in `masks/`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from wsss_adapters.endoscopy.frame_folder import Frame, check_masks, class_of, find_masks
from wsss_adapters.endoscopy.hyperkvasir_classes import ClassNames
from wsss_adapters.pictures.names import by_stem, class_folders, list_pictures
from wsss_adapters.tables.image_table import ImageTable, read_image_table
from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.errors import DataError
from wsss_toolkit.files import safe_key

LABELLED = ("labeled-images", "hyper-kvasir-labeled-images", "hyper_kvasir_labeled_images")
SEGMENTED = ("segmented-images", "hyper-kvasir-segmented-images", "hyper_kvasir_segmented_images")
TRACTS = ("lower-gi-tract", "upper-gi-tract")
TABLE = "image-labels.csv"
TABLE_IMAGE = "Video file"
"""The column of the table that names the image: there is no column for the video or the patient."""
TABLE_CLASS = "Finding"

KVASIR_SEG = ("Kvasir-SEG", "kvasir-seg")
"""What the archive calls its folder."""


def labelled_folder(root: Path) -> Path | None:
    """Return the folder of `lower-gi-tract`: the root, or one that an archive makes in it."""
    return _find(root, LABELLED, TRACTS)


def _find(root: Path, names: tuple[str, ...], inside: tuple[str, ...], *, itself: bool = True) -> Path | None:
    bases = [root, root / "hyper-kvasir", root / "hyperkvasir"]
    nested = [base / name for base in bases for name in names]
    # Some unpackers put each archive into a folder of its own: hyper-kvasir-labeled-images/labeled-images.
    nested += [folder / names[0] for folder in nested]
    candidates = ([root] if itself else []) + nested
    return next((folder for folder in candidates if any((folder / name).is_dir() for name in inside)), None)


def read_labels_table(root: Path) -> ImageTable | None:
    """Return `image-labels.csv`, where it is there.

    Raises:
        DataError: If it cannot be read or lacks the column that names the image.
    """
    folder = labelled_folder(root)
    path = folder / TABLE if folder else None
    return read_image_table(path, TABLE_IMAGE) if path and path.is_file() else None


def hyperkvasir_frames(root: Path, names: ClassNames, mask_class: str | None) -> list[Frame]:
    """Find all labelled images of the recipe's classes, and the outlined polyps.

    An outlined image with the name of a labelled one is that image; the others are further images of `mask_class`,
    which None leaves out.

    Raises:
        DataError: If folders are missing or no class, `image-labels.csv` contradicts the class folders or names images
            that are missing, or masks and outlined images do not match.
    """
    labelled, segmented = labelled_folder(root), _find(root, SEGMENTED, ("masks",), itself=False)
    if labelled is None and segmented is None:
        raise DataError(
            "HyperKvasir not found: neither labeled-images nor segmented-images is there",
            where=str(root),
            fix="unpack hyper-kvasir-labeled-images.zip and hyper-kvasir-segmented-images.zip "
            "(https://datasets.simula.no/hyper-kvasir/) there, or correct data.root",
        )
    frames = list(_labelled(labelled, names)) if labelled else []
    if labelled:
        _check_table(root, frames, names)
    if segmented and mask_class is not None:
        frames = _with_outlines(frames, segmented, mask_class)
    if not frames:
        fix = "compare data.classes and data.negatives with the class folders"
        raise DataError("no image of the recipe's classes is there", where=str(root), fix=fix)
    return frames


def _labelled(folder: Path, names: ClassNames) -> Iterator[Frame]:
    """Yield the images of all class folders that the recipe uses."""
    for tract in TRACTS:
        for area in class_folders(folder / tract) if (folder / tract).is_dir() else []:
            for place in class_folders(area):
                named = class_of(place, names)
                if named is None:
                    continue
                kind, labels = named
                for stem, path in by_stem(list_pictures(place)).items():
                    yield Frame(safe_key(stem), path, None, kind, labels)


def _check_table(root: Path, frames: list[Frame], names: ClassNames) -> None:
    """Refuse an `image-labels.csv` that names missing images of the recipe's classes, or others than the folders."""
    table = read_labels_table(root)
    if table is None or TABLE_CLASS not in table.columns:
        return
    kinds: dict[str, set[str]] = {}
    for frame in frames:
        kinds.setdefault(normal_form(frame.image.stem), set()).add(str(frame.kind))
    missing = []
    for image, row in table.rows.items():
        try:
            named = names.find(row[TABLE_CLASS])
        except KeyError:
            continue  # spellings of the table alone are no reason to stop: folders decide
        if named is None:
            continue
        if image not in kinds:
            missing.append(image)
        elif named[0] not in kinds[image]:
            what = f"calls {image} {row[TABLE_CLASS]!r}, but it lies in a folder of {', '.join(sorted(kinds[image]))}"
            raise DataError(what, where=str(table.path), fix="correct the table or move the image")
    if missing:
        raise DataError(
            f"names {len(missing)} {'image that is' if len(missing) == 1 else 'images that are'} missing, "
            f"{missing[0]} first",
            where=str(table.path),
            fix="the copy is incomplete; unpack it again, or take the rows out of the table",
        )


def _with_outlines(frames: list[Frame], folder: Path, mask_class: str) -> list[Frame]:
    """Give labelled images their mask, and add the outlined images that are not among them."""
    pictures, masks = by_stem(list_pictures(folder / "images")), find_masks(folder / "masks")
    check_masks(masks, pictures, folder / "images")
    joined = []
    for frame in frames:
        stem = normal_form(frame.image.stem)
        if stem in masks and frame.kind == mask_class:
            joined.append(replace(frame, mask=masks[stem]))
            pictures.pop(stem, None)
        else:
            joined.append(frame)
    others = [
        Frame(safe_key(stem), path, masks.get(stem), mask_class, (mask_class,)) for stem, path in pictures.items()
    ]
    return joined + others


def kvasir_seg_folder(root: Path) -> Path | None:
    """Return the folder of `images` and `masks`: the archive's folder in the root, or the root; None for neither."""
    places = (*(root / name for name in KVASIR_SEG), root)
    return next((place for place in places if (place / "images").is_dir() and (place / "masks").is_dir()), None)


def kvasir_seg_frames(root: Path, polyps: str) -> list[Frame]:
    """Find all frames below the root; each shows a polyp and has a mask.

    Raises:
        DataError: If folders or masks are missing.
    """
    folder = kvasir_seg_folder(root)
    if folder is None:
        fix = "unpack kvasir-seg.zip (https://datasets.simula.no/kvasir-seg/) there, or correct data.root"
        raise DataError("Kvasir-SEG not found: there are no folders images and masks", where=str(root), fix=fix)
    pictures = by_stem(list_pictures(folder / "images"))
    masks = find_masks(folder / "masks")
    check_masks(masks, pictures, folder / "images")
    bare = sorted(set(pictures) - set(masks))
    if bare:
        what = f"{len(bare)} {'frame has' if len(bare) == 1 else 'frames have'} no mask, {pictures[bare[0]].name} first"
        fix = "the copy is incomplete; unpack it again, or use `layout: frames`"
        raise DataError(what, where=str(folder / "masks"), fix=fix)
    return [Frame(safe_key(stem), path, masks[stem], polyps, (polyps,)) for stem, path in pictures.items()]
