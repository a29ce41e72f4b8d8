"""How long the training loops wait for data: share of their time, epoch by epoch.

    python benchmarks/loading.py                                   # the quickstart, 4 epochs of each network
    python benchmarks/loading.py recipes/camvid.yaml --set data.root=DIR --set machine.workers=2 --epochs 3

Runs `labels`, `train`, `pseudo_masks` and `segmentation` of a recipe as `wsss run` does, in a temporary folder, and
times every request for a training batch. The loop's time is all from the first request of an epoch until its last batch
is handed out: the last step is left out, which makes the share a little too large. Prints a Markdown table. Use no more
threads than there are idle processors: where threads wait for each other, steps are slow and nothing waits for data.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import torch
from measure import DEVICES, machine

import wsss_toolkit.images.dataset
from wsss_toolkit.recipe import find_recipe, load_recipe
from wsss_toolkit.runs import pipeline

STAGES = ("labels", "train", "pseudo_masks", "segmentation")


@dataclass
class Epoch:
    """One pass of a training loop over its batches, in seconds."""

    stage: str
    waited: float = 0.0
    lasted: float = 0.0
    steps: int = 0


@dataclass
class Clock:
    """Collects the epochs of all training loops of a run."""

    epochs: list[Epoch] = field(default_factory=list)

    def loader(self, *args: Any, **kwargs: Any) -> "TimedLoader":
        """Build a `DataLoader` whose requests are timed."""
        built = TimedLoader(*args, **kwargs)
        built.clock = self
        return built


class TimedLoader(torch.utils.data.DataLoader):
    """A `DataLoader` that notes how long each request for a batch takes."""

    clock: Clock

    def __iter__(self) -> Iterator[Any]:
        """Yield batches; note the epoch if they are for training."""
        sampler = self.sampler
        training = isinstance(sampler, wsss_toolkit.images.dataset.EpochSampler) and sampler.seed is not None
        masked = training and getattr(self.dataset, "masks", None) is not None
        epoch = Epoch("segmentation" if masked else "train")
        if training:
            self.clock.epochs.append(epoch)
        began = time.perf_counter()
        batches = super().__iter__()
        while True:
            asked = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                break
            epoch.waited += time.perf_counter() - asked
            epoch.lasted = time.perf_counter() - began
            epoch.steps += 1
            yield batch  # the trainer knows the number of batches, and does not come back after the last


def table(epochs: list[Epoch]) -> str:
    """Return the Markdown table of all epochs, and of each loop as a whole."""
    lines = ["| loop | epoch | steps | seconds | waited for data | goal |", "|---|---|---|---|---|---|"]
    for stage in dict.fromkeys(epoch.stage for epoch in epochs):
        own = [epoch for epoch in epochs if epoch.stage == stage]
        whole = Epoch(stage, sum(e.waited for e in own), sum(e.lasted for e in own), sum(e.steps for e in own))
        for name, epoch in [*enumerate(own, 1), ("all", whole)]:
            share = epoch.waited / epoch.lasted
            lines.append(f"| {stage} | {name} | {epoch.steps} | {epoch.lasted:.2f} | {share:.1%} | < 5 % |")
    return "\n".join(lines)


@click.command()
@click.argument("recipe", default="quickstart")
@click.option("--set", "overrides", multiple=True, help="Change a value of the recipe: KEY=VALUE.")
@click.option("--epochs", default=4, show_default=True, help="Epochs of each network.")
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True)
@click.option("--threads", default=None, type=int, help="PyTorch's threads.  [default: its own choice]")
def main(recipe: str, overrides: tuple[str, ...], epochs: int, device: str, threads: int | None) -> None:
    """Train, and print the table."""
    if threads is not None:
        torch.set_num_threads(threads)
    clock = Clock()
    wsss_toolkit.images.dataset.DataLoader = clock.loader
    with tempfile.TemporaryDirectory() as folder:
        given = list(overrides)
        if recipe == "quickstart" and not any(value.startswith("data.root=") for value in given):
            given.append(f"data.root={Path(folder) / 'data'}")
        given += [f"train.epochs={epochs}", f"segmentation.epochs={epochs}"]
        loaded = load_recipe(find_recipe(recipe), given)
        pipeline.run(loaded, out=Path(folder) / "run", stages=STAGES, device=device, overwrite=False)
    print(f"\n{machine(torch.device(device))}; {loaded.name}, {loaded.machine.workers} loading processes\n")
    print(table(clock.epochs))


if __name__ == "__main__":
    main()
