"""Speed of the toolkit beside a naive reference of the same definition, at ViT-B/16 with 8 classes.

    python benchmarks/speed.py                                     # prints a Markdown table; about 3 minutes on 2 cores
    python benchmarks/speed.py --device cuda --precision bf16 --compile

The reference is `reference.py`; results are compared before anything is timed, and a difference ends the script. One
model is measured: the paper's (joint attention, class tokens from block 0, `concat` head, class maps of all blocks),
with 8 of 12 heads closed in each block. "As is" computes the closed heads and multiplies them by 0, as the reference
does; "heads cut" is the same model after `prune`. benchmarks/README.md has the results and what they mean.
"""

import copy
import gc
import resource
from collections.abc import Callable, Iterable, Iterator

import click
import reference
import torch
from measure import DEVICES, Timing, interleaved, machine, waited
from torch import Tensor, nn
from torch.nn import functional

from wsss_toolkit.domain import ChannelTable, ClassTable, Sensor
from wsss_toolkit.heads.classifier import Classifier, Seen, build_classifier
from wsss_toolkit.heads.kinds import Concat, PerToken
from wsss_toolkit.model.attention_maps import class_map
from wsss_toolkit.model.gate import expected_open_gates
from wsss_toolkit.model.output import Output
from wsss_toolkit.model.pruning import prune
from wsss_toolkit.model.token_masking import absent_tokens
from wsss_toolkit.pseudo_masks.assign import assign
from wsss_toolkit.pseudo_masks.fill import OPEN, fill_majority
from wsss_toolkit.recipe.schema import Model, PseudoMasks

CLASSES = 8
CHANNELS = ChannelTable((Sensor("rgb", ("R", "G", "B")),))
TABLE = ClassTable(tuple("abcdefgh"), ((0, 0, 0),) * CLASSES)
PAINT = PseudoMasks(assign="paint", fill="majority")
HEADS = {"concat": Concat(kind="concat"), "per_token": PerToken(kind="per_token")}
L0_WEIGHT = 0.01
RATE = 0.5
PARTS = ("inference", "training", "post-processing")


def gated_model(backbone: str, *, head: str = "concat", **sizes: int) -> Classifier:
    """Build the paper's model with random weights, and close two thirds of the heads of each block."""
    torch.manual_seed(0)
    section = Model.model_validate(
        {
            "backbone": backbone,
            "attention": "joint",
            "class_tokens": {"enter_at": 0},
            "token_masking": RATE,
            **sizes,
        }
    )
    model = build_classifier(section, {"class": HEADS[head]}, CHANNELS, "early", CLASSES)
    with torch.no_grad():
        for index in range(model.backbone.depth):
            log_alpha = model.backbone.block(index).attn.gate.log_alpha
            log_alpha.uniform_(0.0, 2.0)
            log_alpha[torch.randperm(len(log_alpha))[: len(log_alpha) * 2 // 3]] = -5.0
    return model


def cut(model: Classifier) -> Classifier:
    """Return a copy whose closed heads are cut out."""
    copied = copy.deepcopy(model)
    prune(copied.backbone)
    return copied


def logits_and_maps(run: Callable[..., Seen], images: Tensor, layers: Iterable[int]) -> tuple[Tensor, Tensor]:
    """Return logits `b c` and the class maps of some blocks `b l c h w`."""
    seen = run(images, read=dict.fromkeys(layers, class_map))
    return seen.logits, torch.stack([found.maps for found in seen.output.read.values()], 1)


def toolkit_step(model: Classifier, backbone: Callable[..., Output], images: Tensor, labels: Tensor) -> Tensor:
    """Run one training step's forward and backward pass, the blocks as `backbone` does; return the loss."""
    torch.manual_seed(1)
    generator = torch.Generator(images.device).manual_seed(2)
    output = backbone(images, whole=False)
    logits = model.score(output, masked=absent_tokens(labels, RATE, generator))["class"].logits
    loss = functional.binary_cross_entropy_with_logits(logits.float(), labels)
    loss = loss + L0_WEIGHT * expected_open_gates(model)
    loss.backward()
    return loss.detach()


def reference_step(model: Classifier, images: Tensor, labels: Tensor, *, training: bool = True) -> Tensor:
    """Do the same with the reference; with fixed gates, and so without their penalty, where not `training`."""
    torch.manual_seed(1)
    generator = torch.Generator(images.device).manual_seed(2)
    result = reference.classify(model, images, labels=labels, rate=RATE, generator=generator, training=training)
    loss = functional.binary_cross_entropy_with_logits(result.logits.float(), labels)
    if training:
        loss = loss + L0_WEIGHT * reference.l0_penalty(model)
    loss.backward()
    return loss.detach()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients of a model by the parameters' names, and take them away."""
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def class_map_like(size: int, generator: torch.Generator) -> Tensor:
    """Return maps `1 c h w` like attention on a grid of `size` / 16 patches: a few blobs per class, and noise."""
    side = size // 16
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    grid = 0.2 * torch.rand(1, CLASSES, side, side, generator=generator)
    for c in range(CLASSES):
        for _ in range(2):
            row, column, width = torch.rand(3, generator=generator).tolist()
            distance = (rows - row * side) ** 2 + (columns - column * side) ** 2
            grid[0, c] += torch.exp(-distance / (2 * (side / 16 + side / 8 * width) ** 2))
    return functional.interpolate(grid, (size, size), mode="bilinear", align_corners=False)


def same(what: str, ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    """End the script where results differ by more than `tolerance` times the largest value.

    Raises:
        ClickException: It says by how much.
    """
    difference = float((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max())
    if not difference <= tolerance:
        raise click.ClickException(f"{what}: toolkit and reference differ by {difference:.1e} of the largest value")
    print(f"- {what}: differ by {difference:.0e} of the largest value (allowed {tolerance:.0e})")


def row(case: str, theirs: Timing, ours: Timing, goal: str) -> str:
    """Return one line of the table of times."""
    return (
        f"| {case} | {1000 * theirs.median:.0f} | {1000 * ours.median:.1f} | {ours.faster_than(theirs):.2f} | "
        f"{min(theirs.wall) / min(ours.wall):.2f} | {ours.less_cpu_than(theirs):.2f} | {goal} |"
    )


class Bench:
    """What all parts share: the model as is and cut, where it lies and how it is called."""

    def __init__(self, backbone: str, device: torch.device, precision: str, compiled: bool) -> None:
        self.device = device
        self.half = precision == "bf16"
        self.tolerance = 0.05 if self.half else 1e-4
        self.model = gated_model(backbone).to(device).eval()
        self.cut = cut(self.model)
        self.calls = {"as is": self.model, "heads cut": self.cut}
        made = torch.compile if compiled else lambda module: module
        self.run = {name: made(model) for name, model in self.calls.items()}
        self.backbones = {name: made(model.backbone) for name, model in self.calls.items()}
        self.layers = range(self.model.backbone.depth)

    def autocast(self) -> torch.autocast:
        """Return the context in which models run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def images(self, batch: int, size: int) -> Tensor:
        """Return random images `b 3 h w`."""
        drawn = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(size))
        return drawn.to(self.device)

    def inference(self, rounds: int) -> Iterator[str]:
        """Logits and the class maps of all blocks, for one image."""
        goals = {(224, "as is"): "1", (224, "heads cut"): "1.35", (448, "as is"): "1.3", (448, "heads cut"): "1.9"}
        with torch.inference_mode(), self.autocast():
            for size in (224, 448):
                images = self.images(1, size)
                theirs = reference.classify(self.model, images)
                for name, run in self.run.items():
                    logits, maps = logits_and_maps(run, images, self.layers)
                    same(f"logits at {size} px, {name}", logits, theirs.logits, self.tolerance)
                    same(f"class maps at {size} px, {name}", maps, theirs.class_maps, self.tolerance)
                del logits, maps, theirs
                calls: dict[str, Callable[[], object]] = {
                    name: lambda run=run, images=images: logits_and_maps(run, images, self.layers)
                    for name, run in self.run.items()
                }
                calls["reference"] = lambda images=images: reference.classify(self.model, images)
                times = interleaved(calls, rounds, self.device)
                for name in self.run:
                    case = f"inference, {size} px, {name}"
                    yield row(case, times["reference"], times[name], goals[size, name])

    def training(self, rounds: int) -> Iterator[str]:
        """Forward, backward and AdamW's update for 2 images of 224 pixels."""
        images = self.images(2, 224)
        labels = torch.zeros(2, CLASSES, device=self.device)
        labels[0, :3] = labels[1, 4] = 1
        self.model.train()
        self.cut.train()

        def step(name: str) -> Tensor:
            with self.autocast():
                return toolkit_step(self.calls[name], self.backbones[name], images, labels)

        def naive(training: bool = True) -> Tensor:
            with self.autocast():
                return reference_step(self.model, images, labels, training=training)

        for name, training in (("as is", True), ("heads cut", False)):
            loss, ours = step(name), gradients(self.calls[name])
            same(f"training loss, {name}", loss, naive(training), self.tolerance)
            theirs = gradients(self.model)
            shared = [key for key, value in ours.items() if key in theirs and value.shape == theirs[key].shape]
            joined = [torch.cat([grads[key].flatten() for key in shared]) for grads in (ours, theirs)]
            same(f"gradients of {len(shared)} tensors, {name}", *joined, 10 * self.tolerance)
            del ours, theirs, joined
        calls: dict[str, Callable[[], object]] = {
            name: lambda name=name: (step(name), self.calls[name].zero_grad(set_to_none=True)) for name in self.run
        }
        calls["reference"] = lambda: (naive(), self.model.zero_grad(set_to_none=True))
        times = interleaved(calls, rounds, self.device)
        # Timed apart, one model after the other: two sets of AdamW's moments would need another gigabyte.
        updates = {}
        for name, model in self.calls.items():
            step(name)
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
            updates[name] = interleaved({"update": optimizer.step}, rounds, self.device)["update"]
            del optimizer
            model.zero_grad(set_to_none=True)
            gc.collect()
        self.model.eval()
        self.cut.eval()
        whole = {name: plus(times[name], updates[name]) for name in self.run}
        naive_step = plus(times["reference"], updates["as is"])
        yield row("training step, 224 px, as is", naive_step, whole["as is"], "1")
        yield row("training step, 224 px, heads cut", naive_step, whole["heads cut"], "1.35")


def shown(rows: Iterator[str]) -> Iterator[str]:
    """Print rows on standard error as they come: a run that is stopped has told what it found."""
    for line in rows:
        click.echo(line, err=True)
        yield line


def plus(first: Timing, second: Timing) -> Timing:
    """Return the sum of two timings, round by round."""
    return Timing(
        tuple(a + b for a, b in zip(first.wall, second.wall, strict=True)),
        tuple(a + b for a, b in zip(first.cpu, second.cpu, strict=True)),
    )


def post_processing(rounds: int, device: torch.device) -> Iterator[str]:
    """Fill alone, and all from class maps to a mask with confidence, at 512 pixels, 3 of 8 classes active."""
    maps = class_map_like(512, torch.Generator().manual_seed(0))
    logits = torch.tensor([[1.0, -2.0, 0.5, -3.0, 2.0, -1.0, -4.0, -2.0]])
    active = logits >= 0
    arrays = maps[0].numpy(), logits[0].tolist(), active[0].tolist()
    painted = torch.full((1, 512, 512), OPEN)
    for c in (2, 0, 4):  # ascending logits
        painted[0][maps[0, c] >= maps[0, c].mean()] = c
    print(f"- post-processing: {float((painted == OPEN).float().mean()):.0%} of the pixels are open before the fill")
    there = [tensor.to(device) for tensor in (maps, logits, active)]
    their_mask, their_confidence = (torch.from_numpy(array) for array in reference.paint(*arrays))
    our_mask, our_confidence = (tensor[0].cpu() for tensor in assign(*there, PAINT, TABLE))
    share = float((our_mask != their_mask).float().mean())
    if share > 1e-4:  # a pixel at the threshold may be rounded to either side of it
        raise click.ClickException(f"masks: toolkit and reference differ in {share:.3%} of the pixels")
    print(f"- masks: differ in {share:.4%} of the pixels (allowed 0.01 %)")
    same("confidence", our_confidence, their_confidence, 1e-4 if share == 0 else 1.0)
    filled = torch.from_numpy(reference.fill_majority(painted[0].numpy()))
    if not fill_majority(painted)[0].equal(filled):
        raise click.ClickException("fill: toolkit and reference differ")
    print("- filled pixels: identical")
    on_device = painted.to(device)
    times = interleaved(
        {
            "fill": lambda: fill_majority(on_device),
            "fill, reference": lambda: reference.fill_majority(painted[0].numpy()),
            "all": lambda: assign(*there, PAINT, TABLE),
            "all, reference": lambda: reference.paint(*arrays),
        },
        rounds,
        device,
    )
    yield row("majority fill, 512 px", times["fill, reference"], times["fill"], "100")
    yield row("all post-processing, 512 px", times["all, reference"], times["all"], "40")


@click.command()
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True)
@click.option("--precision", type=click.Choice(["32", "bf16"]), default="32", show_default=True)
@click.option("--compile", "compiled", is_flag=True, help="Compile the toolkit's models with torch.compile.")
@click.option("--backbone", default="vit_base_patch16_224", show_default=True, help="A timm ViT.")
@click.option("--rounds", default=7, show_default=True, help="Timed rounds of each part.")
@click.option("--parts", default=",".join(PARTS), show_default=True, help="Which parts to run.")
def main(device: str, precision: str, compiled: bool, backbone: str, rounds: int, parts: str) -> None:
    """Compare and print."""
    where = torch.device(device)
    began = resource.getrusage(resource.RUSAGE_SELF)
    chosen = parts.split(",")
    if unknown := set(chosen) - set(PARTS):
        raise click.UsageError(f"--parts: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    print(f"{machine(where)}; {backbone}, {CLASSES} classes, {precision}{', compiled' if compiled else ''}\n")
    bench = Bench(backbone, where, precision, compiled) if set(chosen) - {"post-processing"} else None
    times: list[str] = []
    if "post-processing" in chosen:
        times += shown(post_processing(rounds, where))
    if bench is not None and "inference" in chosen:
        times += shown(bench.inference(rounds))
    if bench is not None and "training" in chosen:
        times += shown(bench.training(rounds))
    print("\n| | reference ms | toolkit ms | times faster (medians) | (minima) | (CPU seconds) | goal |")
    print("|---|---|---|---|---|---|---|", *times, sep="\n")
    print(f"\nThe process lost its processor to others {waited(began)} times.")


if __name__ == "__main__":
    main()
