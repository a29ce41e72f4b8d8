"""The segmentation network as an ONNX file that onnxruntime and the Deepness plugin for QGIS read."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.errors import UsageError, WsssError
from wsss_toolkit.files import write_bytes
from wsss_toolkit.images.scaling import Preprocessing
from wsss_toolkit.segmentation.classifier_encoder import ClassifierNetwork
from wsss_toolkit.segmentation.unet import stride


class ScaledNetwork(nn.Module):
    """From bands in their sensors' units to class scores: scaling, network and softmax in one graph."""

    low: Tensor
    high: Tensor
    offset: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, prepare: Preprocessing) -> None:
        super().__init__()
        self.network = network
        for name in ("low", "high", "offset", "scale"):
            values = torch.tensor([getattr(band, name) for band in prepare.bands], dtype=torch.float32)
            self.register_buffer(name, values[:, None, None])

    def forward(self, bands: Tensor) -> Tensor:
        """Score images.

        Args:
            bands: float32 `b k h w` in sensor units (digital numbers, decibels); NaN where a pixel is missing.

        Returns:
            Scores in 0..1 that add up to 1, `b c h w`.
        """
        missing = torch.isnan(bands)
        clipped = torch.minimum(torch.maximum(bands, self.low), self.high)
        scaled = torch.where(missing, torch.zeros_like(bands), (clipped - self.offset) / self.scale)
        scores: Tensor = torch.softmax(self.network(scaled), dim=1)
        return scores


def deepness_metadata(
    prepare: Preprocessing, classes: ClassTable, *, tile: int, overlap: float, resolution: float | None
) -> dict[str, str]:
    """Return what Deepness looks for in a model's metadata, each value as JSON.

    Deepness divides pixel values by 255, then subtracts ``standardization_mean`` and divides by
    ``standardization_std`` (its `preprocessing_utils.py`). Mean 0 and deviation 1/255 undo the division, so that the
    graph gets the layer's own values, which it scales itself. Tile size stands under both names that versions of
    the plugin and its documentation use. A threshold of 0 leaves the decision to the highest score. The arguments are
    those of `export_onnx`; without a `resolution` the user chooses.
    """
    count = len(prepare.channels)
    values: dict[str, object] = {
        "model_type": "Segmentor",
        "class_names": {str(index): name for index, name in enumerate(classes.names)},
        "tile_size": tile,
        "tiles_size": tile,
        "tiles_overlap": round(100 * overlap),
        "standardization_mean": [0.0] * count,
        "standardization_std": [1 / 255] * count,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    if resolution is not None:
        values["resolution"] = 100 * resolution  # centimetres
    return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}


def export_onnx(  # noqa: PLR0913  # what the file says of itself
    network: nn.Module,
    prepare: Preprocessing,
    classes: ClassTable,
    path: Path,
    *,
    tile: int,
    overlap: float,
    resolution: float | None,
    tags: Mapping[str, str],
    overwrite: bool = False,
) -> Path:
    """Write the network with its scaling as ONNX; the file is complete or absent.

    The input ``bands`` is float32 `b k tile tile` in sensor units, NaN where a pixel is missing; the output ``scores``
    is float32 `b c tile tile`. The number of images is free, the tile's side is fixed, as Deepness expects.

    Args:
        network: The segmentation network, on the CPU.
        prepare: Scaling and channels.
        classes: Names in the order of mask values.
        path: The file.
        tile: Side of a tile in pixels, a multiple of 32, or of the patch where the classifier is the encoder. That
            encoder then reads all patches, those without data too.
        overlap: Share that neighbouring tiles have in common, 0 to below 1.
        resolution: Metres per pixel, or None.
        tags: Provenance to store in the file.
        overwrite: Whether an existing file is replaced.

    Raises:
        UsageError: If the tile's side does not fit, or the file exists and may not be replaced.
        WsssError: If the packages for ONNX are not installed, or the file cannot be written.
    """
    step = stride(network)
    if tile % step:
        near = max(step, round(tile / step) * step)
        raise UsageError(f"--tile {tile}: the network takes multiples of {step}", fix=f"for example {near}")
    if path.exists() and not overwrite:
        raise UsageError("exists already", where=str(path), fix="use --overwrite, or another --out")
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        fix = "pip install 'wsss-toolkit[onnx]'"
        raise WsssError(f"export needs {error.name}, which is not installed", fix=fix) from error
    fixed = network.for_tile(tile) if isinstance(network, ClassifierNetwork) else network
    model = ScaledNetwork(fixed, prepare).eval()
    example = torch.zeros(2, len(prepare.channels), tile, tile)
    with _quiet_exporter(), torch.inference_mode():
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["bands"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("images", min=1, max=1024)},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    props = deepness_metadata(prepare, classes, tile=tile, overlap=overlap, resolution=resolution)
    props["channels"] = json.dumps(prepare.channels.names)
    onnx.helper.set_model_props(proto, {**tags, **props})
    for node in proto.graph.node:  # where in the source each node comes from: paths of this machine
        del node.metadata_props[:]
    proto.doc_string = ""
    onnx.checker.check_model(proto)
    write_bytes(path, proto.SerializeToString(deterministic=True))
    return path


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what torch's exporter says about its own ways; its errors are exceptions."""
    loggers = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript", "onnx_ir")}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in loggers.items():
            logging.getLogger(name).setLevel(level)
