"""A recipe: all of a run in one YAML file, checked whole before any model is loaded."""

from pathlib import Path

import yaml
from pydantic import model_validator

from tutelage.encode.precision import PrecisionChoice
from tutelage.train.recipe.data import DataRecipe, GuideRecipe, ModelRecipe, SamplingRecipe
from tutelage.train.recipe.fit import LossRecipe, TrainingRecipe
from tutelage.train.recipe.judge import EvaluateRecipe
from tutelage.train.recipe.record import Record


class Recipe(Record):
    """All of a run."""

    name: str = "run"  # in reports and tables
    output: Path  # folder of everything that the run writes
    model: ModelRecipe = ModelRecipe()
    guide: GuideRecipe = GuideRecipe()
    data: DataRecipe
    sampling: SamplingRecipe = SamplingRecipe()
    loss: LossRecipe = LossRecipe()
    training: TrainingRecipe = TrainingRecipe()
    evaluate: EvaluateRecipe

    @model_validator(mode="after")
    def _weighted(self) -> "Recipe":
        unweighted = [name for name, source in self.data.sets.items() if source.weight is None]
        if self.sampling.mix == "weights" and unweighted:
            raise ValueError(f"sampling.mix is weights, and '{unweighted[0]}' has none. Set its weight in data.train")
        if self.sampling.mix != "weights" and (idle := self.data.sets.keys() - unweighted):
            raise ValueError(f"'{min(idle)}' has a weight, and sampling.mix is {self.sampling.mix}. Set it to weights")
        return self

    @model_validator(mode="after")
    def _best_measured(self) -> "Recipe":
        every, save = self.training.evaluate_every, self.training.save_every
        if self.evaluate.best is not None and not every:
            raise ValueError("evaluate.best needs evaluations on the way. Set training.evaluate_every")
        if self.evaluate.best is not None and save not in (None, every):
            raise ValueError(f"evaluate.best: save_every is {save}; what is evaluated must be kept. Leave it out")
        return self

    def of_set(self, name: str) -> "Recipe":
        """The recipe as it holds for one of its sets: that set's own batch size, temperature and margin."""
        source = self.data.sets.get(name)

        def own(section: Record, *keys: str) -> Record:
            given = {key: value for key in keys if (value := getattr(source, key, None)) is not None}
            return section.model_copy(update=given)

        return self.model_copy(
            update={"loss": own(self.loss, "temperature", "margin"), "sampling": own(self.sampling, "batch_size")}
        )

    def in_precision(self, precision: PrecisionChoice) -> "Recipe":
        """The same in another precision."""
        return self.model_copy(update={"training": self.training.model_copy(update={"precision": precision})})

    def to_yaml(self) -> str:
        """The resolved recipe, every default spelled out; loading it gives the same recipe."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
