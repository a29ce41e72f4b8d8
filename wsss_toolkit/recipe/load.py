"""A YAML file becomes a `Recipe`, or one line per mistake, all mistakes of a file at once."""

import copy
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from wsss_toolkit.domain import AdapterOptions, find_adapter, installed_adapters
from wsss_toolkit.errors import DataError, UsageError, WsssError, did_you_mean
from wsss_toolkit.recipe.checks import check_recipe
from wsss_toolkit.recipe.data_checks import check_channels
from wsss_toolkit.recipe.document import Document, Key, KeyPath, Problem
from wsss_toolkit.recipe.home import with_home
from wsss_toolkit.recipe.messages import Finding, RecipeErrors, explain
from wsss_toolkit.recipe.plain_recipe import with_local_paths
from wsss_toolkit.recipe.schema import Recipe
from wsss_toolkit.recipe.upgrade import MOVED, upgrade
from wsss_toolkit.recipe.yaml_text import read_text

_PLAIN_TEXT = re.compile(r"[\w./~-]+")


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A valid recipe together with the places of its keys, for checks that come later."""

    recipe: Recipe
    document: Document
    """Where each of its values was written."""
    upgraded: tuple[str, ...] = ()
    """One line for each key that is called something else now."""

    def refuse(self, findings: Iterable[Finding]) -> None:
        """Raise `RecipeErrors` if there are findings: one line for each, with its position."""
        if lines := _lines(self.document, findings):
            raise RecipeErrors(lines)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Paths inside a recipe (`data.root`, `labels.tag_file`, `model.weights`, `segmentation.weights`) are taken
    relative to the current working directory, not to the recipe; `~` is the user's home folder.

    Args:
        path: A YAML file; `find_recipe` turns the name of a bundled one into its path.
        overrides: ``KEY=VALUE`` strings, such as ``train.epochs=5``; later ones win.

    Raises:
        RecipeErrors: If anything in it is wrong; every mistake is a line with file, line and column.
        UsageError: If the file cannot be read or is not YAML at all.
    """
    return open_recipe(path, overrides).recipe


def open_recipe(path: str | Path | Recipe, overrides: Sequence[str] = ()) -> RecipeFile:
    """Do what `load_recipe` does and keep the positions; a recipe that is loaded already can be changed so, too."""
    if isinstance(path, Recipe):
        document = Document(recipe_yaml(path), f"recipe {path.name}")
    else:
        document = Document(read_text(Path(path)), str(path), {new: old for old, new in MOVED.items()})
        with_local_paths(document.values, Path(path))
    upgraded = upgrade(document.values)
    for number, option in enumerate(overrides, start=1):
        document.override(number, option)
        upgraded += upgrade(document.values)  # what is said last holds, in either spelling
    values = copy.deepcopy(document.values)
    findings, options = _data_section(values)
    values["data"] = options or AdapterOptions(adapter="none")
    recipe, wrong = _validated(values)
    findings += wrong
    bad = [finding.path for finding in findings]
    if recipe is not None:
        findings += [finding for finding in _cross_field(recipe, options) if not _touches(finding, bad)]
    lines = _lines(document, findings)
    if lines or recipe is None:
        raise RecipeErrors(lines)
    return RecipeFile(recipe, document, tuple(dict.fromkeys(upgraded)))


def _data_section(values: dict[Key, Any]) -> tuple[list[Finding], AdapterOptions | None]:
    """Validate `data` with the options of the adapter that it names."""
    if "data" not in values:
        return [Finding(("data",), "missing key; say where the images come from", at_key=True)], None
    section, where = values["data"], ("data", "adapter")
    if not isinstance(section, dict) or "adapter" not in section:
        names = ", ".join(installed_adapters()) or "none are installed"
        return [Finding(where, f"missing key; choose from {names}", at_key=True)], None
    if not isinstance(name := section["adapter"], str):
        return [Finding(where, f"expected the name of an adapter, got {name!r}")], None
    try:
        adapter = find_adapter(name)
    except WsssError as error:
        return [Finding(where, str(error))], None
    try:
        return [], with_home(adapter.Options.model_validate(section))
    except ValidationError as error:
        return explain(error.errors(), section, adapter.Options, ("data",)), None


def _validated(values: dict[Key, Any]) -> tuple[Recipe | None, list[Finding]]:
    """Validate; where values are wrong, also try without them, so that the other checks can run."""
    findings: list[Finding] = []
    reported: set[KeyPath] = set()
    for _ in range(4):  # taking a wrong value out may bring a mistake of its section to light
        try:
            recipe = with_home(Recipe.model_validate(values))
        except ValidationError as error:
            wrong = explain(error.errors(), values, Recipe)
            # A section that lost a value to an earlier round may now lack it: that is not the user's mistake.
            findings += [new for new in wrong if not any(old[: len(new.path)] == new.path for old in reported)]
            reported |= {finding.path for finding in wrong}
            for finding in wrong:
                _take_out(values, finding.path)
            continue
        return recipe, findings + _booleans_as_numbers(values, recipe)
    return None, findings


def _take_out(values: dict[Key, Any], path: KeyPath) -> None:
    placeholders: dict[KeyPath, object] = {("name",): "unnamed", ("channels",): {"none": {"scale": "reflectance"}}}
    if path in placeholders:
        values[path[0]] = placeholders[path]
        return
    section: Any = values
    for key in path[:-1]:
        try:
            section = section[key]
        except (KeyError, IndexError, TypeError):
            return
    if path[0] == "channels" and path[-1] == "scale":
        section["scale"] = "reflectance"
        section.pop("statistics", None)
    elif isinstance(section, dict):
        section.pop(path[-1], None)
    elif isinstance(section, list) and path[:-1]:
        _take_out(values, path[:-1])


def _booleans_as_numbers(values: object, validated: object, path: KeyPath = ()) -> list[Finding]:
    """Find values `true` and `false` that pydantic took for the numbers 1 and 0."""
    if isinstance(values, bool) and isinstance(validated, int | float) and not isinstance(validated, bool):
        return [Finding(path, f"expected a number, got {str(values).lower()}")]
    found = []
    if isinstance(values, dict) and isinstance(validated, BaseModel | dict):
        for key, value in values.items():
            here = validated.get(key) if isinstance(validated, dict) else getattr(validated, str(key), None)
            found += _booleans_as_numbers(value, here, (*path, key))
    elif isinstance(values, list) and isinstance(validated, tuple):
        for index, (value, number) in enumerate(zip(values, validated, strict=False)):
            found += _booleans_as_numbers(value, number, (*path, index))
    return found


def _cross_field(recipe: Recipe, options: AdapterOptions | None) -> list[Finding]:
    findings = list(check_recipe(recipe))
    if options is None:
        return findings
    try:
        sensors = find_adapter(options.adapter)(options).sensors
    except DataError:
        return findings  # no data yet: whoever opens them reports that
    return findings + list(check_channels(recipe.channels, sensors, options.adapter))


def _touches(finding: Finding, bad: list[KeyPath]) -> bool:
    paths = (finding.path, *finding.reads)
    return any(old[: len(path)] == path or path[: len(old)] == old for path in paths for old in bad)


def _lines(document: Document, findings: Iterable[Finding]) -> list[str]:
    problems = list(document.problems)
    said = {problem.path for problem in problems if problem.path}
    for finding in (finding for finding in findings if finding.path not in said):
        place = document.key_place(finding.path) if finding.at_key else document.value_place(finding.path)
        message = finding.message + document.hint(finding.path) * _wanted_text(finding)
        problems.append(Problem(place, finding.path, message))
    return list(dict.fromkeys(str(problem) for problem in sorted(problems, key=lambda problem: problem.place)))


def _wanted_text(finding: Finding) -> bool:
    """Tell whether a value may have been meant as text; items of lists that are sections may be their name alone."""
    if finding.message.startswith("expected a section of keys, got "):
        return bool(finding.path) and isinstance(finding.path[-1], int)
    return bool(re.match(r"expected .*\b(text|a path)\b.*, got ", finding.message))


def bundled_recipes() -> dict[str, tuple[Path, str]]:
    """Return the recipes that come with the package: name -> (path, first comment line)."""
    package = Path(__file__).parents[1]
    folders = [package / "recipes"]
    # In a checkout the recipes lie beside the package; in site-packages a folder of that name is not ours.
    if (package.parent / "pyproject.toml").is_file():
        folders.append(package.parent / "recipes")
    found: dict[str, tuple[Path, str]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            name = path.relative_to(folder).with_suffix("").as_posix()
            with path.open(encoding="utf-8") as file:
                first = file.readline()
            found.setdefault(name, (path, first.removeprefix("#").strip() if first.startswith("#") else ""))
    return dict(sorted(found.items()))


def find_recipe(name_or_path: str | Path) -> Path:
    """Find a recipe: an existing file, or a bundled one by its name, such as ``paper/dfc2020``; refuse any other."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    bundled = bundled_recipes()
    if str(name_or_path) in bundled:
        return bundled[str(name_or_path)][0]
    if path.is_dir():
        read_text(path)  # raises: a folder
    hint = did_you_mean(name_or_path, bundled)
    raise UsageError(f"{str(name_or_path)!r} is neither a file nor a bundled recipe", fix=hint)


def override_texts(changes: Mapping[str, object] | Sequence[str]) -> tuple[str, ...]:
    """Return changes of a recipe, by dotted key or as texts already, as ``KEY=VALUE`` texts for `load_recipe`.

    Raises:
        UsageError: If `changes` is one text, which is easily mistaken for a list of one.

    >>> override_texts({"train.epochs": 5, "pseudo_masks.scales": [1, 1.5], "segmentation": None})
    ('train.epochs=5', 'pseudo_masks.scales=[1, 1.5]', 'segmentation=null')
    >>> override_texts({"pseudo_masks.assign": "argmax", "name": "5"})
    ('pseudo_masks.assign=argmax', 'name="5"')
    """
    if isinstance(changes, str):
        raise UsageError(f"expected a mapping or a list, got {changes!r}", fix="e.g. set={'train.epochs': 5}")
    if isinstance(changes, Mapping):
        return tuple(f"{key}={value_text(value)}" for key, value in changes.items())
    return tuple(changes)


def value_text(value: object) -> str:
    """Return a plain value as YAML on one line; text that YAML would read as something else gets quotes."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    if hasattr(value, "item"):  # a number of numpy
        return value.item()
    raise UsageError(f"{value!r} is no value of a recipe", fix="recipes hold text, numbers, lists and sections")


def section_json(section: BaseModel) -> str:
    """Return a section as canonical JSON, every value spelled out; keys are not sorted: the order of sensors counts."""
    return json.dumps(section.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))


def recipe_yaml(recipe: Recipe) -> str:
    """Return a recipe as YAML with every value spelled out; `load_recipe` reads it back as the same recipe."""
    values = recipe.model_dump(mode="json")
    if recipe.segmentation is None and "segmentation" not in recipe.evaluation.model_fields_set:
        del values["evaluation"]["segmentation"]  # a default for recipes with a network; written out it is a mistake
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)


def recipe_digest(section: BaseModel) -> str:
    """Return the SHA-256 of a recipe's, or a section's, canonical JSON, in hexadecimal."""
    return hashlib.sha256(section_json(section).encode()).hexdigest()
