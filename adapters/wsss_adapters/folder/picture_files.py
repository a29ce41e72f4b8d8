"""The pictures that a recipe chooses below its root, and where their masks lie."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wsss_adapters.pictures.names import LOOKED_FOR, SUFFIXES, bare, find_pictures, name_below
from wsss_toolkit.errors import DataError


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture."""

    key: str
    """Its name, safe as a file name."""
    path: Path
    name: str
    """What messages call it: its path below the folder of pictures with `/`, in Unicode's normal form C, after its
    split where folders say that."""
    split: str
    """The split whose folder it lies in, or "" where folders don't say."""
    folder: str | None
    """The first folder below the folder of pictures: its class, where folders are classes; None for none."""
    mask: Path | None


def matching_pictures(root: Path, pattern: str, *, without: Path | None = None) -> tuple[Path, list[Path]]:
    """Find pictures by a pattern below the root, a folder or a glob, without those in a folder that is left out.

    They come sorted, after the folder that names are relative to.

    Raises:
        DataError: If there is no such folder, or no picture.
    """
    literal = [part for part in pattern.split("/") if part]
    wild = next((i for i, part in enumerate(literal) if any(mark in part for mark in "*?[")), None)
    if root.joinpath(*literal).is_dir():  # a folder of that very name, such as `photos [old]`
        wild = None
    base = root.joinpath(*literal[:wild])
    if not base.is_dir():
        raise DataError("no such folder", where=str(base), fix="correct data.root (--set data.root=DIR) or data.images")
    if wild is None:
        paths = find_pictures(base, without=without)
    else:
        paths = sorted(
            path
            for path in base.glob("/".join(literal[wild:]))
            if path.suffix.lower() in SUFFIXES
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(base).parts)
            and (without is None or without not in path.parents)
        )
    if not paths:
        raise DataError("holds no picture", where=str(root / pattern), fix=LOOKED_FOR)
    return base, paths


def with_masks(
    pictures: Mapping[str, Path], masks: Path, suffix: str, *, where: str
) -> Iterator[tuple[str, Path | None]]:
    """Find the mask of each picture: in the same place below the folder of masks, or alone there under its name.

    Raises:
        DataError: If there is no such folder, no mask in it belongs to a picture, or one could belong to two.
    """
    if not masks.is_dir():
        raise DataError("no such folder", where=str(masks), fix="correct data.masks")
    known = set(pictures.values())
    placed: dict[str, list[Path]] = {}
    for path in find_pictures(masks):
        name = bare(name_below(path, masks))
        if path not in known and name.endswith(suffix):
            placed.setdefault(name.removesuffix(suffix), []).append(path)
    alone: dict[str, list[Path]] = {}
    for name, paths in placed.items():
        alone.setdefault(name.rpartition("/")[2], []).extend(paths)
    owners: dict[Path, str] = {}
    found = 0
    for name in pictures:
        candidates = placed.get(bare(name)) or alone.get(bare(name).rpartition("/")[2]) or []
        if len(candidates) > 1:
            what = f"{candidates[0].name} and {candidates[1].name} could both be the mask of {name}"
            raise DataError(what, where=str(candidates[0].parent), fix="remove one of them")
        for mask in candidates:
            other = owners.setdefault(mask, name)
            if other != name:
                fix = "rename one of them"
                raise DataError(f"could be the mask of {other} and of {name}", where=str(mask), fix=fix)
        found += len(candidates)
        yield name, candidates[0] if candidates else None
    if not found:
        fix = f"masks are named as the pictures in {where}, but for data.mask_suffix"
        raise DataError("holds no mask that is named as a picture", where=str(masks), fix=fix)
