"""Digests hold only what differs from the defaults, so a changed default has to raise the stage's revision.

`defaults.json` has the defaults of every stage beside its revision. Renew it: ``python tests/runs/test_defaults.py``.
"""

import json
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from wsss_toolkit.domain import Changes, find_adapter, installed_adapters
from wsss_toolkit.domain.fingerprint import changes
from wsss_toolkit.recipe.messages import models_in
from wsss_toolkit.recipe.parts import Part, find_part, installed_parts
from wsss_toolkit.recipe.schema import Recipe
from wsss_toolkit.runs.pipeline import MODEL, REVISIONS

TABLE = Path(__file__).with_name("defaults.json")
ADAPTERS = ("ade20k", "coco", "dfc2020", "folder", "hyperkvasir", "sentinel", "synthetic", "voc")


def defaults(model, prefix, counts, around=Changes.EVERYTHING, usual=None):
    """Return the default of every key that counts, by its dotted name."""
    found = {}
    for name, key in model.model_fields.items():
        effect, dotted = changes(key, around), f"{prefix}.{name}"
        if usual is None and key.is_required():
            value = None
        else:
            value = key.get_default(call_default_factory=True) if usual is None else getattr(usual, name)
            if effect in counts and (isinstance(value, Part) or not isinstance(value, BaseModel)):
                found[dotted] = to_jsonable_python(value)
        for below in (model for model in models_in(key.annotation) if model is not Part):
            found |= defaults(below, dotted, counts, effect, value if type(value) is below else None)
    if model.model_config.get("extra") == "allow":
        for below in models_in(model.__annotations__["__pydantic_extra__"]):
            found |= defaults(below, f"{prefix}.*", counts, around)
    return found


def sections(*names, counts=frozenset({Changes.EVERYTHING, Changes.CONTENT})):
    found = {}
    for name in names:
        [model] = models_in(Recipe.model_fields[name].annotation)
        usual = Recipe.model_fields[name].get_default(call_default_factory=True)
        if model is Part:
            found[name] = to_jsonable_python(usual)
            continue
        found |= defaults(model, name, counts, usual=usual if type(usual) is model else None)
    return found


def parts(*groups):
    """Return the defaults of the options of every part."""
    found = {}
    for group in groups:
        for kind in installed_parts(group):
            found |= defaults(find_part(group, kind), f"{group}.{kind}", {Changes.EVERYTHING})
    return found


def table():
    """Return the revision and the defaults of every stage as they are now."""
    predictions = sections("segmentation", counts=frozenset({Changes.PREDICTIONS}))
    data = {}
    for name in ADAPTERS:
        data |= defaults(find_adapter(name).Options, f"data ({name})", {Changes.EVERYTHING, Changes.CONTENT})
    found = {
        "labels": {**data, **sections("labels")},
        "train": {**sections(*MODEL, "train"), **parts("heads", "terms")},
        "pseudo_masks": {**sections("pseudo_masks"), **parts("map_sources", "refiners")},
        "segmentation": sections("segmentation"),
        "evaluation": {**predictions, **sections("evaluation")},
        "export": {**predictions, **sections("export")},
    }
    return {stage: {"revision": REVISIONS[stage], "defaults": values} for stage, values in found.items()}


def complaints(pinned, now):
    """Return a sentence for every stage whose defaults changed without a new revision, or that the table lacks."""
    for stage, then in pinned.items():
        before, values = then["defaults"], now[stage]["defaults"]
        changed = [key for key in values if key in before and before[key] != values[key]]
        if changed and now[stage]["revision"] == then["revision"]:
            yield f"the default of {changed[0]} changed: raise pipeline.REVISIONS[{stage!r}], then renew the table"
        elif changed or before.keys() != values.keys() or now[stage]["revision"] != then["revision"]:
            yield f"the defaults of {stage} are not those in the table: renew it, python {__file__}"


def test_changed_defaults_raise_the_revision(adapters):
    assert set(ADAPTERS) == set(installed_adapters()) - {"fake"}
    assert not list(complaints(json.loads(TABLE.read_text()), table()))


def test_the_table_has_what_changes_results_only(adapters):
    found = {stage: values["defaults"] for stage, values in table().items()}
    assert "segmentation.refine" in found["evaluation"].keys() & found["export"].keys()
    assert "segmentation.refine" not in found["segmentation"]
    assert found["train"]["objective"]["open_gates"]["weight"] == 0.01 and found["train"]["heads.linear.pool"] == "mean"
    assert found["pseudo_masks"]["refiners.affinity.power"] == 2.0
    assert found["train"]["channels.*.bands"] == "all" and found["train"]["train.augment.rotate90"] is False
    assert found["labels"]["data (folder).splits.fractions"] == {"train": 0.7, "val": 0.15, "test": 0.15}
    assert not [key for values in found.values() for key in values if "machine" in key or key.endswith(".root")]


def test_a_changed_default_is_noticed():
    def stage(revision, **values):
        return {"train": {"revision": revision, "defaults": values}}

    assert not list(complaints(stage(1, a=1), stage(1, a=1)))
    for now, message in (
        (stage(1, a=2), "the default of a changed: raise"),
        (stage(2, a=2), "renew it"),
        (stage(2, a=1), "renew it"),
        (stage(1, a=1, b=2), "renew it"),
        (stage(1), "renew it"),
    ):
        [said] = complaints(stage(1, a=1), now)
        assert message in said


if __name__ == "__main__":
    from wsss_toolkit.files import write_json

    write_json(TABLE, table())
