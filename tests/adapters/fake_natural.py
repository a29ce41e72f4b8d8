"""Small trees in the exact layouts of Pascal VOC with SBD, MS COCO and ADE20K, whose truth is known."""

import json

import numpy as np
from PIL import Image
from scipy.io import savemat

from wsss_adapters.natural.coco_classes import COCO

VOC_XML = """<annotation>
  <folder>VOC2012</folder><filename>{key}.jpg</filename>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
  <segmented>1</segmented>
{objects}</annotation>
"""
VOC_OBJECT = """  <object>
    <name>{name}</name><pose>Frontal</pose><truncated>0</truncated><difficult>{difficult}</difficult>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
  </object>
"""

VOC_TRAIN = {"2007_000032": ["aeroplane", "person"], "2007_000039": ["tvmonitor"], "2007_000063": []}
"""VOC's own training images and their objects."""

SBD_EXTRA = {"2008_000002": ["cat"], "2008_000007": ["boat", "person"]}
"""Images that SBD alone outlines."""

VOC_VAL = {"2007_000033": ["aeroplane"], "2007_000042": ["train"]}
VOC_TEST = ("2008_000006", "2008_000011")
VOC_NUMBERS = {"aeroplane": 1, "boat": 4, "cat": 8, "person": 15, "train": 19, "tvmonitor": 20}
"""Mask values of the classes above, by the development kit's documentation."""


def photo(size, seed=0):
    """Return noise uint8 `h w 3` whose colours differ, smooth enough to survive JPEG roughly."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[: size[0], : size[1]]


def save_photo(path, size, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo(size, seed)).save(path, quality=95)
    return path


def save_palette(path, mask):
    """Write an index mask as palette PNG, as VOC does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask)
    image.putpalette([(37 * value + channel) % 256 for value in range(256) for channel in range(3)])
    image.save(path)
    return path


def voc_xml(names, size=(20, 30), key="x", difficult=()):
    objects = "".join(VOC_OBJECT.format(name=name, difficult=int(name in difficult)) for name in names)
    return VOC_XML.format(key=key, height=size[0], width=size[1], objects=objects)


def voc_mask(names, size=(20, 30)):
    """Return a mask of background with one block per object, each inside a void border."""
    mask = np.zeros(size, np.uint8)
    for index, name in enumerate(names):
        mask[2:12, 2 + 13 * index : 14 + 13 * index] = 255
        mask[4:10, 4 + 13 * index : 12 + 13 * index] = VOC_NUMBERS[name]
    return mask


def write_voc(root, *, trainaug="list"):
    """Write `VOCdevkit/VOC2012`, and SBD beside it.

    Args:
        root: Where.
        trainaug: Where the augmented list comes from: ``list``, ``sbd lists``, ``sbd masks``, ``png`` or ``none``.
    """
    voc, sbd = root / "VOCdevkit" / "VOC2012", root / "benchmark_RELEASE" / "dataset"
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(VOC_TRAIN) + "\n")
    (lists / "val.txt").write_text("\n".join(VOC_VAL) + "\n")
    (lists / "test.txt").write_text("\n".join(VOC_TEST) + "\n")
    shown = VOC_TRAIN | SBD_EXTRA | VOC_VAL
    for seed, (key, names) in enumerate(shown.items()):
        save_photo(voc / "JPEGImages" / f"{key}.jpg", (20, 30), seed)
        (voc / "Annotations").mkdir(exist_ok=True)
        (voc / "Annotations" / f"{key}.xml").write_text(voc_xml(names, key=key))
        if key not in SBD_EXTRA:
            save_palette(voc / "SegmentationClass" / f"{key}.png", voc_mask(names))
    for key in VOC_TEST:
        save_photo(voc / "JPEGImages" / f"{key}.jpg", (20, 30), 9)
    augmented = sorted(VOC_TRAIN | SBD_EXTRA)
    if trainaug == "list":
        (lists / "trainaug.txt").write_text("\n".join(augmented) + "\n")
    if trainaug in ("list", "png"):
        for key, names in shown.items():
            path = voc / "SegmentationClassAug" / f"{key}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(voc_mask(names)).save(path)
    if trainaug in ("sbd lists", "sbd masks"):
        (sbd / "cls").mkdir(parents=True)
        outlined = ["2007_000032", "2007_000033", *SBD_EXTRA]  # SBD outlines some of VOC's own images too
        for key in outlined:
            write_sbd(sbd / "cls" / f"{key}.mat", np.where((mask := voc_mask(shown[key])) == 255, 0, mask))
        if trainaug == "sbd lists":
            (sbd / "train.txt").write_text("\n".join(outlined[:2]) + "\n")
            (sbd / "val.txt").write_text("\n".join(outlined[2:]) + "\n")
    return root


def write_sbd(path, mask):
    savemat(path, {"GTcls": {"Boundaries": np.zeros((20, 1)), "Segmentation": mask, "CategoriesPresent": [[8]]}})
    return path


COCO_SIZE = (24, 32)


def box(left, top, right, bottom):
    """Return the polygon of a box, whose pixels are ``[top:bottom, left:right]``."""
    return [left, top, right, top, right, bottom, left, bottom]


def coco_annotation(number, image, category, *polygons, crowd=None):
    """Return an annotation; `crowd` is a mask `h w` that becomes run lengths."""
    entry = {"id": number, "image_id": image, "category_id": category, "iscrowd": int(crowd is not None)}
    entry["segmentation"] = [*polygons] if crowd is None else run_lengths(crowd)
    return {**entry, "area": 1.0, "bbox": [0, 0, 1, 1]}


def run_lengths(mask):
    """Return uncompressed run lengths, column by column, beginning with zeros."""
    flat = mask.T.ravel().astype(int)
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def write_coco(root, sets=("train2014", "val2014")):
    """Write image sets of four images: overlapping objects, a crowd, an object of two parts, no object at all.

    Returns:
        The root. Truth is in `coco_truth`.
    """
    for order, name in enumerate(sets):
        first = 100 * (order + 1)
        crowd = np.zeros(COCO_SIZE, bool)
        crowd[0:10, 0:12] = True
        annotations = [
            coco_annotation(first + 1, first, 90, box(4, 4, 12, 12)),  # a small toothbrush before a large person
            coco_annotation(first + 2, first, 1, box(2, 2, 30, 20)),
            coco_annotation(first + 3, first + 1, 1, crowd=crowd),
            coco_annotation(first + 4, first + 1, 18, box(6, 6, 20, 20)),
            coco_annotation(first + 5, first + 2, 13, box(0, 0, 5, 5), box(20, 10, 32, 24)),
        ]
        images = [
            {"id": first + i, "file_name": f"COCO_{name}_{first + i:012d}.jpg", "height": 24, "width": 32}
            for i in range(4)
        ]
        for image in images:
            save_photo(root / name / image["file_name"], COCO_SIZE, image["id"])
        write_coco_json(root / "annotations" / f"instances_{name}.json", images, annotations)
    return root


def write_coco_json(path, images, annotations, categories=COCO):
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{"id": number, "name": name, "supercategory": "any"} for number, name in categories.items()]
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": listed}
    path.write_text(json.dumps(content))
    return path


def coco_truth(index):
    """Return the mask of the image `index` (0..3) of a set: person 1, stop sign 12, dog 17, toothbrush 80."""
    mask = np.zeros(COCO_SIZE, np.uint8)
    if index == 0:
        mask[2:20, 2:30] = 1
        mask[4:12, 4:12] = 80
    elif index == 1:
        mask[0:10, 0:12] = 255
        mask[6:20, 6:20] = 17
    elif index == 2:
        mask[0:5, 0:5] = 12
        mask[10:24, 20:32] = 12
    return mask


ADE = {"training": {"ADE_train_00000001": (0, 1, 150), "ADE_train_00000002": (2, 3), "ADE_train_00000003": (0,)},
       "validation": {"ADE_val_00000001": (1, 2, 13), "ADE_val_00000002": (150,)}}  # fmt: skip
"""The mask values of each image, in stripes of equal width."""


def ade_mask(codes, size=(18, 24)):
    mask = np.zeros(size, np.uint8)
    for index, code in enumerate(codes):
        mask[:, index * size[1] // len(codes) : (index + 1) * size[1] // len(codes)] = code
    return mask


def write_ade(root):
    """Write `ADEChallengeData2016`."""
    for folder, images in ADE.items():
        for seed, (key, codes) in enumerate(images.items()):
            save_photo(root / "ADEChallengeData2016" / "images" / folder / f"{key}.jpg", (18, 24), seed)
            path = root / "ADEChallengeData2016" / "annotations" / folder / f"{key}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ade_mask(codes)).save(path)
    return root


def read_png(path):
    with Image.open(path) as picture:
        return np.array(picture)


def exif_photo(path, size, orientation, seed=0):
    """Write a JPEG of `size` as stored, with an EXIF orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(photo(size, seed))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, quality=95, exif=exif)
    return path
