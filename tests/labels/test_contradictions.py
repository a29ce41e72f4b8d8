"""Labels and masks of the same images: contradictions are counted, and warned of where they are most of a class."""

import numpy as np

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.labels.contradictions import Contradictions

CLASSES = ClassTable(("background", "cat", "dog"), ((0, 0, 0), (255, 0, 0), (0, 0, 255)), 0)


def mask(*values):
    return np.array([values], np.uint8)


def looked(*images):
    found = Contradictions(CLASSES)
    for number, (present, truth) in enumerate(images):
        found.look(str(number), present, truth)
    return found


def test_what_agrees_is_silent():
    found = looked(((True, False), mask(0, 1)), ((False, True), mask(2, 255)), ((False, False), mask(0, 0)))
    assert found.counts() == {} and found.sentences() == []


def test_masks_whose_values_are_shifted_by_one():
    found = looked(*[((True, False), mask(1, 2)), ((False, True), mask(1, 3)), ((False, False), mask(1, 1))] * 2)
    assert found.counts() == {
        "cat": {"tagged": 2, "lacking": 0, "untagged": 4, "shown": 4},
        "dog": {"tagged": 2, "lacking": 2, "untagged": 4, "shown": 2},
    }
    first, second = found.sentences()
    assert first.startswith("masks contradict the labels of class 'cat': 4 of 4 masks of images that do not")
    assert "'dog': 2 of 2 masks of images that show it lack it, 2 of 4 masks of" in second


def test_objects_that_are_not_labelled():
    [sentence] = looked(*[((True, False), mask(0, 255))] * 3).sentences()
    assert "class 'cat': 3 of 3 masks of images that show it lack it; its figures mean nothing" in sentence


def test_few_contradictions_are_counted():
    found = looked(((True, False), mask(0, 0)), *[((True, False), mask(0, 1))] * 3)
    assert found.counts()["cat"]["lacking"] == 1
    assert found.sentences() == [
        "masks and labels differ in some images: class 'cat': 1 of 4 masks of images that show it lack it"
    ]
    found = looked(((True, False), mask(0, 0)), *[((True, False), mask(0, 1))] * 30)
    assert found.counts()["cat"]["lacking"] == 1 and found.sentences() == []


def test_what_says_nothing_is_left_out():
    found = looked((None, mask(0, 1)), ((True, False), mask(255, 255)))
    found.look("0", (True, False), mask(0, 1))
    found.look("0", (True, False), mask(0, 0))  # an image counts once
    assert found.counts() == {}


def test_masks_that_lack_all_or_the_background():
    found = looked(*[((True, False), mask(1, 1)), (None, mask(1, 2))] * 2)
    [sentence] = found.sentences()
    assert sentence.startswith("none of 4 masks holds the background, 'background': what lies beside objects is not")
    assert looked(((True, False), mask(1, 1))).sentences() == []  # a close-up
    assert "none of 2 masks holds a labelled pixel" in looked(*[(None, mask(255, 255))] * 2).sentences()[0]
    plain = Contradictions(ClassTable(("a", "b"), ((0, 0, 0), (255, 0, 0)), None))
    for number in range(5):
        plain.look(str(number), None, mask(1, 1))
    assert plain.sentences() == []


def test_many_contradicted_classes_are_one_warning():
    classes = ClassTable(("background", *"abcdef"), tuple((i, 0, 0) for i in range(7)), 0)
    found = Contradictions(classes)
    for number in range(6):
        present = tuple(place == number for place in range(6))
        found.look(str(number), present, mask(0, (number + 1) % 6 + 1))
    [sentence] = found.sentences()
    assert sentence.startswith("masks contradict the labels of 6 classes, whose figures mean nothing until ")
    assert ": class 'a': 1 of 1 masks of images that show it lack it, " in sentence and "'d'" not in sentence
