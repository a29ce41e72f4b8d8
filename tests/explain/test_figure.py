from dataclasses import replace

import numpy as np
import pytest
import torch

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.explain.assignment import score_assignment
from wsss_toolkit.explain.assignment_figure import draw_assignments
from wsss_toolkit.explain.figure import DRAWN, draw_explanation, draw_heads, drawn_places
from wsss_toolkit.explain.trace import NOBODY, Explanation, Heads
from wsss_toolkit.recipe.schema import PseudoMasks, Residual, Threshold

CLASSES = ClassTable(tuple(f"class {i}" for i in range(20)), tuple((10 * i, 0, 0) for i in range(20)))
PICTURE = np.zeros((6, 9, 3), np.uint8)


def explained(count, classes=CLASSES):
    random = np.random.default_rng(0)
    heads = Heads(
        layers=np.array([3, 4]),
        attention=random.random((2, 3, count, 2, 3), np.float32),
        gates=np.array([[1, 0.5, 0], [1, np.nan, 1]], np.float32),
        numbers=np.array([[0, 1, 2], [0, NOBODY, 2]]),
        numbered=True,
    )
    heads.attention[1, 1] = np.nan
    logits = np.linspace(-1, 1, len(classes.names)).astype(np.float32)
    return Explanation(
        heads=heads,
        making=(4,),
        tokens=np.arange(count),
        logits=logits,
        probabilities=1 / (1 + np.exp(-logits)),
        active=np.arange(len(classes.names)) < count,
        from_labels=True,
        maps=random.random((count, 6, 9), np.float32),
        thresholds=np.full(count, 0.25, np.float32),
        claimed=random.random((count, 6, 9)) > 0.5,
        paint_order=np.arange(count),
        mask=random.integers(0, max(1, count), (6, 9)).astype(np.uint8),
        confidence=np.ones((6, 9), np.float32),
        seen=(6, 9),
        patch_size=3,
    )


PAINT = PseudoMasks(assign="paint", threshold=Threshold(method="quantile", value=0.8))


def draw(found, section=PAINT):
    return draw_explanation(found, PICTURE, CLASSES, section, "run: image", ("Made up.",))


def words(figure):
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [
            axes.get_title(loc="left"),
            *(label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())),
        ]
    return texts


def test_the_figure_says_how_each_class_came_to_the_mask():
    found = words(draw(explained(3)))
    assert "class 1\np 0.29, logit -0.9\nthreshold 0.25\npainted no. 2" in found
    assert "paint, maps from attention, classes from image-level labels, threshold quantile 0.8" in found
    assert "Ground truth is not read: this explains a mask, it does not evaluate it. Made up." in found
    assert "layer 3" in found and "layer 4 *" in found
    assert "claimed:\nabove its\nthreshold" in found


def test_where_no_threshold_is_read_none_is_shown():
    found = words(draw(explained(2), PseudoMasks(assign="argmax")))
    assert "class 1\np 0.29, logit -0.9\nrank 2 by logit" in found
    assert not any("threshold" in text for text in found)


def test_a_residual_background_is_named_with_where_classes_begin_to_win():
    section = PseudoMasks(background="residual", residual=Residual(value=2.0))
    found = words(draw(explained(2), section))
    assert "class 1\np 0.29, logit -0.9\nthreshold 0.25\nrank 2 by logit" in found
    assert (
        "argmax of maps scaled to 0..1 and what they leave over, maps from attention, classes from image-level labels, "
        "background residual by power 2"
    ) in found


def test_a_class_that_is_not_active_is_named_so():
    found = explained(2)
    assert any(text.endswith("not active") for text in words(draw(replace(found, paint_order=np.array([0, NOBODY])))))


def test_of_many_classes_the_most_probable_are_drawn_in_their_order():
    found = explained(15)
    assert drawn_places(found).tolist() == list(range(3, 15)) and len(drawn_places(found)) == DRAWN
    said = words(draw(found))
    assert any("3 more classes are in the arrays only" in text for text in said)
    assert not any(text.startswith("class 2\n") for text in said)


def test_without_an_active_class_there_is_a_figure_and_no_heads():
    found = explained(0)
    assert "No class is active: there is no map to show." in words(draw(found))
    assert draw_heads(found, CLASSES, "") is None


def test_heads_of_the_layers_that_make_the_maps_are_drawn():
    said = words(draw_heads(explained(2), CLASSES, "title"))
    assert "Layer 4" in said and "Layer 3" not in said
    assert [text for text in said if text.startswith("head")] == [
        "head 0\ngate 1.00",
        "head 1\npruned",
        "head 2\ngate 1.00",
    ]
    found = replace(explained(2), making=(3, 4))
    assert "head 2\nclosed" in words(draw_heads(found, CLASSES, "title"))
    unknown = replace(found, heads=replace(found.heads, numbered=False))
    assert any("does not say which heads were pruned" in text for text in words(draw_heads(unknown, CLASSES, "")))


@pytest.mark.parametrize("count", [3, 20])
def test_the_heat_map_shows_lift_and_scores_beside_chance(count):
    classes = ClassTable(CLASSES.names[:count], CLASSES.colors[:count])
    truth = (np.arange(40 * count).reshape(count, 40) // 40).astype(np.uint8)
    maps = torch.nn.functional.one_hot(torch.from_numpy(truth).long(), count).permute(2, 0, 1).float()
    figure = draw_assignments({"final": score_assignment([(maps, truth)], classes)}, classes, "t", ("Made up.",))
    axes = figure.axes[0]
    assert f"right token, of all: 1.00 (chance {1 / count:.2f})" in axes.get_title(loc="left")
    assert np.ma.getdata(axes.images[0].get_array()).shape == (count, count)
    assert [text.get_text() for text in axes.texts] == (
        ["3.00", "0.00", "0.00", "0.00", "3.00", "0.00", "0.00", "0.00", "3.00"] if count == 3 else []
    )
