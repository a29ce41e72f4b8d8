import pytest

from wsss_toolkit.report.supervision import label_source, network_title, sentences

RECIPE = {
    "train": {"checkpoint": "best"},
    "pseudo_masks": {"classes": "predicted"},
    "segmentation": {"architecture": "deeplabv3plus", "self_training": {"rounds": 0}},
}
COVERAGE = {"label_source": "mask_coverage", "min_coverage": 0.1, "pseudo_mask_classes": "predicted"}
TAGS = {"label_source": "tag_file", "min_coverage": None, "pseudo_mask_classes": "predicted"}


@pytest.mark.parametrize(
    ("supervision", "scored", "last"),
    [
        (COVERAGE, True, "Ground-truth masks were read to derive image-level labels and to compute the figures"),
        (COVERAGE, False, "Ground-truth masks were read to derive image-level labels, for nothing else."),
        (TAGS, True, "Ground-truth masks were read to compute the figures of this page, for nothing else."),
        (TAGS, False, "No ground-truth mask was read."),
    ],
)
def test_it_says_what_masks_were_read_for(supervision, scored, last):
    assert sentences(RECIPE, supervision, scored)[-1].startswith(last)


def test_every_source_of_labels_has_words():
    assert label_source(COVERAGE) == "labels from mask coverage of at least 0.1"
    assert label_source(TAGS) == "labels from a tag file"
    assert label_source({"label_source": "dataset"}) == "the data set's own labels"
    assert label_source({"label_source": "oracle"}) == "labels from oracle"
    sources = ("tag_file", "dataset", "oracle")
    firsts = {sentences(RECIPE, {**TAGS, "label_source": source}, True)[0] for source in sources}
    assert len(firsts) == 3 and "Image-level labels came from oracle." in firsts


def test_the_recipe_decides_what_is_said_of_each_part():
    told = " ".join(sentences(RECIPE, TAGS, True))
    assert "highest mAP" in told and "classes that the classifier predicts" in told and "The DeepLabV3+ learned" in told
    assert "own masks" not in told
    other = {
        "train": {"checkpoint": "last"},
        "pseudo_masks": {"classes": "labels"},
        "segmentation": {"architecture": "unet", "self_training": {"rounds": 2}},
    }
    told = " ".join(sentences(other, TAGS, True))
    assert "Its last epoch was used." in told and "classes of the image-level labels" in told
    assert "It was then trained 2 more times, on its own masks of those images." in told
    some = {**RECIPE, "pseudo_masks": {"classes": "training_labels"}}
    told = " ".join(sentences(some, TAGS, True))
    assert "figures of pseudo-masks of the split train are of known labels" in told
    assert "UNet" not in " ".join(sentences({**other, "segmentation": None}, TAGS, True))
    assert network_title({"segmentation": {"architecture": "maskformer"}}) == "maskformer"
