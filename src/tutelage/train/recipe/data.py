"""Of a recipe: the encoder, its guide, what is learned from, and which examples meet in a batch."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from tutelage.encode.models import MINILM
from tutelage.records.pairs import MAX_PAIRS
from tutelage.records.splits import HELD_OUT_SHARE
from tutelage.train.recipe.record import Record, Share


class ModelRecipe(Record):
    """The encoder to train."""

    name: str = MINILM  # a folder or a hub name
    max_length: PositiveInt | None = None  # tokens; longer texts are cut. Default: the model's own
    layers: PositiveInt | None = None  # only the first so many of its transformer layers. Default: all


class GuideRecipe(Record):
    """The frozen model that says which negatives are right answers."""

    name: str | None = MINILM  # null: no guide rule
    prompt: str | None = None  # the guide's own, put before every text
    max_length: PositiveInt | None = None
    store: Path | None = None  # where its vectors are kept, for all runs that share it. Default: in the output folder
    dtype: Literal["float16", "float32"] = "float16"


class TrainSource(Record):
    """One source of training pairs or triplets."""

    source: str  # sample:en, esco:en,de, talentclef:es, a .jsonl/.csv/.tsv/.parquet file, a hub dataset
    columns: tuple[str, ...] = ("anchor", "positive")  # of a file: anchor, positive, then any negatives
    max_pairs: PositiveInt = MAX_PAIRS  # label pairs drawn from one concept
    name: str | None = None  # the set's, in logs and on the model card. Default: its source
    optional: bool = False  # left out where its data is not at hand
    batch_size: int | None = Field(None, ge=2)  # of this set, in place of sampling.batch_size
    weight: PositiveFloat | None = None  # share of the batches, beside the other weights (sampling.mix: weights)
    temperature: PositiveFloat | None = None  # of this set, in place of loss.temperature
    margin: float | None = None  # of this set, in place of loss.margin
    prompts: dict[str, str] = Field({})  # column -> what is put before its texts, for the encoder alone


class DataRecipe(Record):
    """What is learned from, and which concepts are kept apart."""

    train: tuple[TrainSource, ...] = Field(min_length=1)  # the sets; batches are of one each
    verdicts: tuple[Path, ...] = ()  # pairs judged positive (learned from) or never (no negatives), from `audit`
    held_out: Share = HELD_OUT_SHARE  # share of concepts
    seed: int = Field(0, ge=0, lt=2**32)  # of the split and of the pairs drawn

    @property
    def sets(self) -> dict[str, TrainSource]:
        """The sources by the names of their sets; a source that stands twice is told apart by a number."""
        named: dict[str, TrainSource] = {}
        for source in self.train:
            name = source.name or source.source
            again = sum(other.partition(" #")[0] == name for other in named)
            named[f"{name} #{again + 1}" if again else name] = source
        return named


class SamplingRecipe(Record):
    """Which examples meet in a batch."""

    # concepts: each concept once an epoch with one of its pairs; no_duplicates: each pair once. Never a text twice
    sampler: Literal["concepts", "no_duplicates"] = "no_duplicates"
    batch_size: int = Field(128, ge=2)  # examples that meet in one loss
    # Of several sets, whose batch is next: as many as each has, in turn, or by the sets' weights.
    mix: Literal["proportional", "round_robin", "weights"] = "proportional"
