"""What `wsss init` says of a folder."""

import re
from collections import Counter

from wsss_adapters.folder.class_name_checks import NEGATIVE
from wsss_adapters.folder.look_layout import Layout
from wsss_adapters.folder.picture_index import PictureIndex


def describe(index: PictureIndex, sizes: list[tuple[int, int]]) -> str:
    """Return number, size and bands of the pictures in one sentence."""
    small, large = min(sizes), max(sizes)
    shown = f"{small[0]} x {small[1]}" if small == large else f"{small[0]} x {small[1]} to {large[0]} x {large[1]}"
    suffixes = Counter(picture.path.suffix.lower().lstrip(".") for picture in index.pictures.values())
    kinds = ", ".join(f"{number} {suffix}" for suffix, number in suffixes.most_common())
    header = next(iter(index.headers.values()))
    return f"{len(sizes)} pictures ({kinds}) of {shown} pixels, {header.bands}"


def sources(layout: Layout, masks: bool) -> list[str]:
    """Return what labels and masks are."""
    if layout.tags is not None:
        labels = f"image-level labels in {layout.tags}"
    else:
        labels = "image-level labels: the folder names" if layout.classes else "no tags, no class folders: masks alone"
    return [labels, f"masks in {layout.root / (layout.masks or '.')}" if masks else "no masks: nothing is scored"]


def class_counts(index: PictureIndex) -> list[str]:
    """Return how many pictures show each class, and which classes show up so seldom that they may be misspelt."""
    if not index.labels:
        return []
    counts = Counter(name for shown in index.labels.values() for name in shown)
    listed = ", ".join(f"{name} {counts[name]}" for name in index.classes.label_names[:20])
    empty = sum(not shown for shown in index.labels.values())
    found = [
        f"pictures by class: {listed}" + (", ..." if len(counts) > 20 else "") + (f"; none {empty}" if empty else "")
    ]
    meant = [name for name in index.classes.label_names if name.casefold() in NEGATIVE]
    if meant and index.options.tags is not None:
        found.append(f"tags name a class {', '.join(meant)}: if that means none of the classes, leave the cell empty")
    rare = [name for name in index.classes.label_names if counts[name] < 3]
    if rare:
        found.append(f"classes with one or two pictures cannot be learned, or are misspelt: {', '.join(rare)}")
    return found


def split_comment(index: PictureIndex, layout: Layout) -> str:
    """Return a remark on the splits, a warning where names look like numbered frames."""
    if layout.splits:
        return "the folders"
    stems = [re.fullmatch(r"(.*?)[-_ ]?\d{3,}", picture.path.stem) for picture in index.pictures.values()]
    series = {match[1] for match in stems if match}
    if all(stems) and len(series) * 3 <= len(stems):
        return "neighbouring frames of one film? similarity: 0.98 keeps those that look alike in one split"
    return "drawn by seed; also counts, file and lists, and group_pattern to keep what belongs together in one split"
