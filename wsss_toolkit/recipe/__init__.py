"""The recipe: one YAML file that says everything about a run."""

from wsss_toolkit.recipe.data_checks import adapter_findings, check_against_adapter, select_channels
from wsss_toolkit.recipe.load import (
    bundled_recipes,
    find_recipe,
    load_recipe,
    open_recipe,
    override_texts,
    recipe_digest,
    recipe_yaml,
    section_json,
    value_text,
)
from wsss_toolkit.recipe.messages import Finding, RecipeErrors
from wsss_toolkit.recipe.schema import Recipe

__all__ = [
    "Finding", "Recipe", "RecipeErrors", "adapter_findings", "bundled_recipes", "check_against_adapter", "find_recipe",
    "load_recipe", "open_recipe", "override_texts", "recipe_digest", "recipe_yaml", "section_json", "select_channels",
    "value_text",
]  # fmt: skip
