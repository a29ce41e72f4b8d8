"""Time from an image to its pseudo-mask against the number of class tokens, with 3 classes in the image.

    python benchmarks/used_tokens.py

Prints a Markdown table: median CPU milliseconds per image of `Mapper.masks` where labels are known (`classes: labels`,
all tokens in one view, the used ones in the others) and where the classes are predicted (all tokens in all views); and
what surrounds them: the tokens of the 3 classes alone, which leaves no scores, and every class's map at the image's
size, as it was done before.
"""

import statistics
import time
from collections.abc import Callable

import click
import torch
from torch import Tensor

from wsss_toolkit.domain import ChannelTable, ClassTable, Sensor
from wsss_toolkit.heads.classifier import Classifier, build_classifier
from wsss_toolkit.heads.kinds import PerToken
from wsss_toolkit.pseudo_masks.assign import assign
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.pseudo_masks.mapper import Mapper
from wsss_toolkit.pseudo_masks.sources.attention import Attention
from wsss_toolkit.recipe.schema import Model, PseudoMasks

CHANNELS = ChannelTable((Sensor("rgb", ("R", "G", "B")),))
USED = (0, 1, 2)


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Return the median CPU time of a call in milliseconds, after one call that does not count."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def cases(model: Classifier, images: Tensor, flips: bool) -> dict[str, Callable[[], object]]:
    """Return what is timed, by the table's columns."""
    names = tuple(f"class {i}" for i in range(min(model.classes, 255)))
    # Mask values end at 254; with more tokens only the first are ever used here.
    table = ClassTable(names, ((0, 0, 0),) * len(names))
    known = PseudoMasks(classes="labels", source=Attention(kind="attention", layers="last"), flips=flips)
    labels = torch.zeros(1, model.classes)
    labels[:, USED] = 1
    valid = torch.ones(1, *images.shape[-2:], dtype=torch.bool)
    present = torch.ones(1, 1, dtype=torch.bool)
    # Three classes are predicted: the bias decides, because the weights are random.
    with torch.no_grad():
        model.heads["class"].bias.fill_(-20)
        model.heads["class"].bias[list(USED)] = 20

    def label(section: PseudoMasks) -> object:
        given = labels if section.classes == "labels" else None
        mapper = Mapper(model, section, table, resize=None, exclusive=False, device=images.device)
        return mapper.masks(images, valid, present, labels=given)

    def only_used() -> object:
        maps, logits = class_maps(model, images, known, valid=valid, present=present, classes=USED)
        return assign(maps, logits, labels[:, USED] > 0, known, table, tokens=torch.tensor(USED))

    def every_map() -> object:
        maps, logits = class_maps(model, images, known, valid=valid, present=present)
        chosen = list(USED)
        return assign(
            maps[:, chosen], logits[:, chosen], labels[:, chosen] > 0, known, table, tokens=torch.tensor(USED)
        )

    return {
        "3 tokens alone, no scores": only_used,
        "labels known": lambda: label(known),
        "predicted": lambda: label(known.model_copy(update={"classes": "predicted"})),
        "every map at full size": every_map,
    }


@click.command()
@click.option("--backbone", default="vit_small_patch16_224", show_default=True, help="Name of a timm ViT.")
@click.option("--classes", default="8,150,1000", show_default=True, help="Numbers of class tokens.")
@click.option("--repeats", default=5, show_default=True, help="Timed calls of each case.")
def main(backbone: str, classes: str, repeats: int) -> None:
    """Measure and print."""
    images = torch.randn(1, 3, 224, 224)
    print(f"torch {torch.__version__}, cpu, {torch.get_num_threads()} threads, {backbone}, 224 x 224 pixels\n")
    heading = None
    for number in map(int, classes.split(",")):
        section = Model.model_validate(
            {"backbone": backbone, "attention": "asymmetric", "class_tokens": {"enter_at": 8}}
        )
        model = build_classifier(section, {"class": PerToken(kind="per_token")}, CHANNELS, "early", number).eval()
        for flips in (False, True):
            timed = cases(model, images, flips)
            if heading is None:
                heading = f"| C | views | {' | '.join(timed)} |"
                print(heading + "\n|" + "---|" * (len(timed) + 2))
            cells = [f"{median_ms(call, repeats):.0f} ms" for call in timed.values()]
            print(f"| {number} | {1 + flips} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
