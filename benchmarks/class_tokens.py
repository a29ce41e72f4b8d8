"""Time of one forward pass against the number of class tokens, for both kinds of attention.

    python benchmarks/class_tokens.py --device cpu

Prints a Markdown table: median milliseconds per image for logits alone and with the class maps of the last layer,
of all C classes and, where the attention is asymmetric, of 3 chosen ones.
"""

import statistics
import time
from collections.abc import Callable

import click
import torch

from wsss_toolkit.domain import ChannelTable, Sensor
from wsss_toolkit.model.vit import build_model
from wsss_toolkit.recipe.schema import Model

CHANNELS = ChannelTable((Sensor("rgb", ("R", "G", "B")),))


def median_ms(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Return the median time of a call in milliseconds, after one call that does not count."""
    call()
    times = []
    for _ in range(repeats):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


@click.command()
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--backbone", default="vit_small_patch16_224", show_default=True, help="Name of a timm ViT.")
@click.option("--repeats", default=10, show_default=True, help="Timed calls of each case.")
def main(device: str, backbone: str, repeats: int) -> None:
    """Measure and print."""
    where = torch.device(device)
    images = torch.randn(1, 3, 224, 224, device=where)
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, {backbone}, 224 x 224 pixels\n")
    print("| attention | enter_at | C | logits | with all maps | 3 classes with maps |")
    print("|---|---|---|---|---|---|")
    for attention, enter_at in (("joint", 0), ("asymmetric", 0), ("asymmetric", 8)):
        for classes in (8, 150, 1000):
            section = Model.model_validate(
                {"backbone": backbone, "attention": attention, "class_tokens": {"enter_at": enter_at}}
            )
            model = build_model(section, CHANNELS, "early", classes).to(where).eval()
            with torch.inference_mode():
                cells = [
                    median_ms(lambda m=model: m(images), repeats, where),
                    median_ms(lambda m=model: m(images, layers=(-1,)), repeats, where),
                ]
                shown = [f"{cell:.0f} ms" for cell in cells]
                if attention == "asymmetric":
                    chosen = median_ms(lambda m=model: m(images, layers=(-1,), classes=(0, 1, 2)), repeats, where)
                    shown.append(f"{chosen:.0f} ms")
                else:
                    shown.append("not possible")
            print(f"| {attention} | {enter_at} | {classes} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
