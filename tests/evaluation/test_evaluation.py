import json
import resource

import numpy as np
import pytest
import torch

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.errors import DataError
from wsss_toolkit.evaluation.scores import classifier_scores, confusion_matrix, evaluate

GREY = (0, 0, 0)
PLAIN = ClassTable(("forest", "crops", "water"), (GREY,) * 3)
POLYPS = ClassTable(("none", "polyp"), (GREY,) * 2, background=0)


def mask(*rows: list[int]) -> np.ndarray:
    return np.array(rows, dtype=np.uint8)


def test_scores_by_hand():
    prediction = mask([0, 0, 1, 1], [0, 1, 1, 1])
    truth = mask([0, 0, 0, 1], [255, 1, 1, 0])
    scores = evaluate([(prediction, truth)], PLAIN)
    # forest: 2 hits, 2 misses, 0 false; crops: 3 hits, 0 misses, 2 false; water occurs nowhere.
    assert scores.iou == {"forest": 2 / 4, "crops": 3 / 5, "water": None}
    assert scores.miou == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert scores.pixel_accuracy == pytest.approx(5 / 7)
    assert (scores.images, scores.classes, scores.without_background) == (1, 2, None)


def test_one_matrix_is_summed_over_the_split():
    pairs = [(mask([0, 1]), mask([0, 0])), (mask([1, 1, 1]), mask([1, 1, 1]))]
    scores = evaluate(pairs, PLAIN)
    # The mean over images would be (1/4 + 1) / 2.
    assert scores.miou == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert scores.images == 2


def test_withheld_predictions_are_misses_and_no_false_alarms():
    truth = mask([0, 0, 1, 1])
    scores = evaluate([(mask([0, 255, 1, 1]), truth)], PLAIN)
    assert scores.iou == {"forest": 1 / 2, "crops": 1.0, "water": None}
    assert scores.pixel_accuracy == 3 / 4
    silent = evaluate([(np.full_like(truth, 255), truth)], PLAIN)
    assert (silent.miou, silent.pixel_accuracy, silent.classes) == (0.0, 0.0, 2)


def test_predictions_where_the_truth_is_void_count_for_nothing():
    truth = mask([0, 255, 255, 255])
    scores = evaluate([(mask([0, 1, 2, 255]), truth)], PLAIN)
    assert scores.iou == {"forest": 1.0, "crops": None, "water": None}


def test_a_class_that_is_only_predicted_scores_zero():
    assert evaluate([(mask([0, 2]), mask([0, 0]))], PLAIN).iou["water"] == 0.0


def test_nothing_labelled_is_no_score():
    for pairs in ([], [(mask([0]), mask([255]))]):
        scores = evaluate(pairs, POLYPS)
        assert scores.miou is None and scores.pixel_accuracy is None
        assert json.loads(json.dumps(scores.to_json()))["iou"] == {"none": None, "polyp": None}


def test_background_is_left_out_beside_the_full_scores():
    scores = evaluate([(mask([0, 0, 0, 1, 1]), mask([0, 0, 1, 1, 0]))], POLYPS)
    assert scores.iou == {"none": 2 / 4, "polyp": 1 / 3}
    assert scores.without_background is not None
    assert scores.without_background.miou == 1 / 3
    assert scores.without_background.pixel_accuracy == 1 / 2
    assert scores.to_json() == {
        "images": 1,
        "classes": 2,
        "miou": pytest.approx((1 / 2 + 1 / 3) / 2),
        "pixel_accuracy": 3 / 5,
        "iou": {"none": 2 / 4, "polyp": 1 / 3},
        "without_background": {"miou": 1 / 3, "pixel_accuracy": 1 / 2},
    }


def test_the_matrix_equals_counting_pixel_by_pixel():
    generator = np.random.default_rng(0)
    values = np.array([0, 1, 2, 255], dtype=np.uint8)
    prediction, truth = generator.choice(values, (2, 20, 30))
    expected = np.zeros((4, 4), dtype=np.int64)
    for p, t in zip(prediction.flat, truth.flat, strict=True):
        if t != 255:
            expected[t, 3 if p == 255 else p] += 1
    np.testing.assert_array_equal(confusion_matrix(prediction, truth, PLAIN), expected)
    batched = evaluate([(torch.from_numpy(prediction).view(2, 10, 30), torch.from_numpy(truth).view(2, 10, 30))], PLAIN)
    assert batched.images == 2
    assert batched.miou == evaluate([(prediction, truth)], PLAIN).miou


def test_255_classes_leave_255_for_ignore():
    table = ClassTable(tuple(map(str, range(255))), (GREY,) * 255)
    scores = evaluate([(mask([254, 255, 0, 3]), mask([254, 254, 255, 3]))], table)
    assert (scores.iou["254"], scores.iou["3"], scores.classes) == (1 / 2, 1.0, 2)


def test_read_only_arrays_are_taken_without_a_warning():
    truth = mask([0, 1])
    truth.flags.writeable = False
    assert evaluate([(truth, truth)], PLAIN).miou == 1.0


def test_pairs_that_do_not_match_are_refused():
    with pytest.raises(DataError, match=r"prediction of \(1, 2\) pixels has a ground truth of \(1, 3\)"):
        evaluate([(mask([0, 1]), mask([0, 1, 1]))], PLAIN)
    with pytest.raises(DataError) as caught:
        evaluate([(mask([0, 1]), mask([0, 17]))], PLAIN)
    assert str(caught.value) == "a ground truth mask holds 17; masks hold 0 to 2 and 255"
    with pytest.raises(DataError, match="a prediction mask holds 3"):
        evaluate([(mask([0, 3]), mask([0, 255]))], PLAIN)


def test_classifier_scores_by_hand():
    probabilities = np.array([[0.9, 0.2, 0.6], [0.8, 0.9, 0.4], [0.7, 0.1, 0.1]])
    labels = np.array([[True, False, False], [False, True, False], [True, False, False]])
    scores = classifier_scores(probabilities, labels)
    # Class 0: precision 1 at the first hit, 2/3 at the second. Class 1: perfect. Class 2 never occurs.
    assert scores["map"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    assert scores["f1"] == pytest.approx((2 * 2 / (2 * 2 + 1) + 1) / 2)


def test_half_is_predicted_and_one_class_is_enough():
    scores = classifier_scores(torch.tensor([[0.5], [0.49]]), torch.tensor([[1], [0]]))
    assert scores == {"map": 1.0, "f1": 1.0}


def test_without_occurring_classes_there_is_no_score():
    nothing = {"map": None, "f1": None}
    assert classifier_scores(np.zeros((2, 3)), np.zeros((2, 3))) == nothing
    assert classifier_scores(np.zeros((0, 3)), np.zeros((0, 3))) == nothing


def test_logits_are_not_taken_for_probabilities():
    with pytest.raises(ValueError, match="apply the sigmoid"):
        classifier_scores(np.array([[2.0, -1.0]]), np.array([[1, 0]]))
    with pytest.raises(ValueError, match="labels"):
        classifier_scores(np.zeros((2, 3)), np.zeros((2, 2)))


def test_many_classes_take_little_memory_where_torch_is_deterministic():
    names = tuple(f"class {index}" for index in range(150))
    classes = ClassTable(names, ((0, 0, 0),) * 150)
    random = np.random.default_rng(0)
    truth, prediction = (random.integers(0, 150, (300, 300)).astype(np.uint8) for _ in range(2))
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        matrix = confusion_matrix(prediction, truth, classes)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    finally:
        torch.use_deterministic_algorithms(before)
    assert matrix[3, 7] == ((truth == 3) & (prediction == 7)).sum()
    assert grown < 500_000  # kB; comparing every pixel with every cell takes 2 GB
