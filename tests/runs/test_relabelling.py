"""Which classes the masks of self-training may hold, by split."""

from types import SimpleNamespace

from rich.console import Console
from tiny_recipe import REPOSITORY

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.labels.image_labels import ImageLabels
from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs.stages import StageWork

CLASSES = ClassTable(("none", "cat", "dog"), ((0, 0, 0),) * 3, background=0)
KEYS = {"train": ("a", "b"), "val": ("c",)}


def allowed(folder, consensus, **section):
    recipe = load_recipe(REPOSITORY / "recipes" / "neopolyp_frozen.yaml")
    masks = recipe.pseudo_masks.model_copy(update=section)
    recipe = recipe.model_copy(update={"pseudo_masks": masks} | ({} if consensus else {"consensus": None}))
    for split, keys in KEYS.items():
        (folder / f"{split}.scores.csv").write_text("image,cat,dog\n" + "".join(f"{key},0.1,0.2\n" for key in keys))
    adapter = SimpleNamespace(classes=CLASSES, splits=lambda: KEYS, notices=())
    work = StageWork(recipe, adapter, SimpleNamespace(stage=lambda name: folder), "cpu", Console(quiet=True))
    present = {"a": (True, False), "b": (False, False), "c": (True, False)}
    labels = ImageLabels(("cat", "dog"), KEYS, present, {"negatives": True})
    found = work._relabelling(labels, KEYS).allowed
    return {key: values.tolist() for key, values in found.items()}


def test_training_images_may_show_the_classes_of_their_labels_and_others_those_predicted(tmp_path):
    none, cat, dog = [True, False, False], [True, True, False], [True, False, True]
    assert allowed(tmp_path, True, classes="training_labels") == {"a": cat, "b": none, "c": dog}
    assert allowed(tmp_path, True, classes="predicted") == {"a": dog, "b": dog, "c": dog}
    assert allowed(tmp_path, False, classes="predicted") == {"a": none, "b": none, "c": none}
