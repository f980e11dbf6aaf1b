"""Of a recipe: what the model is judged by, before and after."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from tutelage.evaluate.metrics import DEFAULT_METRICS, parse
from tutelage.records.judged import plain_name
from tutelage.train.recipe.record import Record, checked


class BestRecipe(Record):
    """Which checkpoint a run keeps in place of its last: the one with the highest mean of a metric on a set."""

    set: str  # one of the recipe's sets
    metric: str | None = None  # default: evaluate.main

    @field_validator("set")
    @classmethod
    def _spelled(cls, name: str) -> str:
        return plain_name(name)


class TripletSource(Record):
    """Triplets to be judged by; a name alone stands for one with the usual columns."""

    source: str  # cnli-tr:dev, a .jsonl/.csv/.tsv/.parquet file, a hub dataset
    columns: tuple[str, str, str] = ("anchor", "positive", "negative")  # of a file

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"source": given} if isinstance(given, str) else given


class EvaluateRecipe(Record):
    """What the model is judged on, before and after."""

    # sample-heldout:en, esco-heldout:en, esco-mix:en-de, talentclef:en, tquad:dev, mteb:TASK, a folder or zip
    sets: tuple[str, ...] = Field(min_length=1)
    optional: tuple[str, ...] = ()  # evaluated where their data is at hand
    metrics: tuple[str, ...] = DEFAULT_METRICS  # such as map, map@500, ndcg@10
    main: str = "map"  # the one that tables go by
    best: BestRecipe | None = None  # keep the best checkpoint; needs training.evaluate_every
    triplets: tuple[TripletSource, ...] = ()  # strict cosine accuracy at every width of loss.dims
    # Outside the training domain, watched for forgetting: stsb-tr:dev, a table of scored pairs, any retrieval set.
    general: tuple[str, ...] = ()
    gender: tuple[str, ...] = ()  # masculine against feminine titles: esco-gender:de, :es or :fr

    @property
    def measured(self) -> tuple[str, ...]:
        """Every metric that something asks for."""
        best = (self.best.metric,) if self.best and self.best.metric else ()
        return tuple(dict.fromkeys((*self.metrics, self.main, *best)))

    @field_validator("sets", "optional")
    @classmethod
    def _spelled(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(plain_name, names))

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            checked(parse, name)
        return names

    @field_validator("main")
    @classmethod
    def _main_known(cls, name: str) -> str:
        checked(parse, name)
        return name

    @model_validator(mode="after")
    def _best_known(self) -> "EvaluateRecipe":
        if self.best is not None:
            if self.best.set not in (*self.sets, *self.optional):
                raise ValueError(f"best.set is '{self.best.set}'; wanted one of evaluate.sets or evaluate.optional")
            checked(parse, self.best.metric or self.main)
        named = (*self.sets, *self.optional)
        if twice := [name for name in named if named.count(name) > 1]:
            raise ValueError(f"'{twice[0]}' stands twice among sets and optional. Name it once")
        return self
