"""No number of a recipe is without a bound, so that no recipe asks for what no machine has."""

import typing
from importlib.metadata import entry_points

import annotated_types
import pytest
import tiny_recipe
from pydantic import BaseModel

from wsss_toolkit.cli.pseudolabel import pseudolabel_command
from wsss_toolkit.domain import find_adapter, installed_adapters
from wsss_toolkit.errors import UsageError
from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.recipe.messages import RecipeErrors
from wsss_toolkit.recipe.schema import Recipe
from wsss_toolkit.scenes.pseudolabel import Request

UNBOUND = {"SceneSensor.nodata", "SensorFiles.nodata"}
"""Values that are compared with others and ask for nothing."""


def bounds(metadata):
    found = set()
    for item in metadata:
        if isinstance(item, annotated_types.Ge | annotated_types.Gt):
            found.add("low")
        if isinstance(item, annotated_types.Le | annotated_types.Lt):
            found.add("high")
        found |= bounds(getattr(item, "metadata", ()))
    return found


def numbers(kind, name, metadata=(), seen=None):
    """Yield the name and the bounds of each number in a type."""
    seen = set() if seen is None else seen
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        yield from numbers(arguments[0], name, (*metadata, *arguments[1:]), seen)
    elif kind in (int, float):
        yield name, bounds(metadata)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind not in seen:
            seen.add(kind)
            for field, about in kind.model_fields.items():
                yield from numbers(about.annotation, f"{kind.__name__}.{field}", tuple(about.metadata), seen)
    elif origin is not typing.Literal:
        for part in arguments:
            yield from numbers(part, name, (), seen)


def all_models():
    yield Recipe
    for group in ("wsss.heads", "wsss.terms", "wsss.map_sources", "wsss.refiners"):
        yield from (point.load() for point in entry_points(group=group))
    for name in installed_adapters():
        adapter = find_adapter(name)
        yield adapter.Options
        yield adapter.Outputs


def test_every_number_has_a_least_and_a_largest_value():
    found = {name: ends for model in all_models() for name, ends in numbers(model, model.__name__)}
    assert len(found) > 60
    assert {name for name, ends in found.items() if ends != {"low", "high"}} <= UNBOUND


@pytest.mark.usefixtures("adapters")
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.registers=100000", "must be at most 256, got 100000"),
        ("train.batch_size=1e30", "train.batch_size=1e30: "),
        ("train.batch_size=100000000", "must be at most 65536"),
        ("train.epochs=1000000000", "must be at most 1"),
        ("train.lr=1e30", "must be at most"),
        ("pseudo_masks.scales=[1e30]", "must be at most 16"),
        ("pseudo_masks.scales=[1e-9]", "must be at least 0.0625"),
        ("model.image_size=100000", "must be at most 8192"),
        ("machine.workers=1000000", "must be at most 1024"),
        ("segmentation.classifier.width=1000000", "must be at most 8192"),
        ("segmentation.augment.scale=[1, 1e9]", "must be at most 16"),
        ("train.lr=.inf", "train.lr=.inf: "),
        ("model.gates.log_alpha=.nan", "must be at most 100"),
    ],
)
def test_what_no_machine_has_is_refused_with_the_bound(tmp_path, override, said):
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    with pytest.raises(RecipeErrors) as refused:
        load_recipe(recipe, [override])
    assert said in str(refused.value)


@pytest.mark.usefixtures("adapters")
def test_numbers_of_the_command_line_have_bounds_too(tmp_path):
    ranges = [option.type for option in pseudolabel_command.params if hasattr(option.type, "min")]
    assert len(ranges) >= 4 and all(kind.min is not None and kind.max is not None for kind in ranges)
    for name, value in (("window", 10**9), ("batch_size", 10**9), ("workers", 10**9), ("workers", 0)):
        with pytest.raises(UsageError, match=f"{name} is {value}; choose .* up to"):
            Request(("a.tif",), tmp_path, **{name: value})
