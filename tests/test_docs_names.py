"""What the documentation names exists: keys of recipes, those in its YAML included, places in the code, and links."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from wsss_toolkit.domain import find_adapter, installed_adapters
from wsss_toolkit.recipe.messages import models_in
from wsss_toolkit.recipe.parts import GROUPS, Part, find_part, installed_parts
from wsss_toolkit.recipe.schema import Recipe

REPOSITORY = Path(__file__).parents[1]
PAGES = [
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *(
        REPOSITORY / name
        for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGES.md", "benchmarks/README.md")
    ),
]
SECTIONS = [name for name, field in Recipe.model_fields.items() if models_in(field.annotation)]

KEY = re.compile(rf"(?<![\w./-])(?:{'|'.join(SECTIONS)})(?:\.[A-Za-z_]\w*)+")
"""A dotted name that begins with a section of the recipe."""

SHORT = re.compile(r"(?<![\w./-])([a-z_]+(?:\.[a-z_]+)+)=")
"""A dotted name that gets a value; tables of trials.md leave the section out."""

NO_KEYS = re.compile(
    r"\w+\.(?:(?:train|val|test|SPLIT)\b.*|safetensors|csv|json|yaml|md|py|txt)"  # figures by split, names of files
    r"|labels\.(?:warnings|provenance|splits\..*)"  # keys of report.json
    r"|(?:segmentation|pseudo_masks)\.KEY|channels\.SENSOR\b.*"  # words that stand for a key
    r"|model\.(?:depht|patch_sise)"  # slips, shown with what is said of them
    r"|segmentation\.confidence_weight"  # gone: decisions.md says why
    r"|heads\.patch\.share"  # of the part that add-a-method.md makes
)
"""What looks like a key and is none."""

pytestmark = pytest.mark.usefixtures("adapters")


def below(model, name):
    """Return the models that the value of a key can be, or the group of its parts; None where no such key is known."""
    field = model.model_fields.get(name)
    if field is None:
        extra = model.__annotations__.get("__pydantic_extra__")
        return models_in(extra) if extra else None
    found = models_in(field.annotation)
    return [GROUPS[name]] if Part in found else found


def exists(key):
    """Say whether a recipe may have a dotted key, options of parts and of installed adapters included."""
    section, *names = key.split(".")
    if section == "data" and names:  # what lies deeper, adapters name by themselves
        return any(names[0] in find_adapter(adapter).Options.model_fields for adapter in installed_adapters())
    return has([Recipe], [section, *names])


def has(models, names):
    """Say whether one of some models, or of the parts of a group, has a nested key."""
    if not names:
        return True
    name, *rest = names
    for found in models:
        if isinstance(found, str):
            kinds = installed_parts(found)
            if found != "map_sources":  # each has a name first, which may be its kind
                kinds, names = ([name] if name in kinds else kinds), rest
            if has([find_part(found, kind) for kind in kinds], names):
                return True
        elif (inner := below(found, name)) is not None and (not rest or has(inner, rest)):
            return True
    return False


def written(page):
    """Return the keys that a page names, with those of its YAML."""
    text = page.read_text(encoding="utf-8")
    found = set(KEY.findall(text))
    for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        values = yaml.safe_load(block)
        found |= {key for key in dotted(values) if key.split(".")[0] in Recipe.model_fields}
    return {key for key in found if not NO_KEYS.fullmatch(key)}


def dotted(values, prefix=""):
    """Return the dotted names of all keys of nested sections."""
    for name, value in values.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{name}.")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_key_that_a_page_names_exists(page):
    unknown = sorted(key for key in written(page) if not exists(key))
    assert not unknown, f"{page.name} names keys that no recipe has"


def test_keys_without_their_section_exist_below_one():
    for key in SHORT.findall((REPOSITORY / "docs" / "trials.md").read_text(encoding="utf-8")):
        places = (key, f"pseudo_masks.{key}", f"segmentation.{key}")
        assert any(map(exists, places)) or NO_KEYS.fullmatch(key), key


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("model.gates.lr", True),
        ("model.head", False),
        ("train.workers", False),
        ("machine.workers", True),
        ("channels.sentinel1.scale", True),
        ("channels.sentinel1.scal", False),
        ("heads.patch.sharpness", True),
        ("heads.per_token.sharpness", False),
        ("objective.open_gates.weight", True),
        ("pseudo_masks.source.layers", True),
        ("pseudo_masks.layers", False),
        ("pseudo_masks.refine.affinity.power", True),
        ("pseudo_masks.refine.pixel_adaptive.power", False),
        ("segmentation.refine.pixel_adaptive.iterations", True),
        ("data.crop", True),
        ("data.crp", False),
    ],
)
def test_old_names_and_slips_are_found(key, known):
    assert exists(key) is known


def places(text):
    """Return the places in the code that a page names: files, and what is said to be defined in them."""
    for file, names in re.findall(r"`((?:\w+/)+\w+\.py)(?:: ([\w.]+))?`", text):
        roots = (REPOSITORY, REPOSITORY / "wsss_toolkit", REPOSITORY / "adapters" / "wsss_adapters")
        yield next((root / file for root in roots if (root / file).is_file()), Path(file)), names


def defined(body, names):
    """Say whether nested definitions or assignments of these names are in a body of Python."""
    if not names:
        return True
    for node in body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        found = {getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)}
        if names[0] in found:
            return defined(getattr(node, "body", []), names[1:])
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_functions_that_a_page_names_exist(page):
    for file, names in places(page.read_text(encoding="utf-8")):
        assert file.is_file(), f"{page.name} names {file}"
        if names:
            assert defined(ast.parse(file.read_text()).body, names.split(".")), f"{page.name} names {file}: {names}"


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"
