"""The model that made the masks, as a STAC item with the machine learning model extension (MLM)."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wsss_toolkit.domain import ModelDescription

if TYPE_CHECKING:
    import pystac


def model_item(model: ModelDescription, scenes: Sequence["pystac.Item"]) -> "pystac.Item":
    """Return the model's item; its place and time are those of the scenes, at least one, that it labelled."""
    import pystac
    from pystac.extensions.mlm import MLMExtension, TaskType
    from pystac.extensions.raster import RasterBand, RasterExtension

    from wsss_adapters.geo_scenes.stac import GEOJSON_TYPE, JSON_TYPE, PROCESSING, collection_id, provenance, safe_name

    located = [scene for scene in scenes if scene.bbox is not None]
    first = located[0] if located else scenes[0]
    interval = ("start_datetime", "end_datetime")
    times: dict[str, Any] = {key: first.properties[key] for key in interval if key in first.properties}
    item = pystac.Item(
        id=f"{safe_name(model.name)}-{model.stage}",
        geometry=first.geometry,
        bbox=first.bbox,
        datetime=first.datetime,
        properties={**times, **provenance(model.tags), "title": f"{model.name}: {model.architecture}"},
        stac_extensions=[PROCESSING],
    )
    MLMExtension.ext(item, add_if_missing=True).apply(
        name=model_name(model.name),
        architecture=model.architecture,
        tasks=[TaskType.SEMANTIC_SEGMENTATION],
        input=[_input(model)],
        output=[_output(model)],
        framework="PyTorch",
        framework_version=semantic_version(model.framework[1]),
        total_parameters=model.parameters,
        pretrained=True,
        pretrained_source=model.tags.get("wsss_label_source"),
    )
    # The weights stay where they are: their path is this machine's, so only the file's name is given.
    asset = pystac.Asset(
        model.weights.name,
        "Weights",
        description="In the run's folder; `wsss pseudolabel --run` reads it with the recipe and the scaling beside it",
        media_type="application/vnd.safetensors",
        roles=["mlm:model", "mlm:weights"],
        extra_fields={"mlm:artifact_type": "safetensors"},
    )
    item.add_asset("weights", asset)
    # The extension's schema wants the input's bands described once more by another extension.
    described = RasterExtension.ext(item.assets["weights"], add_if_missing=True)
    described.apply([RasterBand({"name": name, "data_type": "float32"}) for name in model.channels.names])
    for relation in ("root", "parent", "collection"):
        item.add_link(pystac.Link(relation, "./collection.json", media_type=JSON_TYPE))
    for scene in scenes:
        item.add_link(pystac.Link("related", f"./items/{scene.id}.json", media_type=GEOJSON_TYPE))
    item.collection_id = collection_id(model.name)
    return item


def model_name(recipe: str) -> str:
    """Return a recipe's name as the extension allows it: a letter first, three characters or more."""
    name = re.sub(r"^[^A-Za-z]+", "", recipe).rstrip("._-")
    return name if len(name) > 2 else f"model {recipe.rstrip('._-')}"


def semantic_version(version: str) -> str:
    """Return a version as the extension allows it: ``2.8.0a0+5228986c39`` becomes ``2.8.0``."""
    numbers = [str(int(part)) for part in re.findall(r"\d+", version.partition("+")[0])[:3]]
    return ".".join([*numbers, "0", "0", "0"][:3])


def _input(model: ModelDescription) -> "pystac.extensions.mlm.ModelInput":
    from pystac.extensions.mlm import InputStructure, ModelBand, ModelInput, ProcessingExpression
    from pystac.extensions.raster import DataType

    return ModelInput.create(
        name=f"{len(model.channels)} bands, windows of {model.window} pixels",
        bands=[ModelBand.create(name) for name in model.channels.names],
        input=InputStructure.create(
            [-1, len(model.channels), model.window, model.window],
            ["batch", "bands", "height", "width"],
            DataType.FLOAT32,
        ),
        description="Missing pixels are 0 after scaling; neighbouring windows overlap by "
        f"{model.overlap:.0%} and their scores are blended with Hann weights",
        pre_processing_function=ProcessingExpression.create(
            "python", "; ".join(map(_scaling, model.channels.names, model.scaling))
        ),
    )


def _scaling(name: str, band: Mapping[str, float]) -> str:
    low, high, offset, scale = (band[key] for key in ("low", "high", "offset", "scale"))
    value = name if abs(low) > 1e30 and abs(high) > 1e30 else f"clip({name}, {low:g}, {high:g})"
    return f"({value} - {offset:.9g}) / {scale:.9g}"


def _output(model: ModelDescription) -> "pystac.extensions.mlm.ModelOutput":
    from pystac.extensions.mlm import ModelOutput, ResultStructure, TaskType
    from pystac.extensions.raster import DataType

    from wsss_adapters.geo_scenes.stac import classification

    return ModelOutput.create(
        name="class scores",
        tasks=[TaskType.SEMANTIC_SEGMENTATION],
        result=ResultStructure.create(
            [-1, len(model.classes.names), model.window, model.window],
            ["batch", "class", "height", "width"],
            DataType.FLOAT32,
        ),
        description="The class with the highest blended score is the mask's value",
        classes=classification(model.classes),
    )
