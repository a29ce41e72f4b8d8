"""A classifier whose maps can be computed by hand."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F

from wsss_toolkit.heads.classifier import Seen
from wsss_toolkit.heads.head import Scores
from wsss_toolkit.model.attention_maps import ClassMap, affinity, class_map
from wsss_toolkit.model.layout import TokenLayout, unless_all, visible_patches
from wsss_toolkit.model.output import Output


class FakeClassifier:
    """Two classes whose "attention" is the mean of channel 0 and of channel 1 in each patch that holds data, as shares.

    Block i gives (i + 1) times as much. Logits are the largest mean plus `offset`; the head `patch` scores a patch by
    its mean, minus one half; all patches are equally akin. The heads of the blocks `closed` are all closed.
    """

    def __init__(self, *, enter_at=0, depth=1, offset=0.0, patch_head=True, closed=()):
        self.backbone = SimpleNamespace(patch_size=4, image_size=8, enter_at=enter_at, depth=depth)
        self.offset, self.patch_head, self.closed = offset, patch_head, closed
        self.seen = []

    def __call__(self, images, *, present=None, valid=None, classes=None, read=None, whole=False):
        assert not torch.is_grad_enabled()
        assert images.shape[-2] % 4 == images.shape[-1] % 4 == 0
        read = read or {}
        if valid is None:
            valid = torch.ones(len(images), *images.shape[-2:], dtype=torch.bool)
        self.seen.append(SimpleNamespace(shape=tuple(images.shape), valid=valid.clone(), blocks=tuple(read)))
        pooled = F.avg_pool2d(images, 4) * F.max_pool2d(valid[:, None].float(), 4)
        shares = pooled / pooled.sum(dim=(2, 3), keepdim=True)
        rows, columns = pooled.shape[-2:]
        akin = torch.ones(len(images), rows * columns, rows * columns)
        if classes is not None:
            pooled, shares = pooled[:, list(classes)], shares[:, list(classes)]
        found = {}
        for block in read:
            factor = 0.0 if block in self.closed else 1.0
            maps = ClassMap(shares * (block + 1) * factor, torch.tensor(factor))
            found[block] = {class_map: maps, affinity: akin}
        layout = TokenLayout(pooled.shape[1], (rows, columns), 0, unless_all(visible_patches(valid, 4)))
        nothing = torch.zeros(len(images), layout.length, 1)
        scores = {"class": Scores(pooled.amax(dim=(2, 3)) + self.offset)}
        if self.patch_head:
            scores["patch"] = Scores(pooled.mean(dim=(2, 3)), pooled - 0.5)
        return Seen(Output(nothing, nothing, layout, found), scores)
