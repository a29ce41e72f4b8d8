"""Generated folders of pictures in the shapes that people have them in."""

import numpy as np
from PIL import Image

from wsss_adapters.folder.folder import Folder
from wsss_adapters.folder.options import FolderOptions

COLORS = {"cat": (220, 60, 40), "dog": (40, 80, 220), "tree": (40, 180, 60)}


def pixels(seed, classes=("cat",), height=48, width=64):
    """Return a grey, noisy picture with a disc for each class, and its mask: 0, then 1, 2, ... by the class."""
    random = np.random.default_rng(seed)
    picture = random.integers(90, 150, (height, width, 1)).repeat(3, axis=2).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    rows, columns = np.indices((height, width))
    for name in classes:
        row, column = random.integers(height // 4, 3 * height // 4), random.integers(width // 4, 3 * width // 4)
        disc = (rows - row) ** 2 + (columns - column) ** 2 < (min(height, width) // 4) ** 2
        picture[disc] = COLORS[name]
        mask[disc] = 1 + list(COLORS).index(name)
    return picture, mask


def save(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def class_folders(root, classes=("cat", "dog"), each=8, suffix="jpg"):
    """Write ``CLASS/number.jpg``: names repeat from folder to folder."""
    for place, name in enumerate(classes):
        for number in range(each):
            save(root / name / f"{number}.{suffix}", pixels(100 * place + number, (name,))[0])
    return root


def tagged(root, rows=None, header="image,classes", number=12):
    """Write ``photo_N.png`` and tags.csv; the classes go round."""
    choices = [("cat",), ("dog",), ("cat", "dog"), ()]
    shown = [choices[i % len(choices)] for i in range(number)]
    for i, classes in enumerate(shown):
        save(root / f"photo_{i}.png", pixels(i, classes)[0])
    separator = next(mark for mark in ",;\t" if mark in header)
    joined = "|" if separator == ";" else ";"
    given = [f"photo_{i}.png{separator}{joined.join(classes)}" for i, classes in enumerate(shown)]
    (root / "tags.csv").write_text("\n".join([header, *(rows if rows is not None else given)]) + "\n")
    return root


def masked(root, number=10, **options):
    """Write images/N.png and masks/N.png with the values 0 to 3."""
    choices = [("cat",), ("dog", "tree"), ("cat", "dog"), ("tree",), ("cat", "dog", "tree")]
    for i in range(number):
        picture, mask = pixels(i, choices[i % len(choices)], **options)
        save(root / "images" / f"{i}.png", picture)
        save(root / "masks" / f"{i}.png", mask)
    return root


def deep(root, bands=2, names=None, number=8, dtype="uint16"):
    """Write CLASS/N.tif of several 16-bit bands; classes differ in their bands' level."""
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    for i in range(number):
        random = np.random.default_rng(i)
        folder = root / ("bright" if i % 2 else "dark")
        folder.mkdir(parents=True, exist_ok=True)
        values = random.integers(0, 4000, (bands, 40, 56)) + (20000 if i % 2 else 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            profile = {"driver": "GTiff", "count": bands, "height": 40, "width": 56, "dtype": dtype}
            with rasterio.open(folder / f"s{i}.tif", "w", **profile) as file:
                file.write(values.astype(dtype))
                for band, name in enumerate(names or (), start=1):
                    file.set_band_description(band, name)
    return root


def folder(root, **options):
    """Return the adapter with options."""
    return Folder(FolderOptions.model_validate({"adapter": "folder", "root": root, **options}))


def read_png(path):
    with Image.open(path) as picture:
        return np.array(picture)
