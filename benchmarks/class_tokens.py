"""Time and memory against the number of class tokens C, for both kinds of attention.

    python benchmarks/class_tokens.py                  # prints two Markdown tables; about 4 minutes on 2 cores
    python benchmarks/class_tokens.py --device cuda --repeats 50

Inference: milliseconds per image for logits, for logits with the maps of the last layer, and, where the attention is
asymmetric, for those of 3 chosen classes. Training: one step's forward and backward pass and the peak of its tensors.
All C take turns in each round; their models share one set of blocks, so that the place of weights in memory makes none
faster.
"""

import click
import torch
from measure import DEVICES, interleaved, machine, peak_of_tensors
from torch.nn import functional

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.heads.classifier import Classifier, build_classifier
from wsss_toolkit.heads.kinds import PerToken
from wsss_toolkit.model.attention_maps import class_map
from wsss_toolkit.model.token_masking import absent_tokens
from wsss_toolkit.recipe.schema import Model

CHANNELS = ChannelTable((Sensor("rgb", ("R", "G", "B")),))
HEADS = {"class": PerToken(kind="per_token")}
CHOSEN = (0, 1, 2)
DESIGNS = (("joint", 0), ("asymmetric", 0), ("asymmetric", 8))


def models(
    backbone: str, attention: str, enter_at: int, counts: tuple[int, ...], device: torch.device
) -> dict[int, Classifier]:
    """Build one model for each number of classes; all share the first one's patch embedding and blocks."""
    section = Model.model_validate(
        {"backbone": backbone, "attention": attention, "class_tokens": {"enter_at": enter_at}}
    )
    built: dict[int, Classifier] = {}
    for count in counts:
        torch.manual_seed(0)
        model = build_classifier(section, HEADS, CHANNELS, "early", count).to(device)
        own, first = model.backbone, next(iter(built.values()), model).backbone
        own.patch_embed, own.pos_embed, own.blocks = first.patch_embed, first.pos_embed, first.blocks
        built[count] = model
    return built


def train_step(model: Classifier, images: torch.Tensor) -> None:
    """Run one forward and backward pass with three classes present."""
    labels = torch.zeros(len(images), model.classes, device=images.device)
    labels[:, :3] = 1
    generator = torch.Generator(images.device).manual_seed(0)
    masked = absent_tokens(labels, model.backbone.section.token_masking, generator)
    logits = model.score(model.backbone(images, whole=False), masked=masked)["class"].logits
    functional.binary_cross_entropy_with_logits(logits, labels).backward()
    model.zero_grad(set_to_none=True)


def inference(backbone: str, counts: tuple[int, ...], repeats: int, device: torch.device) -> None:
    """Print the table of inference."""
    print(
        "| attention | enter_at | C | logits | with all maps | 3 classes with maps | against the smallest C (minima) |"
    )
    print("|---|---|---|---|---|---|---|")
    images = torch.randn(1, 3, 224, 224, device=device)
    for attention, enter_at in DESIGNS:
        ready = {count: model.eval() for count, model in models(backbone, attention, enter_at, counts, device).items()}
        last = {next(iter(ready.values())).backbone.depth - 1: class_map}
        with torch.inference_mode():
            logits = interleaved({str(c): lambda m=m: m(images) for c, m in ready.items()}, repeats, device)
            maps = interleaved(
                {str(c): lambda m=m, last=last: m(images, read=last) for c, m in ready.items()}, repeats, device
            )
            chosen = None
            if attention == "asymmetric":
                calls = {str(c): lambda m=m, last=last: m(images, read=last, classes=CHOSEN) for c, m in ready.items()}
                chosen = interleaved(calls, 3 * repeats, device)  # the ratio of interest: three times as often
        for count in counts:
            cells = [f"{1000 * times[str(count)].median:.1f} ms" for times in (logits, maps)]
            if chosen is None:
                cells += ["not possible", "-"]
            else:
                base, this = chosen[str(counts[0])], chosen[str(count)]
                cells.append(f"{1000 * this.median:.1f} ms")
                cells.append(f"{this.median / base.median:.3f} ({min(this.wall) / min(base.wall):.3f})")
            print(f"| {attention} | {enter_at} | {count} | {' | '.join(cells)} |", flush=True)


def training(backbone: str, counts: tuple[int, ...], repeats: int, device: torch.device) -> None:
    """Print the table of training."""
    print("| attention | enter_at | C | training step | per class | peak of tensors | per class |")
    print("|---|---|---|---|---|---|---|")
    images = torch.randn(1, 3, 224, 224, device=device)
    for attention, enter_at in DESIGNS:
        ready = {count: model.train() for count, model in models(backbone, attention, enter_at, counts, device).items()}
        times = interleaved({str(c): lambda m=m: train_step(m, images) for c, m in ready.items()}, repeats, device)
        seconds = {count: times[str(count)].median for count in counts}
        peaks = {count: peak_of_tensors(lambda m=m: train_step(m, images), device) for count, m in ready.items()}
        first = counts[0]
        for count in counts:
            cells = [f"{1000 * seconds[count]:.0f} ms", "-", f"{peaks[count] / 2**20:.0f} MB", "-"]
            if count > first:
                cells[1] = f"{1000 * (seconds[count] - seconds[first]) / (count - first):.2f} ms"
                cells[3] = f"{(peaks[count] - peaks[first]) / (count - first) / 2**20:.2f} MB"
            print(f"| {attention} | {enter_at} | {count} | {' | '.join(cells)} |", flush=True)


@click.command()
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True)
@click.option("--backbone", default="vit_small_patch16_224", show_default=True, help="Name of a timm ViT.")
@click.option("--repeats", default=11, show_default=True, help="Timed calls of each case; a third of them in training.")
@click.option("--parts", default="inference,training", show_default=True, help="Which tables to print.")
def main(device: str, backbone: str, repeats: int, parts: str) -> None:
    """Measure and print."""
    where = torch.device(device)
    print(f"{machine(where)}; {backbone}, one image of 224 x 224 pixels\n")
    if "inference" in parts:
        inference(backbone, (8, 150, 1000), repeats, where)
    if "training" in parts:
        print("\nPer class: what each class above the smallest C adds.\n")
        training(backbone, (8, 80, 150, 1000), max(1, repeats // 3), where)


if __name__ == "__main__":
    main()
