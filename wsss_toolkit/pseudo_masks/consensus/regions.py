"""What an image shows, told by the tokens inside the region that the heads found, and around it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PENALTY = 0.03
"""Of the squared weights, beside the mean binary cross-entropy; features have a variance of 1 on average."""
FOLDS = 5


class Regions(nn.Module):
    """A linear classifier ``y_c = w_c . r + v_c . x + b_c`` of two means of half-white features.

    r is the mean over the region, weighted by the probability of foreground where that is above one half (everywhere,
    where it is nowhere); x is the mean over the image. A patch is scored as if it were the region.

    Args:
        components: Components of a feature.
        classes: Number of classes.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, components: int, classes: int) -> None:
        """Start from zero."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(2 * components))
        self.register_buffer("scale", torch.ones(()))
        self.linear = nn.Linear(2 * components, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, half_white: Tensor, foreground: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of patches `b n c` and logits of images `b c`.

        Args:
            half_white: Features, `b n k`.
            foreground: Its probability, `b n`.
            inner: Patches that count, bool `b n`.
        """
        described = describe(half_white, foreground, inner)
        around = described[:, None, half_white.shape[-1] :].expand(-1, half_white.shape[1], -1)
        return self.score(torch.cat((half_white, around), -1)), self.score(described)

    def score(self, described: Tensor) -> Tensor:
        """Return logits `... c` of means side by side, `... 2k`."""
        logits: Tensor = self.linear((described - self.mean) / self.scale)
        return logits


def describe(half_white: Tensor, foreground: Tensor, inner: Tensor) -> Tensor:
    """Return the mean over the region and the mean over the image, side by side, `b 2k`; see `Regions`."""
    sure = foreground * inner * (foreground > 0.5)
    weights = torch.where(sure.sum(1, keepdim=True) > 0, sure, foreground * inner)
    means = [
        (half_white * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp_min(1e-6)
        for weight in (weights, inner.to(half_white))
    ]
    return torch.cat(means, 1)


def fit_regions(described: Sequence[Tensor], labels: Sequence[Tensor]) -> Regions:
    """Fit the classifier to image-level labels, and call each class as often as it is there.

    Each fit is to the optimum of a convex loss, and images are parted by their order: nothing is random. The penalty
    makes the rarer class be called too seldom: the bias is moved so that, of images that the classifier did not learn
    from (`FOLDS` parts, each scored by the fit to the others), as many have a logit of 0 or more as show the class.

    Args:
        described: From `describe`, `m 2k` of each group.
        labels: Which classes the images show, 0 or 1, `m c` of each group.
    """
    features, shown = torch.cat(list(described)), torch.cat(list(labels))
    found, part = _fit(features, shown), torch.arange(len(features)) % FOLDS
    if len(features) < 2 * FOLDS:
        return found
    logits = torch.empty_like(shown)
    with torch.no_grad():
        for number in range(FOLDS):
            others = _fit(features[part != number], shown[part != number])
            logits[part == number] = others.score(features[part == number])
        ordered, counts = logits.sort(0, descending=True).values, shown.sum(0).long()
        found.linear.bias.sub_(torch.where(counts > 0, ordered.gather(0, (counts - 1).clamp_min(0)[None])[0], 0))
    return found


def _fit(features: Tensor, shown: Tensor) -> Regions:
    found = Regions(features.shape[1] // 2, shown.shape[1])
    found.mean.copy_(features.mean(0))
    found.scale.copy_((features - found.mean).square().mean().sqrt().clamp_min(1e-6))
    optimizer = torch.optim.LBFGS(found.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    @torch.enable_grad()
    def loss() -> Tensor:
        optimizer.zero_grad()
        error = F.binary_cross_entropy_with_logits(found.score(features), shown)
        error = error + PENALTY * found.linear.weight.square().sum()
        error.backward()  # type: ignore[no-untyped-call]
        return error

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return found.eval()
