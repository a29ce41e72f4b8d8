"""The methods that `wsss compare` puts side by side, each as values of the same recipe: docs/experiments.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from wsss_toolkit.errors import UsageError, did_you_mean
from wsss_toolkit.experiments.cells import Row, Supervised, shorten
from wsss_toolkit.recipe import Recipe, RecipeErrors
from wsss_toolkit.recipe.checks import backbone_shape, check_recipe
from wsss_toolkit.recipe.messages import explain

KEPT = {
    "model": ("backbone", "weights", "image_size", "patch_size", "depth", "fit"),
    "pseudo_masks": ("splits", "classes", "confidence", "window", "window_overlap"),
}
"""What every method has from the recipe in these sections; the rest begins at the schema's defaults. The other sections
are the recipe's own: the same data, labels, epochs, steps, learning rates, augmentation and segmentation network."""

KEPT_WITH_BACKGROUND = ("background", "threshold", "residual")
"""Also kept of `pseudo_masks` in domains with a background, where they decide which pixels belong to it."""

PAPER: Mapping[str, object] = {
    "model.registers": 1,
    "model.attention": "joint",
    "model.token_masking": 0.5,
    "model.class_tokens.enter_at": 0,
    "model.class_tokens.shared": False,
    "model.gates.enabled": True,
    "heads": {"class": {"kind": "concat"}},
    "objective": {"presence": {}, "open_gates": {"weight": 0.01}},
    "train.freeze_below": 0,
    "pseudo_masks.source": {"kind": "attention", "layers": "all"},
    "pseudo_masks.assign": "paint",
    "pseudo_masks.fill": "majority",
}
"""Hanna & Borth (ICCV 2025), sections 1 to 3 of docs/method.md."""

ONE_TOKEN: Mapping[str, object] = {"model.class_tokens.shared": True, "model.token_masking": 0.0}


@dataclass(frozen=True, slots=True)
class Method:
    """What a method sets."""

    about: str
    """One line for people."""
    values: Mapping[str, object] | None = None
    """Recipe values by dotted key; None takes the recipe as it is."""
    supervised: Supervised | None = None
    """How it learns from ground-truth masks; None for methods that see image-level labels only."""


METHODS: Mapping[str, Method] = {
    "ours": Method("the recipe as it is"),
    "paper": Method("class tokens with token masking, gates and a register; attention of all layers, painted", PAPER),
    "sparse_vit": Method("one class token and gates, else as the paper", {**PAPER, **ONE_TOKEN}),
    "mctformer": Method(
        "MCTformer (Xu et al., CVPR 2022): mean-pooled class tokens, a patch classifier, fused maps, patch affinity",
        {
            **PAPER,
            "model.registers": 0,
            "heads": {"class": {"kind": "mean"}, "patch": {"kind": "linear"}},
            "objective": {"presence": {}, "patch": {"kind": "presence", "head": "patch"}},
            "model.token_masking": 0.0,
            "model.gates.enabled": False,
            "pseudo_masks.source": {"kind": "fused", "layers": 3},
            "pseudo_masks.assign": "argmax",
            "pseudo_masks.normalize": "max",
            "pseudo_masks.refine": {"affinity": {"iterations": 1, "power": 1.0}},
        },
    ),
    "gradcam": Method(
        "a plain Vision Transformer with Grad-CAM of its last block (MONAI's)",
        {
            **PAPER,
            **ONE_TOKEN,
            "model.registers": 0,
            "model.gates.enabled": False,
            "objective": {"presence": {}},
            "pseudo_masks.source": {"kind": "gradcam"},
        },
    ),
    "supervised_unet": Method(
        "the recipe's segmentation network, trained on ground-truth masks", supervised="supervised_unet"
    ),
    "supervised_head": Method(
        "a head on tokens of the recipe's untrained backbone, frozen, trained on ground-truth masks",
        supervised="supervised_head",
    ),
    "supervised_vit": Method(
        "the recipe's Vision Transformer with a linear head on its patches, trained on ground-truth masks",
        supervised="supervised_vit",
    ),
}
"""Every method in the order of the table."""


def choose_methods(text: str, option: str = "--methods") -> tuple[str, ...]:
    """Return the methods of a comma-separated list, in its order; messages call it by the option.

    Raises:
        UsageError: If a name is unknown or given twice, or there is none.
    """
    names = [name.strip().replace("-", "_") for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"{option} names no method", fix=f"choose from {', '.join(METHODS)}")
    for index, name in enumerate(names):
        if name not in METHODS:
            raise UsageError(f"there is no method {name!r}", fix=did_you_mean(name, METHODS))
        if name in names[:index]:
            raise UsageError(f"{option} names {name!r} twice", fix="leave one out")
    return tuple(names)


def shown_recipe(recipe: Recipe, text: str) -> tuple[str, Recipe]:
    """Return the name of the method that `--show` asks for, and its recipe as one for `wsss run`.

    It has a name of its own: under the recipe's, its run would set the results of the recipe's run aside.

    Raises:
        UsageError: If not exactly one method is named, or one that is no recipe.
        RecipeErrors: If the method's values do not go with the recipe.
    """
    names = choose_methods(text, "--show")
    if len(names) > 1:
        raise UsageError(f"--show prints one recipe, and {', '.join(names)} are {len(names)}", fix="name one method")
    (name,) = names
    if METHODS[name].supervised is not None:
        what = f"{name} is no recipe: it learns from ground-truth masks, and a run of a recipe never does"
        raise UsageError(what, fix=f"carry it out with wsss compare --methods {name}")
    made = method_recipe(recipe, name)
    change = {} if METHODS[name].values is None else {"name": shorten(f"{recipe.name}-{name}")}
    return name, made.model_copy(update=change)


def method_rows(recipe: Recipe, names: Sequence[str]) -> list[Row]:
    """Return one row per method."""
    return [Row(name, {"method": name}, method_recipe(recipe, name), METHODS[name].supervised) for name in names]


def method_recipe(recipe: Recipe, name: str) -> Recipe:
    """Return the recipe of one of `METHODS`, from the recipe that they are compared on.

    Supervised methods and `ours` take the recipe as it is; what the supervised ones read of it is said in `supervised`.

    Raises:
        RecipeErrors: If the method's values do not go with the recipe.
        UsageError: If the method trains what the recipe leaves untrained.
    """
    method = METHODS[name]
    if recipe.train is None and (method.values is not None or method.supervised == "supervised_vit"):
        raise UsageError(
            f"method {name} trains a Vision Transformer, and this recipe says train: null",
            where=recipe.name,
            fix="give it a section `train`, whose budget the methods share, or leave the method out",
        )
    values = method.values
    if values is None:
        return recipe
    sections: dict[str, Any] = {
        key: value.model_dump() if isinstance(value, BaseModel) else value for key, value in recipe if key != "data"
    }
    for section, kept in KEPT.items():
        with_background = section == "pseudo_masks" and recipe.pseudo_masks.background != "none"
        names = (*kept, *KEPT_WITH_BACKGROUND) if with_background else kept
        sections[section] = {key: value for key, value in sections[section].items() if key in names}
    if recipe.consensus is not None:  # which no other method has; its maps alone are probabilities
        sections["consensus"] = None
        del sections["pseudo_masks"]["residual"]
    # How a gate starts and learns is no part of a method's definition.
    sections["model"]["gates"] = {"log_alpha": recipe.model.gates.log_alpha, "lr": recipe.model.gates.lr}
    for dotted, value in values.items():
        *parents, last = dotted.split(".")
        section_values = sections
        for parent in parents:
            section_values = section_values.setdefault(parent, {})
        section_values[last] = value
    source, depth = sections["pseudo_masks"]["source"], recipe.model.depth or backbone_shape(recipe.model.backbone)[1]
    if isinstance(source.get("layers"), int):  # the last 3 of a model of 2 blocks are these 2
        sections["pseudo_masks"]["source"] = {**source, "layers": min(source["layers"], depth)}
    if sections["segmentation"] is not None and "patch" not in sections["heads"]:
        sections["segmentation"]["classifier"]["patch_scores"] = False  # this method has none
    return _validated(recipe, sections, name)


def _validated(recipe: Recipe, sections: Mapping[str, Any], name: str) -> Recipe:
    try:
        made = Recipe.model_validate({**sections, "data": recipe.data})
    except ValidationError as error:
        findings = explain(error.errors(), dict(sections), Recipe)
    else:
        findings = list(check_recipe(made))
        if not findings:
            return made
    method = f"method {name} of {recipe.name}"
    raise RecipeErrors([f"{method}: {'.'.join(map(str, found.path))}: {found.message}" for found in findings])
