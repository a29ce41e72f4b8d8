"""A method that nobody has published, as a third party would write it: one file, and four lines of entry points."""

from typing import TYPE_CHECKING, ClassVar

from wsss_toolkit.objective.term import Term
from wsss_toolkit.pseudo_masks.refiners.refiner import Refiner
from wsss_toolkit.pseudo_masks.sources.source import MapSource
from wsss_toolkit.recipe.numbers import Count, Positive, Share
from wsss_toolkit.recipe.parts import Needs, Part

if TYPE_CHECKING:
    from torch import Tensor

ENTRY_POINTS = """\
[wsss.heads]
top = made_up_method:Top
[wsss.terms]
focus = made_up_method:Focus
[wsss.map_sources]
sharpened = made_up_method:Sharpened
[wsss.refiners]
blur = made_up_method:Blur
"""


class Top(Part):
    """A linear classifier of patches whose image-level logits are means over the highest scores."""

    reads_patches: ClassVar[bool] = True

    share: Share = 0.25
    """The share of the patches that counts."""

    def build(self, shape):
        from wsss_toolkit.heads.patch_head import PatchHead

        return PatchHead(shape, self.pool)

    def pool(self, scores: "Tensor", visible: "Tensor | None") -> "Tensor":
        if visible is not None:
            scores = scores.masked_fill(~visible[..., None], -1e4)
        return scores.topk(max(1, round(self.share * scores.shape[1])), dim=1).values.mean(1)


class Focus(Term):
    """What class tokens attend to in an inner block must tell their classes; and a head's logits must, too."""

    head: str = "top"
    block: int = 1

    def needs(self):
        return Needs(heads=(self.head,), layers=(self.block,), blocks=(self.block,), class_maps=True)

    def module(self, shape):
        from torch import nn

        made = nn.Linear(shape.dim, shape.classes)
        nn.init.zeros_(made.weight)
        return made

    def loss(self, step, module):
        from wsss_toolkit.model.attention_maps import class_map
        from wsss_toolkit.objective.losses import classification_loss

        attended = class_map(step.attention[self.block]).maps.flatten(2) @ step.patches[self.block].float()
        logits = (attended * module.weight).sum(-1) + module.bias
        return sum(
            classification_loss(each, step.labels, exclusive=step.exclusive)
            for each in (logits, step.scores[self.head].logits)
        )


class Sharpened(MapSource):
    """The attention of one block times a power of a head's rectified scores."""

    head: str = "top"
    block: int = 1
    power: Positive = 2.0

    def needs(self):
        return Needs(patch_heads=(self.head,), layers=(self.block,))

    def reads(self, model):
        from wsss_toolkit.model.attention_maps import class_map

        return {self.block: class_map}

    def maps(self, seen):
        from wsss_toolkit.model.attention_maps import class_map

        return seen.output.read[self.block][class_map].maps * seen.scores[self.head].maps.relu() ** self.power


class Blur(Refiner):
    """The mean over a square."""

    radius: Count = 1

    def refine(self, maps, images):
        from torch.nn import functional

        return functional.avg_pool2d(maps, 2 * self.radius + 1, 1, self.radius)
