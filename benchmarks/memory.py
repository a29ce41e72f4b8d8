"""Peak memory of one image's inference beside the naive reference's, at ViT-B/16 with 8 classes and 448 pixels.

    python benchmarks/memory.py            # prints a Markdown table; under a minute on 2 cores
    python benchmarks/memory.py --device cuda --precision bf16

Model and cases are those of `speed.py`. Two figures each, in a process of its own: the peak of all tensors, and, on
Linux, the rise of the process's largest resident size, which depends on the C library as well. Weights and images are
there before and count in neither; one small image goes through first, so that loading libraries does not count.
"""

import json
import subprocess
import sys

import click
import reference
import torch
from measure import DEVICES, added_resident_size, machine, peak_of_tensors
from speed import cut, gated_model, logits_and_maps

CASES = ("reference", "as is", "heads cut")


def measure_case(case: str, backbone: str, size: int, device: torch.device, precision: str) -> dict[str, int | None]:
    """Return the two figures of one case in bytes."""
    model = gated_model(backbone).to(device).eval()
    if case == "heads cut":
        model = cut(model)
    small, images = torch.randn(1, 3, 64, 64, device=device), torch.randn(1, 3, size, size, device=device)

    def infer(x: torch.Tensor) -> object:
        if case == "reference":
            return reference.classify(model, x)
        return logits_and_maps(model, x, range(model.backbone.depth))

    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        infer(small)
        resident = added_resident_size(lambda: infer(images)) if device.type == "cpu" else None
        return {"resident": resident, "tensors": peak_of_tensors(lambda: infer(images), device)}


@click.command()
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True)
@click.option("--precision", type=click.Choice(["32", "bf16"]), default="32", show_default=True)
@click.option("--backbone", default="vit_base_patch16_224", show_default=True, help="A timm ViT.")
@click.option("--size", default=448, show_default=True, help="Side of the image in pixels.")
@click.option("--case", type=click.Choice(CASES), hidden=True, help="Measure this one, in this process.")
def main(device: str, precision: str, backbone: str, size: int, case: str | None) -> None:
    """Measure and print."""
    where = torch.device(device)
    if case is not None:
        print(json.dumps(measure_case(case, backbone, size, where, precision)))
        return
    print(f"{machine(where)}; {backbone}, {size} px, {precision}\n")
    found: dict[str, dict[str, int | None]] = {}
    for name in CASES:
        command = [sys.executable, __file__, "--case", name, "--device", device, "--precision", precision]
        command += ["--backbone", backbone, "--size", str(size)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[name] = json.loads(output.splitlines()[-1])
    print("| added peak memory | reference MB | toolkit MB | times smaller | goal |\n|---|---|---|---|---|")
    for kind in ("tensors", "resident"):
        for name in CASES[1:]:
            theirs, ours = found["reference"][kind], found[name][kind]
            if theirs is not None and ours is not None:
                numbers = f"{theirs / 2**20:.0f} | {ours / 2**20:.1f} | {theirs / ours:.1f}"
                print(f"| {kind}, {size} px, {name} | {numbers} | 15 |")


if __name__ == "__main__":
    main()
