"""Grad-CAM of the classifier's last block: the baseline that class tokens are compared with."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from wsss_toolkit.errors import WsssError
from wsss_toolkit.heads.classifier import Classifier
from wsss_toolkit.model.layout import TokenLayout


def grad_cam(
    model: Classifier,
    images: Tensor,
    *,
    present: Tensor | None = None,
    valid: Tensor | None = None,
    classes: Sequence[int] | None = None,
) -> Tensor:
    """Return Grad-CAM of the patch tokens that enter the last block, with MONAI's implementation.

    ``ReLU(sum_k a_k A_k)``, where ``a_k`` is the mean over patches of the logit's gradient by channel k (Selvaraju et
    al., 2017).

    The arguments are those of `class_maps`, but sides are multiples of the patch size; parameters get no gradients.

    Returns:
        Maps ``b c h w`` on the patch grid, not negative.

    Raises:
        WsssError: If MONAI is not installed.
    """
    try:
        from monai.visualize.class_activation_maps import GradCAM
    except ImportError as error:
        raise WsssError(
            "pseudo_masks.source: gradcam needs MONAI, which is not installed",
            fix="pip install 'wsss-toolkit[endoscopy]'",
        ) from error
    wanted = range(model.classes) if classes is None else classes
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        tapped = _Tapped(model, present, valid)
        try:
            explain: Any = GradCAM(tapped, "spatial")
            return torch.cat([explain.compute_map(images, class_idx=index).detach() for index in wanted], 1)
        finally:
            tapped.close()
            for parameter in trained:
                parameter.grad = None


class _Tapped(nn.Module):
    """The model as an image classifier whose layer `spatial` holds the last block's patches, laid out as a picture."""

    def __init__(self, model: Classifier, present: Tensor | None, valid: Tensor | None) -> None:
        super().__init__()
        self.spatial = nn.Identity()
        # Not a submodule: MONAI clears the gradients and sets the mode of what it is given.
        self._model, self._present, self._valid = (model,), present, valid
        backbone = model.backbone
        self._handle = backbone.block(backbone.depth - 1).register_forward_pre_hook(self._lay_out)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits `b c`."""
        (model,) = self._model
        return cast(Tensor, model(images, present=self._present, valid=self._valid).logits)

    def _lay_out(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens: Tensor = inputs[0]
        layout: TokenLayout = inputs[1]
        first, picture, rest = torch.split(tokens, [layout.classes, layout.patches, layout.registers], 1)
        picture = layout.on_grid(picture.mT)
        if not picture.requires_grad:
            picture = picture.detach().requires_grad_()  # every block below is frozen
        picture = self.spatial(picture).flatten(2).mT
        return torch.cat((first, picture, rest), 1), *inputs[1:]

    def close(self) -> None:
        """Take the hook off."""
        self._handle.remove()
