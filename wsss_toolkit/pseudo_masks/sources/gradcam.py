"""Class maps by Grad-CAM, for comparisons."""

from typing import TYPE_CHECKING, ClassVar

from wsss_toolkit.pseudo_masks.sources.source import MapSource

if TYPE_CHECKING:
    from torch import Tensor

    from wsss_toolkit.heads.classifier import Classifier


class GradCam(MapSource):
    """Grad-CAM of the patch tokens that enter the last block, with MONAI's implementation."""

    per_class: ClassVar[bool] = True

    def maps_of(
        self, model: "Classifier", images: "Tensor", present: "Tensor | None", valid: "Tensor | None", tokens: list[int]
    ) -> "Tensor":
        """Return the maps of some classes: a backward pass for each."""
        from wsss_toolkit.pseudo_masks.gradcam import grad_cam

        return grad_cam(model, images, present=present, valid=valid, classes=tokens)
