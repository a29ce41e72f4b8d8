"""Old spellings of recipes, accepted for one version: what they are called now.

Each function takes the plain values of a recipe as they were written, changes them in place and yields one line for
each key that has a new name.
"""

from collections.abc import Callable, Iterator
from typing import Any

Values = dict[Any, Any]


def upgrade(values: Values) -> list[str]:
    """Rewrite old spellings in the values of a recipe as YAML gives it, in place; return one line for each of them.

    >>> recipe = {"model": {"head": "concat"}}
    >>> upgrade(recipe), recipe
    (['model.head is now heads.class'], {'model': {}, 'heads': {'class': {'kind': 'concat'}}})
    """
    return [line for change in CHANGES for line in change(values)]


def _heads(values: Values) -> Iterator[str]:
    if "head" in (model := _given(values, "model")):
        _section(values, "heads")["class"] = {"kind": model.pop("head")}
        yield "model.head is now heads.class"


def _patch_classifier(values: Values) -> Iterator[str]:
    old = _given(values, "model").pop("patch_classifier", None)
    if not isinstance(old, dict):
        return
    yield "model.patch_classifier is now heads.patch, and objective.patch trains it"
    if not old.get("weight", 1.0 if "patch" in _given(values, "heads") else 0.0):
        for section in ("heads", "objective"):
            _given(values, section).pop("patch", None)
        return
    heads, terms = _section(values, "heads"), _terms(values)
    heads.setdefault("class", {"kind": "per_token"})
    sharpness = old.get("sharpness", 0.0)
    heads["patch"] = {"kind": "linear", **({"pool": "lse", "sharpness": sharpness} if sharpness else {})}
    after = {name: terms.pop(name) for name in ("open_gates", "map_diversity") if name in terms}
    terms["patch"] = {"kind": "presence", "head": "patch", "weight": old.get("weight", 1.0)}
    terms.update(after)


def _gates(values: Values) -> Iterator[str]:
    if "l0_weight" in (gates := _given(_given(values, "model"), "gates")):
        _terms(values)["open_gates"] = {"weight": gates.pop("l0_weight")}
        yield "model.gates.l0_weight is now objective.open_gates.weight"


def _diversity(values: Values) -> Iterator[str]:
    if "diversity_weight" in (model := _given(values, "model")):
        weight = model.pop("diversity_weight")
        yield "model.diversity_weight is now objective.map_diversity.weight"
        if weight:
            _terms(values)["map_diversity"] = {"weight": weight}


def _map_source(values: Values) -> Iterator[str]:
    masks = _given(values, "pseudo_masks")
    source = masks.get("source", "attention")
    if "layers" in masks and isinstance(source, str):
        layers = masks.pop("layers")
        yield "pseudo_masks.layers is now pseudo_masks.source.layers"
        reads = source in ("attention", "fused")
        source = masks["source"] = {"kind": source, **({"layers": layers} if reads else {})}
    elif "layers" in masks and isinstance(source, dict):  # an old key beside the new section, from --set
        masks["source"] = {**source, "layers": masks.pop("layers")}
        yield "pseudo_masks.layers is now pseudo_masks.source.layers"
    if source == "patch_classifier":
        masks["source"] = {"kind": "patch_scores"}
        yield "pseudo_masks.source: patch_classifier is now patch_scores"
    elif isinstance(source, dict) and source.get("kind") == "patch_classifier":
        source["kind"] = "patch_scores"
        yield "pseudo_masks.source: patch_classifier is now patch_scores"


def _refiners(values: Values) -> Iterator[str]:
    places = (("pseudo_masks", "affinity"), ("pseudo_masks", "pixel_adaptive"), ("segmentation", "pixel_adaptive"))
    for section, name in places:
        part = _given(values, section)
        old = part.get(name)
        if not isinstance(old, dict):
            continue
        del part[name]
        yield f"{section}.{name} is now {section}.refine.{name}"
        refine = _section(part, "refine")
        if old.get("iterations", 0):
            refine[name] = old
        else:
            refine.pop(name, None)


MOVED = {
    ("train", name): ("machine", name) for name in ("precision", "devices", "workers", "cache", "images_in_memory_mb")
}
"""Keys that stand elsewhere now: section and key, before and after."""


def _moved(values: Values) -> Iterator[str]:
    for (section, key), (target, name) in MOVED.items():
        before = _given(values, section)
        if key in before and isinstance(values.get(target, {}), dict):
            _section(values, target)[name] = before.pop(key)
            yield f"{section}.{key} is now {target}.{name}"


def _gone(values: Values) -> Iterator[str]:
    for name in ("confidence_weight", "ignore_share"):
        if _given(values, "segmentation").pop(name, 0):
            yield f"segmentation.{name} is gone: it was no gain where it was measured; it is not read"


def _given(values: Values, name: str) -> Values:
    """Return a section as it was written; an empty one of its own where there is none."""
    section = values.get(name)
    return section if isinstance(section, dict) else {}


def _section(values: Values, name: str) -> Values:
    """Return a section of a recipe, made where there is none."""
    if not isinstance(values.get(name), dict):
        values[name] = {}
    section: Values = values[name]
    return section


def _terms(values: Values) -> Values:
    """Return the recipe's objective, spelled out where the recipe leaves it to the defaults."""
    if not isinstance(values.get("objective"), dict):
        gated = _given(_given(values, "model"), "gates").get("enabled") is not False
        values["objective"] = {"presence": {}, **({"open_gates": {}} if gated else {})}
    terms: Values = values["objective"]
    return terms


CHANGES: tuple[Callable[[Values], Iterator[str]], ...] = (
    _heads, _patch_classifier, _gates, _diversity, _map_source, _refiners, _moved, _gone
)  # fmt: skip
