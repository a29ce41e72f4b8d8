"""What a run learned from, in sentences that stand beside its figures."""

from typing import Any

NETWORKS = {"unet": "UNet", "unetplusplus": "UNet++", "fpn": "FPN", "deeplabv3plus": "DeepLabV3+"}
"""How people write the architectures."""
CLASSES_USED = {
    "predicted": "predicted classes",
    "labels": "classes of the image-level labels",
    "training_labels": "classes of the image-level labels in training, predicted classes elsewhere",
}
"""What the values of `pseudo_masks.classes` mean, for captions."""


def network_title(recipe: dict[str, Any]) -> str:
    """Return the name of a recipe's segmentation network, for headings."""
    architecture = str((recipe.get("segmentation") or {}).get("architecture", "network"))
    return NETWORKS.get(architecture, architecture)


def label_source(supervision: dict[str, Any]) -> str:
    """Return where image-level labels came from, by that part of report.json, in words for a caption."""
    source = str(supervision["label_source"])
    if supervision.get("min_coverage") is not None:
        return f"labels from mask coverage of at least {supervision['min_coverage']:g}"
    known = {"tag_file": "labels from a tag file", "dataset": "the data set's own labels"}
    return known.get(source, f"labels from {source}")


def sentences(recipe: dict[str, Any], supervision: dict[str, Any], scored: bool) -> list[str]:
    """Return how supervision was used, one sentence for each part of the method.

    `recipe` and `supervision` are plain values, as in report.json; `scored` says whether any mask was compared with
    ground truth.
    """
    told = [_labels(supervision), _classifier(recipe), _pseudo_masks(recipe)]
    if recipe.get("segmentation"):
        told.append(
            f"The {network_title(recipe)} learned from pseudo-masks. Its best epoch is the one with the lowest loss "
            "against the pseudo-masks of the validation split, where there is one."
        )
        rounds = (recipe["segmentation"].get("self_training") or {}).get("rounds", 0)
        if rounds:
            times = f"{rounds} more time{'s' * (rounds > 1)}"
            told.append(f"It was then trained {times}, on its own masks of those images.")
    from_masks = supervision["label_source"] == "mask_coverage"
    uses = [*(["to derive image-level labels"] * from_masks), *(["to compute the figures of this page"] * scored)]
    read = f"Ground-truth masks were read {' and '.join(uses)}, for nothing else."
    return [*told, read if uses else "No ground-truth mask was read."]


def _labels(supervision: dict[str, Any]) -> str:
    source = supervision["label_source"]
    if source == "mask_coverage":
        return (
            "Image-level labels were derived from ground-truth masks: a class counts as present where it covers at "
            f"least {supervision['min_coverage']:.3g} of an image's labelled pixels. They imitate an annotator who "
            "names what is in an image, and are more exact than people's tags."
        )
    if source == "tag_file":
        return "Image-level labels came from a tag file."
    if source == "dataset":
        return "Image-level labels are the data set's own, such as its class folders or annotations."
    return f"Image-level labels came from {source}."


def _classifier(recipe: dict[str, Any]) -> str:
    if recipe.get("consensus") and not recipe.get("train"):
        return "The backbone was not trained; heads on its tokens learned from image-level labels alone."
    told = "The classifier learned from image-level labels alone. "
    if (recipe.get("train") or {}).get("checkpoint") != "best":
        return told + "Its last epoch was used."
    labels = "the validation split's image-level labels"
    return told + f"Its best epoch is the one with the highest mAP against {labels}, where there is one."


def _pseudo_masks(recipe: dict[str, Any]) -> str:
    classes = (recipe.get("pseudo_masks") or {}).get("classes")
    if classes == "labels":
        return "Pseudo-masks may hold the classes of the image-level labels."
    predicted = "the classes that the classifier predicts"
    if classes == "training_labels":
        told = f"Pseudo-masks of the split train may hold the classes of its image-level labels, all others {predicted}"
        return told + ": figures of pseudo-masks of the split train are of known labels."
    return f"Pseudo-masks may hold {predicted}; the labels of the image at hand are not used."
