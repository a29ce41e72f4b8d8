"""The recipe's own description: JSON Schema for editors and the reference page in docs/recipe.md."""

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wsss_toolkit.domain import Changes, find_adapter, installed_adapters
from wsss_toolkit.domain.fingerprint import changes
from wsss_toolkit.errors import WsssError
from wsss_toolkit.recipe.messages import model_at, models_in
from wsss_toolkit.recipe.parts import GROUPS, Group, Part, find_part, installed_parts
from wsss_toolkit.recipe.schema import Recipe


def recipe_schema() -> tuple[dict[str, Any], list[str]]:
    """Return the JSON Schema of recipes, its `data` being one of the installed adapters' options.

    With it comes one sentence per adapter that could not be loaded and is left out.
    """
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema.setdefault("$defs", {})
    left_out: list[str] = []
    choices: list[dict[str, str]] = []
    for name in installed_adapters():
        try:
            options = find_adapter(name).Options
        except WsssError as error:
            left_out.append(str(error))
            continue
        # Two adapters may call different parts by the same name: each gets its own prefix.
        section = options.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        for part, definition in section.pop("$defs", {}).items():
            definitions[f"{name}.{part}"] = definition
        section["properties"]["adapter"] = {"const": name}
        definitions[f"data.{name}"] = section
        choices.append({"$ref": f"#/$defs/data.{name}"})
    if choices:
        schema["properties"]["data"] = {"oneOf": choices}
    for section, key, single in (
        (schema, "heads", False), (schema, "objective", False), (definitions["PseudoMasks"], "source", True),
        (definitions["Consensus"], "seeds", True),
        (definitions["PseudoMasks"], "refine", False), (definitions["Segmentation"], "refine", False),
    ):  # fmt: skip
        described = section["properties"][key]
        one = {"oneOf": _choices(GROUPS[key], definitions)}
        for word in ("$ref", "patternProperties", "minLength"):  # of the base class alone, and of texts
            described.pop(word, None)
        described.update(one if single else {"type": "object", "additionalProperties": one})
    return schema, left_out


def _choices(group: Group, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a part may be: its kind alone, or options by kind, which are added to the definitions.

    Options without `kind` are not looked into: what they are depends on the part's name, or on a default.
    """
    kinds = list(installed_parts(group))
    for kind in kinds:
        section = find_part(group, kind).model_json_schema()
        section["properties"]["kind"] = {"const": kind}
        section["required"] = ["kind"]
        definitions[f"{group}.{kind}"] = section
    by_name = {"type": "object", "not": {"required": ["kind"]}}
    return [{"enum": kinds}, *({"$ref": f"#/$defs/{group}.{kind}"} for kind in kinds), by_name]


_HEAD = """# Recipe reference

<!-- Generated from wsss_toolkit/recipe/schema.py; renew it: wsss schema --markdown > docs/recipe.md -->

A recipe is one YAML file that says everything about a run. Unknown keys are refused, and all mistakes
of a file are reported at once, each as `file:line:column key: what is wrong`. `wsss check RECIPE` reads what
a run would read and trains nothing, `wsss check --upgrade RECIPE` rewrites old spellings, and `--set key=value`
changes a value on the command line, for example `--set train.epochs=5`.

A changed value makes anew what it changes, everything after its stage unless its line says otherwise. Files count by
their content, wherever they lie.

Paths in a recipe are relative to the current working directory. `wsss schema` prints a JSON Schema for
editors, the options of all installed adapters included.
"""


FIRST = (
    "name", "data",
    "channels", "channels.SENSOR.bands", "channels.SENSOR.scale",
    "labels", "labels.source", "labels.min_coverage", "labels.tag_file",
    "model", "model.backbone", "model.weights", "model.image_size", "model.fit",
    "train", "train.epochs", "train.batch_size", "train.lr",
    "pseudo_masks", "pseudo_masks.classes", "pseudo_masks.source", "pseudo_masks.background", "pseudo_masks.refine",
    "segmentation", "segmentation.encoder", "segmentation.epochs", "segmentation.crop_size",
    "evaluation.segmentation", "export.splits", "machine.workers",
)  # fmt: skip
"""The keys that most recipes set, after their sections; the page begins with them."""

_FIRST = """
## The keys to begin with

Most recipes set some of these and leave the rest as it is. What `data` takes is on the page of each kind of data:
[satellite images](remote-sensing.md), [endoscopy](endoscopy.md), [natural images](natural-images.md),
[your own pictures](your-own-pictures.md).

| Key | Meaning |
|---|---|
"""


def recipe_markdown() -> str:
    """Return the reference page: the keys to begin with, then one table of keys per section."""
    first = [f"| `{key}` | {_cell(_meaning(key))} |\n" for key in FIRST]
    return "".join([_HEAD, _FIRST, *first, *_section("Recipe", Recipe, "", Changes.EVERYTHING)])


def _meaning(key: str) -> str:
    """Return what the schema says of a key."""
    *section, name = key.split(".")
    model = model_at(Recipe, tuple(section))
    if model is None:
        raise KeyError(key)
    return _description(model.model_fields[name])


def _description(field: FieldInfo) -> str:
    below = models_in(field.annotation)
    return field.description or (_first_line(below[0]) if below else "")


_EFFECT = {
    Changes.NOTHING: " Makes nothing stale.",
    Changes.PREDICTIONS: " Makes predicted masks stale, not the network.",
}


def _section(title: str, model: type[BaseModel], prefix: str, around: Changes) -> list[str]:
    properties = model.model_json_schema()
    rows = []
    inner: list[str] = []
    for name, field in model.model_fields.items():
        below = models_in(field.annotation)
        dotted = f"{prefix}{name}"
        effect = changes(field, around)
        description = _description(field)
        if Part in below:
            many = "part" if name in ("source", "seeds") else "parts by name"
            rows.append(f"| `{dotted}` | {many} | see below | {_cell(description)} |")
            if dotted not in ("segmentation.refine", "consensus.seeds"):  # the same as those of pseudo-masks
                inner += _part_sections(GROUPS[name], dotted)
            continue
        kind = _kind(properties["properties"][name])
        default = "required" if field.is_required() else _default(field.default)
        rows.append(f"| `{dotted}` | {kind} | {default} | {_cell(description)}{_EFFECT.get(effect, '')} |")
        for found in below if dotted != "data" else ():  # whose options depend on the adapter
            inner += _section(dotted, found, f"{dotted}.", effect)
    if model.model_config.get("extra") == "allow":
        for found in models_in(model.__annotations__["__pydantic_extra__"]):
            rows.append(f"| `{prefix}SENSOR` | section | at least one | {_first_line(found)} |")
            inner += _section(f"{prefix}SENSOR", found, f"{prefix}SENSOR.", around)
    head = f"\n## {title}\n\n{_first_line(model)}\n\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n"
    return [head + "\n".join(rows) + "\n", *inner]


def _part_sections(group: Group, dotted: str) -> list[str]:
    """Return a table of options for each kind of part."""
    found = [f"\n## {dotted}\n\nA part is its kind alone or a section with `kind` and its options"]
    found.append(".\n" if group == "map_sources" else "; without `kind`, its name is its kind.\n")
    for kind in installed_parts(group):
        part = find_part(group, kind)
        properties = part.model_json_schema()["properties"]
        rows = [
            f"| `{name}` | {_kind(properties[name])} | {_default(field.default)} | {_cell(field.description or '')} |"
            for name, field in part.model_fields.items()
            if name != "kind"
        ]
        table = ["", "| Key | Value | Default | Meaning |", "|---|---|---|---|", *rows] if rows else []
        found.append("\n".join([f"\n### `kind: {kind}`\n", _first_line(part), *table]) + "\n")
    return found


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").splitlines()[0]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(value: object) -> str:
    if isinstance(value, BaseModel):
        return "see below"
    if value is None:
        return "`null`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _kind(schema: dict[str, Any]) -> str:
    """Describe a property of a JSON Schema in words, with its limits."""
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    if "$ref" in schema or "allOf" in schema:
        return "section"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    kind = schema.get("type", "value")
    if kind == "array":
        item = _kind(schema["items"]) if "items" in schema else "value"
        return f"list of {item}"
    words = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`", "string": "text"}
    limits = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[name]:.12g}" for name, sign in limits.items() if name in schema]
    return " ".join([words.get(kind, kind), ", ".join(bounds)]).strip()
