"""Small generated frames in the layouts of endoscopic data sets."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = [
    {"name": "background", "color": "#000000"},
    {"name": "adenoma", "color": "#d62728", "code": {"value": "68496003", "meaning": "Polyp of colon"}},
    {"name": "hyperplastic", "color": "#2ca02c"},
]


def draw_tissue(seed: int, height: int = 48, width: int = 64):
    """Return reddish tissue with a smooth pattern, uint8 `h w 3`, different for each seed."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(70, 200, (7, 9)).astype(np.float32)
    pattern = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return np.stack([pattern, pattern * 0.6, pattern * 0.45], axis=2).clip(0, 255).astype(np.uint8)


def circle(height: int, width: int, radius: float):
    """Return the pixels of a circle in the middle."""
    rows, columns = np.mgrid[:height, :width]
    return (rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2 <= radius**2


def draw_frame(seed: int, height: int = 48, width: int = 64):
    """Return tissue in a round field of view with a black frame."""
    return np.where(circle(height, width, 0.46 * width)[..., None], draw_tissue(seed, height, width), 0).astype(
        np.uint8
    )


def save(pixels, path: Path, **options) -> Path:
    """Write a picture whose format follows its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def load(path: Path):
    """Read a picture's pixels: the indices of a palette picture."""
    with Image.open(path) as picture:
        return np.array(picture)


def draw_mask(seed: int, height: int = 48, width: int = 64, classes: int = 3):
    """Return an index mask with a rectangle of every class but 0."""
    mask = np.zeros((height, width), np.uint8)
    for index in range(1, classes):
        top, left = 12 + 3 * (seed % 4), 8 + 20 * (index - 1) + seed % 5
        mask[top : top + 10, left : left + 12] = index
    return mask


def write_frames(root: Path, count: int = 12) -> Path:
    """Write a folder of PNG frames of two sizes with index masks."""
    for number in range(count):
        height = 48 if number % 2 else 50
        save(draw_frame(number, height), root / "images" / f"case{number // 2:02d}_{number:02d}.png")
        save(draw_mask(number, height), root / "masks" / f"case{number // 2:02d}_{number:02d}.png")
    return root


def frames_section(root: Path, **changes):
    """Return the `data` section for `write_frames`."""
    return {
        "adapter": "hyperkvasir",
        "root": root,
        "layout": "frames",
        "masks": "masks",
        "classes": CLASSES,
        "splits": {"counts": {"train": 6, "val": 2, "test": 4}},
        **changes,
    }


FOLDERS = {
    "polyps": "lower-gi-tract/pathological-findings/polyps",
    "hemorrhoids": "lower-gi-tract/pathological-findings/hemorrhoids",
    "cecum": "lower-gi-tract/anatomical-landmarks/cecum",
    "bbps-2-3": "lower-gi-tract/quality-of-mucosal-views/bbps-2-3",
    "pylorus": "upper-gi-tract/anatomical-landmarks/pylorus",
}


def write_hyperkvasir(root: Path, each: int = 6, further: tuple[str, ...] = ("cju0qkwl", "cju1b75x")) -> Path:
    """Write HyperKvasir: class folders, `image-labels.csv` and outlined polyps, of which one is a labelled image."""
    rows = ["Video file,Organ,Finding,Classification"]
    for order, (name, folder) in enumerate(FOLDERS.items()):
        for number in range(each):
            stem = f"{order:04d}-{number:04d}"
            path = root / "labeled-images" / folder / f"{stem}.jpg"
            save(draw_frame(100 * order + number), path, quality=95)
            tract, area, _ = folder.split("/")
            rows.append(f"{stem},{'Lower' if 'lower' in tract else 'Upper'} GI,{name.replace('-', ' ', 1)},{area}")
    (root / "labeled-images" / "image-labels.csv").write_text("\n".join(rows) + "\n")
    for number, stem in enumerate(("0000-0000", *further)):
        folder = root / "segmented-images"
        save(draw_frame(number if number == 0 else 900 + number), folder / "images" / f"{stem}.jpg", quality=95)
        outline = 255 * (draw_mask(number, classes=2) > 0).astype(np.uint8)
        save(np.repeat(outline[..., None], 3, axis=2), folder / "masks" / f"{stem}.jpg", quality=90)
    (root / "segmented-images" / "bounding-boxes.json").write_text("{}")
    return root


def write_kvasir_seg(root: Path, count: int = 8) -> Path:
    """Write Kvasir-SEG: pictures and outlines, both JPEG."""
    for number in range(count):
        save(draw_frame(number), root / "images" / f"cju{number:03d}.jpg", quality=95)
        outline = 255 * (draw_mask(number, classes=2) > 0).astype(np.uint8)
        save(np.repeat(outline[..., None], 3, axis=2), root / "masks" / f"cju{number:03d}.jpg", quality=90)
    return root
