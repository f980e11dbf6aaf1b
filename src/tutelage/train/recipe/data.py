"""Of a recipe: the encoder, its guide, what is learned from, and which examples meet in a batch."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from tutelage.encode.models import MINILM
from tutelage.guide.sources import Combine, is_model
from tutelage.records.pairs import MAX_PAIRS
from tutelage.records.sources import by_name, label_source
from tutelage.records.splits import HELD_OUT_SHARE
from tutelage.train.accepted import OWN
from tutelage.train.recipe.record import Record, Share, checked

# What a set's columns are called, whatever a file calls them.
PAIR = ("anchor", "positive")
COLUMN = re.compile(r"anchor|positive|negative(_[1-9]\d*)?")


class ModelRecipe(Record):
    """The encoder to train."""

    name: str = MINILM  # a folder or a hub name
    max_length: PositiveInt | None = None  # tokens; longer texts are cut. Default: the model's own
    layers: PositiveInt | None = None  # only the first so many of its transformer layers. Default: all


class GuideRecipe(Record):
    """Who says, frozen, which negatives are right answers: one guide or several (docs/guides.md)."""

    # A model; tfidf: n-grams of the training texts; start: the model before training; vectors.npy or .parquet: made
    # elsewhere; several: [tfidf, start]; null: no guide rule
    name: str | tuple[str, ...] | None = MINILM
    combine: Combine | None = None  # mean or max of several guides' similarities. Default: mean
    prompt: str | None = None  # the guide's own, put before every text (models only)
    max_length: PositiveInt | None = None  # tokens (models only)
    store: Path | None = None  # where its vectors are kept, for all runs that share it. Default: in the output folder
    dtype: Literal["float16", "float32"] = "float16"  # in which its vectors are kept

    @property
    def names(self) -> tuple[str, ...]:
        """Of every guide; none without a guide rule."""
        return (self.name,) if isinstance(self.name, str) else self.name or ()

    @property
    def title(self) -> str | None:
        """One guide's name, or what is made of several: ``max of tfidf, start``."""
        if isinstance(self.name, tuple):
            return f"{self.combine or 'mean'} of {', '.join(self.names)}"
        return self.name

    @field_validator("name", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        names = list(given) if isinstance(given, list | tuple) else [given]
        if given is not None and not (names and all(isinstance(name, str) and name for name in names)):
            raise ValueError("wanted the name of a guide, a list of names, or null for none")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"'{twice[0]}' stands twice. Name it once")
        return names[0] if len(names) == 1 else given

    @model_validator(mode="after")
    def _together(self) -> "GuideRecipe":
        if self.combine is not None and len(self.names) < 2:
            raise ValueError(f"combine is '{self.combine}', which wants several guides. Name a list, or leave it out")
        options = {"prompt": self.prompt, "max_length": self.max_length}
        given = [option for option, value in options.items() if value is not None]
        if self.names and given and not any(map(is_model, self.names)):
            raise ValueError(f"{given[0]} is for guides that are models. Leave it out")
        return self


class TrainSource(Record):
    """One source of training pairs or triplets; a name alone stands for one with the usual columns."""

    # sample:en, esco:en,de (pairs within and across languages), esco-mix:en,de (only across), esco-descriptions:en
    # (labels and descriptions), talentclef:es, cnli-tr:train (triplets), tquad:train, stsb-tr:train, a table
    # (.jsonl/.csv/.tsv/.parquet), a hub dataset
    source: str
    # Of a file: anchor, positive, then any negatives. Its columns concept, group and language are kept beside them.
    columns: tuple[str, ...] = PAIR
    max_pairs: PositiveInt = MAX_PAIRS  # label pairs drawn from one concept
    forms_apart: bool = False  # a label such as Koch/Köchin counts as two
    name: str | None = None  # the set's, in logs and on the model card. Default: its source
    optional: bool = False  # left out where its data is not at hand
    batch_size: int | None = Field(None, ge=2)  # of this set, in place of sampling.batch_size
    weight: PositiveFloat | None = None  # share of the batches, beside the other weights (sampling.mix: weights)
    temperature: PositiveFloat | None = None  # of this set, in place of loss.temperature
    margin: float | None = None  # of this set, in place of loss.margin
    # anchor, positive or negative -> what is put before its texts, for the encoder alone
    prompts: dict[str, str] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"source": given} if isinstance(given, str) else given

    @field_validator("source")
    @classmethod
    def _possible(cls, source: str) -> str:
        checked(label_source, source)
        return source

    @field_validator("prompts")
    @classmethod
    def _of_columns(cls, prompts: dict[str, str]) -> dict[str, str]:
        if wrong := [name for name in prompts if not COLUMN.fullmatch(name)]:
            raise ValueError(f"'{wrong[0]}' is no column. Wanted: anchor, positive, negative (of several: negative_1)")
        return prompts

    @model_validator(mode="after")
    def _of_labels(self) -> "TrainSource":
        given = {"forms_apart": self.forms_apart, "max_pairs": self.max_pairs != MAX_PAIRS}
        if not label_source(self.source) and (idle := [key for key, value in given.items() if value]):
            raise ValueError(f"{idle[0]} is for labels of a taxonomy; {self.source} has pairs. Leave it out")
        if "columns" in self.model_fields_set and self.columns != PAIR and by_name(self.source):
            raise ValueError(f"columns is for files and hub data sets; {self.source} has its own. Leave it out")
        return self


class DataRecipe(Record):
    """What is learned from, and which concepts are kept apart."""

    train: tuple[TrainSource, ...] = Field(min_length=1)  # the sets; batches are of one each
    verdicts: tuple[Path, ...] = ()  # pairs judged positive (learned from) or never (no negatives), from `audit`
    held_out: Share = HELD_OUT_SHARE  # share of concepts
    seed: int = Field(0, ge=0, lt=2**32)  # of the split and of the pairs drawn

    @property
    def names(self) -> list[str]:
        """What the set of each source is called: its name, else its source, numbered where that stands again."""
        plain = [source.name or source.source for source in self.train]
        before = [plain[:place].count(name) for place, name in enumerate(plain)]
        return [f"{name} #{count + 1}" if count else name for name, count in zip(plain, before, strict=True)]

    @property
    def sets(self) -> dict[str, TrainSource]:
        """The sources by the names of their sets."""
        return dict(zip(self.names, self.train, strict=True))

    @model_validator(mode="after")
    def _named_apart(self) -> "DataRecipe":
        taken = [OWN, *(source.name or source.source for source in self.train)]
        if twice := [source.name for source in self.train if source.name and taken.count(source.name) > 1]:
            raise ValueError(f"train: the name '{twice[0]}' is taken. Give the set another")
        return self


class SamplingRecipe(Record):
    """Which examples meet in a batch."""

    # concepts: each concept once an epoch with one of its pairs; no_duplicates: each pair once. Never a text twice
    sampler: Literal["concepts", "no_duplicates"] = "no_duplicates"
    batch_size: int = Field(128, ge=2)  # examples that meet in one loss
    # Of several sets, whose batch is next: as many as each has, in turn, or by the sets' weights.
    mix: Literal["proportional", "round_robin", "weights"] = "proportional"
