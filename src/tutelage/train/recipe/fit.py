"""Of a recipe: the loss, and the run of the optimiser."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from tutelage.encode.precision import PrecisionChoice
from tutelage.encode.rows_in_use import refuse_inexact
from tutelage.losses.directions import Direction, HardnessMode, PartitionMode, chosen, refuse
from tutelage.train.recipe.record import Record, Share, checked


class LossRecipe(Record):
    """Options of the guided loss."""

    temperature: PositiveFloat = 0.05  # divides cosine; 0.01-0.1 is usual
    margin: float = 0.0  # guide ceiling = score of the positive - margin
    margin_strategy: Literal["absolute", "relative"] = "absolute"  # ceiling s - margin, or s - |s| margin
    contrast_anchors: bool = True  # anchors compete with each other
    contrast_positives: bool = True  # positives compete with each other
    directions: tuple[Direction, ...] | None = None  # who competes, in place of the two above
    partition_mode: PartitionMode = "joint"  # one softmax over all directions, or one each
    hardness_mode: HardnessMode | None = None  # whose logits rise with their similarity
    hardness_strength: float = Field(0.0, ge=0)  # how much: logits gain this times their similarity; 5-9 is usual
    drop_same_text: bool = True  # never push a text away from itself
    drop_same_group: bool = True  # nor from one of its own group; a row's negatives have none
    dims: tuple[PositiveInt, ...] | None = None  # Matryoshka dimensions, weight 1 each
    group: Literal["concept", "group"] = "concept"  # what makes two texts kin: one ESCO concept, or one ISCO group

    @model_validator(mode="after")
    def _possible(self) -> "LossRecipe":
        named = chosen(self.directions, self.contrast_anchors, self.contrast_positives)
        refuse(
            named,
            self.partition_mode,
            self.hardness_mode,
            self.hardness_strength,
            self.temperature,
            self.margin_strategy,
        )
        if self.dims is not None and len(set(self.dims)) < len(self.dims):
            raise ValueError(f"dims are {list(self.dims)}; one stands twice. Name it once")
        return self


class TrainingRecipe(Record):
    """The optimiser's run."""

    epochs: PositiveFloat = 1.0  # passes over the data
    max_steps: PositiveInt | None = None  # how many, whatever the epochs say. Default: all of the epochs'
    learning_rate: PositiveFloat = 5e-5  # the highest, after the warm-up
    learning_rate_mapping: dict[str, PositiveFloat] = Field({})  # other rates: name's pattern -> rate
    warmup: Share = 0.05  # share of the steps
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"  # of the rate
    weight_decay: float = Field(0.0, ge=0)  # AdamW's; above 0 every token row is trained
    accumulation: PositiveInt = 1  # steps added up before an update; adds no negatives
    wise_ft_alpha: float = Field(1.0, gt=0, le=1)  # end at this share of the way from the first weights to the last
    precision: PrecisionChoice = "fp32"  # auto: the fastest here that is safe, by measuring
    token_budget: PositiveInt | None = None  # padded tokens in one forward pass. Default: by device
    memory_budget: float | None = Field(
        None, ge=0
    )  # GiB of kept graphs, the rest is embedded twice. Default: half free
    rows_in_use: bool | None = None  # train only the token rows the texts touch. Default: where that is exact
    seed: int = Field(42, ge=0, lt=2**32)  # of batches and dropout
    log_every: PositiveInt = 10  # steps
    evaluate_every: PositiveInt | None = None  # steps; null: before and after only
    save_every: PositiveInt | None = None  # steps between checkpoints for --resume; null: none
    guard: bool = False  # end with the last evaluated weights under which no set of evaluate.general had fallen
    save_only_model: bool = False  # checkpoints without the optimiser: small, and not to be resumed from
    report_to: tuple[str, ...] = ("tensorboard",)  # loggers that transformers knows
    push_to_hub: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")  # owner/name: upload the model when all is done
    private: bool = True  # the repository, if it is made

    @model_validator(mode="after")
    def _exact(self) -> "TrainingRecipe":
        if self.rows_in_use:
            checked(refuse_inexact, self.weight_decay)
        return self
