"""The checks for adapters that label scenes: `check_scenes(adapter, [folder], channels, tmp_path)` in a test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsss_toolkit.domain.contract import SAFE_KEY, refused, require
from wsss_toolkit.domain.sample import ChannelTable, ClassTable
from wsss_toolkit.domain.scene import LEVELS, Destination, Layers, SceneAdapter, SceneOutputs, SceneSource, Window
from wsss_toolkit.errors import UsageError


def check_scenes(adapter: SceneAdapter, inputs: Sequence[str], channels: ChannelTable, tmp_path: Path) -> None:
    """Check what `wsss pseudolabel` relies on, for adapters that label scenes.

    Args:
        adapter: The adapter.
        inputs: What a user would name: files, folders, globs of scenes that have all the channels.
        channels: The bands to read.
        tmp_path: An empty folder for masks.

    Raises:
        AssertionError: If the adapter breaks the contract.
    """
    require(isinstance(adapter, SceneAdapter), f"{type(adapter).__name__} lacks a method of SceneAdapter")
    _check_outputs(adapter.Outputs)
    sources = adapter.find_scenes(inputs, channels)
    require(bool(sources), "find_scenes finds nothing")
    require(sources == adapter.find_scenes(inputs, channels), "find_scenes differs from one call to the next")
    names = [source.name for source in sources]
    require(len({name.casefold() for name in names}) == len(names), f"scene names repeat: {names}")
    for source in sources:
        safe = SAFE_KEY.fullmatch(source.name) is not None and not source.name.startswith(".")
        require(safe, f"scene name {source.name!r} is not safe as a file name")
        require(bool(source.fingerprint()), f"the fingerprint of scene {source.name!r} is empty")
        size = _check_scene_windows(adapter, source, channels)
        _check_scene_files(adapter, source, size, tmp_path / "scenes", channels)
    with refused("an input that does not exist raises no UsageError", UsageError):
        adapter.find_scenes([str(tmp_path / "nothing-here")], channels)


def _check_outputs(outputs: type[SceneOutputs]) -> None:
    """Check that a flag of the command line can be made of each field."""
    require(issubclass(outputs, SceneOutputs), f"Outputs is {outputs.__name__}, no SceneOutputs")
    for name, field in outputs.model_fields.items():
        require(not field.is_required(), f"field {name!r} of Outputs has no default")
        require(bool(field.description), f"field {name!r} of Outputs has no docstring, which is its flag's help")


def _check_scene_windows(adapter: SceneAdapter, source: SceneSource, channels: ChannelTable) -> tuple[int, int]:
    """Check that windows are the scene's own pixels, whatever the window."""
    with adapter.open_scene(source, channels) as scene:
        size, frame = (scene.height, scene.width), scene.frame_height
        fits = frame is None or (frame > 0 and size[0] % frame == 0)
        require(fits, f"scene {source.name!r} has {size[0]} rows, which are no frames of {frame} rows")
        whole = scene.read(Window(0, 0, *size))
        require(whole.size == size, f"scene {source.name!r} is {size}, its pixels {whole.size}")
        part = Window(size[0] // 3, size[1] // 4, max(1, size[0] // 2), max(1, size[1] // 2))
        cut = scene.read(part)
        require(set(whole.bands) == set(scene.sensors), f"scene {source.name!r} delivers other sensors than it says")
        for name, bands in whole.bands.items():
            where = f"sensor {name!r} of scene {source.name!r}"
            require(bands.dtype == np.float32, f"{where} is {bands.dtype}, not float32")
            require(not np.isinf(bands).any(), f"{where} holds infinite values; missing pixels are NaN")
            rows, columns = slice(part.row, part.row + part.height), slice(part.column, part.column + part.width)
            same = np.array_equal(cut.bands[name], bands[:, rows, columns], equal_nan=True)
            require(same, f"a window of scene {source.name!r} differs from the same pixels of the whole")
    return size


def _check_scene_files(
    adapter: SceneAdapter, source: SceneSource, size: tuple[int, int], folder: Path, channels: ChannelTable
) -> None:
    """Check that a mask is known as finished by its tags, and only then."""
    folder.mkdir(exist_ok=True)
    classes = ClassTable(("one", "two"), ((255, 0, 0), (0, 255, 0)))
    tags = {"wsss_version": "0", "wsss_job": f"job of {source.name}"}
    destination = Destination(folder, adapter.Outputs(confidence=True, scores=True), tags)
    require(adapter.scene_tags(source.name, folder) is None, f"scene {source.name!r} has tags before it has a mask")
    mask = (np.indices(size).sum(axis=0) % 2).astype(np.uint8)
    cut = max(1, size[0] // 2)
    whole = Layers(0, mask, mask * LEVELS, np.stack([mask * 9] * 2))
    layers = [whole.part(row, stop) for row, stop in ((0, cut), (cut, size[0])) if stop > row]
    written = adapter.write_scene(source, layers, classes, destination, channels)
    require(written.is_file() and written.parent == folder, f"write_scene returns {written}, which is not there")
    found = adapter.scene_tags(source.name, folder)
    kept = found is not None and found.get("wsss_job") == tags["wsss_job"]
    require(kept, f"the tags of scene {source.name!r} do not come back from its mask")
