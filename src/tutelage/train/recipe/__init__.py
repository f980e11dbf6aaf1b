"""Recipes: typed records of a run, and the YAML files that hold them."""

from tutelage.train.recipe.data import DataRecipe, GuideRecipe, ModelRecipe, SamplingRecipe, TrainSource
from tutelage.train.recipe.file import SHIPPED, load_recipe, shipped
from tutelage.train.recipe.fit import LossRecipe, TrainingRecipe
from tutelage.train.recipe.judge import BestRecipe, EvaluateRecipe, TripletSource
from tutelage.train.recipe.whole import Recipe

__all__ = [
    "SHIPPED", "BestRecipe", "DataRecipe", "EvaluateRecipe", "GuideRecipe", "LossRecipe", "ModelRecipe", "Recipe",
    "SamplingRecipe", "TrainSource", "TrainingRecipe", "TripletSource", "load_recipe", "shipped",
]  # fmt: skip
