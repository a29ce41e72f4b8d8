"""Pixels per second and peak memory of `wsss pseudolabel` against the size of the scene, beside the I/O floor.

    wsss run quickstart
    python benchmarks/scenes.py --run runs/quickstart --sizes 2048,8192

Makes square mosaics of generated tiles (15 bands: Sentinel-2 as uint16, Sentinel-1 as float32, tiled and compressed
GeoTIFFs), labels each in a process of its own, and prints a Markdown table. The floor is the same command with a model
that answers at once: it reads, scales, cuts, blends, decides and writes the same windows. CPU seconds count what this
process computed in all its threads, so other work on the machine disturbs them less than it does the seconds.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

TILE = 512
"""Side of the generated tiles in pixels."""

TILES = 4
"""Distinct tiles that a mosaic repeats."""

RULES = (
    "data.scenes.sensors.sentinel1={path: '{scene}_s1.tif', bands: [VV, VH]}",
    "data.scenes.sensors.sentinel2={path: '{scene}_s2.tif', "
    "bands: [B01, B02, B03, B04, B05, B06, B07, B08, B8A, B09, B10, B11, B12]}",
)


def write_mosaic(folder: Path, size: int) -> None:
    """Write a scene of `size` x `size` pixels, tile by tile."""
    import rasterio

    from wsss_adapters.synthetic_scenes import draw_scene

    tiles = [draw_scene(TILE, np.random.default_rng(seed)) for seed in range(TILES)]
    transform = rasterio.Affine(10, 0, 300_000, 0, -10, 5_500_000)
    choose = np.random.default_rng(0)
    places = [(row, column) for row in range(0, size, TILE) for column in range(0, size, TILE)]
    which = choose.integers(0, TILES, len(places))
    for product, stacks in (("s1", [t.sentinel1 for t in tiles]), ("s2", [t.sentinel2 for t in tiles])):
        with rasterio.open(
            folder / f"mosaic{size}_{product}.tif",
            "w",
            driver="GTiff",
            height=size,
            width=size,
            count=len(stacks[0]),
            dtype=stacks[0].dtype,
            crs="EPSG:32632",
            transform=transform,
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            compress="deflate",
            zlevel=1,
            BIGTIFF="IF_SAFER",
        ) as raster:
            for (row, column), index in zip(places, which, strict=True):
                height, width = min(TILE, size - row), min(TILE, size - column)
                window = rasterio.windows.Window(column, row, width, height)
                raster.write(stacks[index][:, :height, :width], window=window)


def label(folder: Path, size: int, run: Path, floor: bool, options: list[str]) -> tuple[float, float, float]:
    """Label a mosaic in another process; return its seconds and CPU seconds, its start left out, and its peak MB."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        arguments = ["--run", str(run), "--out", out, "--device", "cpu", *options]
        for rule in RULES:
            arguments += ["--set", rule]
        inputs = folder / f"only{size}"
        inputs.mkdir(exist_ok=True)
        for product in ("s1", "s2"):
            link = inputs / f"mosaic{size}_{product}.tif"
            if not link.exists():
                link.symlink_to(folder / link.name)
        command = [sys.executable, __file__, "--child", json.dumps([floor, *arguments, "--tiles", str(inputs)])]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds, busy, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, busy, peak


def child(floor: bool, arguments: list[str]) -> None:
    """Run the command in this process; print its seconds, CPU seconds and peak memory."""
    import torch

    from wsss_toolkit.cli.pseudolabel import pseudolabel_command
    from wsss_toolkit.runs.trained_run import TrainedRun
    from wsss_toolkit.scenes import job, pseudolabel  # noqa: F401  # loaded before the clock starts
    from wsss_toolkit.scenes.predictor import Predictor

    def constant(run: TrainedRun, stage: str, device: torch.device, dtype: torch.dtype) -> Predictor:
        classes = len(run.classes.names)
        answer = torch.linspace(0.1, 0.2, classes)[:, None, None]

        def score(images: torch.Tensor, valid: torch.Tensor, present: torch.Tensor, frames: bool) -> torch.Tensor:
            return answer.expand(len(images), classes, *images.shape[-2:])

        return Predictor("unet", "constant", classes, score, device, 0, Path("none"))

    if floor:
        job.load_predictor = constant  # type: ignore[assignment]
    start, busy = time.perf_counter(), time.process_time()
    pseudolabel_command.main(arguments, standalone_mode=False)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    print(json.dumps([seconds, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


@click.command()
@click.option("--run", type=click.Path(path_type=Path), default=Path("runs/quickstart"), show_default=True)
@click.option("--sizes", default="2048,8192", show_default=True, help="Sides of the mosaics in pixels.")
@click.option("--workers", default=1, show_default=True, help="Processes; memory is then the main one's alone.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where mosaics are kept.  [default: a temporary one]")
@click.option("--floor/--no-floor", default=True, help="Also measure without a model.")
@click.option("--child", "task", hidden=True)
def main(run: Path, sizes: str, workers: int, folder: Path | None, floor: bool, task: str | None) -> None:
    """Measure and print."""
    if task is not None:
        flag, *arguments = json.loads(task)
        child(flag, arguments)
        return
    print(f"{os.cpu_count()} cores, default windows, {workers} process(es)\n")
    print("| scene | model | seconds | Mpx/s | CPU seconds per Mpx | peak memory MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        where = (folder or Path(temporary)).absolute()
        where.mkdir(parents=True, exist_ok=True)
        for size in map(int, sizes.split(",")):
            if not (where / f"mosaic{size}_s2.tif").exists():
                write_mosaic(where, size)
            for without in (False, True) if floor else (False,):
                seconds, busy, peak = label(where, size, run.absolute(), without, ["--workers", str(workers)])
                name = "none (I/O floor)" if without else "UNet"
                megapixels = size * size / 1e6
                cells = (f"{seconds:.1f}", f"{megapixels / seconds:.3f}", f"{busy / megapixels:.2f}", f"{peak:.0f}")
                print(f"| {size} x {size} x 15 | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
