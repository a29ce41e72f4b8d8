from types import SimpleNamespace

import pytest
from rich.console import Console

from wsss_toolkit.runs.stages import StageWork


@pytest.mark.parametrize(("split", "expected"), [("train", "of train"), ("val", "of val"), ("field", "without labels")])
def test_maps_to_look_at_are_of_the_classes_that_the_splits_masks_have(split, expected, monkeypatch):
    """With `classes: training_labels`, images of `val` show predicted classes, although their labels are known."""
    labels = SimpleNamespace(splits={"train": (), "val": ()}, matrix=lambda keys: "known")
    mapper = SimpleNamespace(of_split=lambda name: f"of {name}", without_labels=lambda: "without labels")
    monkeypatch.setattr(StageWork, "image_labels", lambda self: labels)
    monkeypatch.setattr(StageWork, "mapper", lambda self: mapper)
    monkeypatch.setattr(StageWork, "preprocessing", lambda self: None)
    monkeypatch.setattr("wsss_toolkit.images.dataset.ImageDataset", lambda *arguments, **options: None)
    shown = "wsss_toolkit.pseudo_masks.shown_maps.active_class_maps"
    monkeypatch.setattr(shown, lambda chosen, *arguments, **options: iter([chosen]))
    work = StageWork(SimpleNamespace(), SimpleNamespace(), SimpleNamespace(), "cpu", Console(quiet=True))
    assert list(work._class_maps(["a"], split)) == [expected]
