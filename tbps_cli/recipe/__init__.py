"""What a training, a generation or a fitting is, as YAML.

A recipe is complete in itself. A YAML key is a field of a section and a keyword of the class
that is built from it; nothing else sets them. Nothing here knows torch: recipes are checked
before anything heavy is imported.
"""

from __future__ import annotations

from tbps_cli.recipe.fitting import FitRecipe
from tbps_cli.recipe.generation import GenerationRecipe
from tbps_cli.recipe.model import Model
from tbps_cli.recipe.reading import (
    dump_model,
    dump_recipe,
    load_fit_recipe,
    load_generation_recipe,
    load_recipe,
    parse_fit_recipe,
    parse_generation_recipe,
    parse_model,
    parse_recipe,
)
from tbps_cli.recipe.sections import Recipe
from tbps_cli.recipe.shipped import copy_recipe, describe_recipes, find_recipe, shipped_recipes

__all__ = [
    "FitRecipe",
    "GenerationRecipe",
    "Model",
    "Recipe",
    "copy_recipe",
    "describe_recipes",
    "dump_model",
    "dump_recipe",
    "find_recipe",
    "load_fit_recipe",
    "load_generation_recipe",
    "load_recipe",
    "parse_fit_recipe",
    "parse_generation_recipe",
    "parse_model",
    "parse_recipe",
    "shipped_recipes",
]
