"""A recipe: all of a run in one YAML file, checked whole before any model is loaded."""

import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from tutelage.encode.models import MINILM
from tutelage.encode.rows_in_use import refuse_inexact
from tutelage.errors import ConfigError, TutelageError
from tutelage.evaluate.metrics import DEFAULT_METRICS, parse
from tutelage.losses.directions import Direction, HardnessMode, PartitionMode, chosen, refuse
from tutelage.records.pairs import MAX_PAIRS
from tutelage.records.splits import HELD_OUT_SHARE
from tutelage.records.tables import read_text

SHIPPED = Path(str(files("tutelage.recipes")))
Share = Annotated[float, Field(ge=0, lt=1)]


def _checked(check: Callable[..., Any], *values: Any) -> None:
    """A check of another floor, its refusal in the form that pydantic reports."""
    try:
        check(*values)
    except ConfigError as fault:
        raise ValueError(str(fault)) from None


class Record(BaseModel):
    """Frozen, and closed: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelRecipe(Record):
    """The encoder to train."""

    name: str = MINILM
    max_length: PositiveInt | None = None  # tokens; longer texts are cut. Default: the model's own


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


class DataRecipe(Record):
    """What is learned from, and which concepts are kept apart."""

    train: tuple[TrainSource, ...] = Field(min_length=1)
    verdicts: tuple[Path, ...] = ()  # pairs judged positive (learned from) or never (no negatives), from `audit`
    held_out: Share = HELD_OUT_SHARE  # share of concepts
    seed: int = Field(0, ge=0, lt=2**32)  # of the split and of the pairs drawn


class SamplingRecipe(Record):
    """Which examples meet in a batch."""

    sampler: Literal["concepts", "no_duplicates"] = "no_duplicates"
    batch_size: int = Field(128, ge=2)


class LossRecipe(Record):
    """Options of the guided loss."""

    temperature: PositiveFloat = 0.05  # divides cosine; 0.01-0.1 is usual
    margin: float = 0.0  # guide ceiling = score of the positive - margin
    margin_strategy: Literal["absolute", "relative"] = "absolute"
    contrast_anchors: bool = True
    contrast_positives: bool = True
    directions: tuple[Direction, ...] | None = None  # who competes, in place of the two above
    partition_mode: PartitionMode = "joint"  # or per_direction
    hardness_mode: HardnessMode | None = None  # in_batch_negatives, hard_negatives, all_negatives
    hardness_strength: float = Field(0.0, ge=0)
    drop_same_text: bool = True
    drop_same_group: bool = True
    dims: tuple[PositiveInt, ...] | None = None  # Matryoshka dimensions, weight 1 each
    group: Literal["concept", "group"] = "concept"  # which column rule 4 reads: ESCO concept or ISCO group

    @model_validator(mode="after")
    def _possible(self) -> "LossRecipe":
        named = chosen(self.directions, self.contrast_anchors, self.contrast_positives)
        refuse(named, self.partition_mode, self.hardness_mode, self.hardness_strength)
        if self.dims is not None and len(set(self.dims)) < len(self.dims):
            raise ValueError(f"dims are {list(self.dims)}; one stands twice. Name it once")
        return self


class TrainingRecipe(Record):
    """The optimiser's run."""

    epochs: PositiveFloat = 1.0
    max_steps: PositiveInt | None = None  # ends the run earlier
    learning_rate: PositiveFloat = 5e-5
    warmup: Share = 0.05  # share of the steps
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: float = Field(0.0, ge=0)
    accumulation: PositiveInt = 1  # steps added up before an update; adds no negatives
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    token_budget: PositiveInt | None = None  # padded tokens in one forward pass. Default: by device
    memory_budget: float | None = Field(
        None, ge=0
    )  # GiB of kept graphs, the rest is embedded twice. Default: half free
    rows_in_use: bool | None = None  # train only the token rows the texts touch. Default: where that is exact
    seed: int = Field(42, ge=0, lt=2**32)
    log_every: PositiveInt = 10  # steps
    evaluate_every: PositiveInt | None = None  # steps; null: before and after only
    save_every: PositiveInt | None = None  # steps between checkpoints for --resume; null: none
    guard: bool = False  # end with the last evaluated weights under which no set of evaluate.general had fallen
    report_to: tuple[str, ...] = ("tensorboard",)

    @model_validator(mode="after")
    def _exact(self) -> "TrainingRecipe":
        if self.rows_in_use:
            _checked(refuse_inexact, self.weight_decay)
        return self


class BestRecipe(Record):
    """Which checkpoint a run keeps in place of its last: the one with the highest mean of a metric on a set."""

    set: str  # one of the recipe's sets
    metric: str | None = None  # default: evaluate.main


class TripletSource(Record):
    """Triplets to be judged by; a name alone stands for one with the usual columns."""

    source: str  # cnli-tr:dev, a .jsonl/.csv/.tsv/.parquet file, a hub dataset
    columns: tuple[str, str, str] = ("anchor", "positive", "negative")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"source": given} if isinstance(given, str) else given


class EvaluateRecipe(Record):
    """What the model is judged on, before and after."""

    # sample-heldout:en, esco-heldout:en, esco-mix:en-de, talentclef:en, tquad:dev, mteb:TASK, a folder or zip
    sets: tuple[str, ...] = Field(min_length=1)
    optional: tuple[str, ...] = ()  # evaluated where their data is at hand
    metrics: tuple[str, ...] = DEFAULT_METRICS
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

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            _checked(parse, name)
        return names

    @field_validator("main")
    @classmethod
    def _main_known(cls, name: str) -> str:
        _checked(parse, name)
        return name

    @model_validator(mode="after")
    def _best_known(self) -> "EvaluateRecipe":
        if self.best is not None:
            if self.best.set not in (*self.sets, *self.optional):
                raise ValueError(f"best.set is '{self.best.set}'; wanted one of evaluate.sets or evaluate.optional")
            _checked(parse, self.best.metric or self.main)
        named = (*self.sets, *self.optional)
        if twice := [name for name in named if named.count(name) > 1]:
            raise ValueError(f"'{twice[0]}' stands twice among sets and optional. Name it once")
        return self


class Recipe(Record):
    """All of a run."""

    name: str = "run"
    output: Path
    model: ModelRecipe = ModelRecipe()
    guide: GuideRecipe = GuideRecipe()
    data: DataRecipe
    sampling: SamplingRecipe = SamplingRecipe()
    loss: LossRecipe = LossRecipe()
    training: TrainingRecipe = TrainingRecipe()
    evaluate: EvaluateRecipe

    @model_validator(mode="after")
    def _best_measured(self) -> "Recipe":
        every, save = self.training.evaluate_every, self.training.save_every
        if self.evaluate.best is not None and not every:
            raise ValueError("evaluate.best needs evaluations on the way. Set training.evaluate_every")
        if self.evaluate.best is not None and save not in (None, every):
            raise ValueError(f"evaluate.best: save_every is {save}; what is evaluated must be kept. Leave it out")
        return self

    def to_yaml(self) -> str:
        """The resolved recipe, every default spelled out; loading it gives the same recipe."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from a YAML file or by the name of a shipped one, with ``a.b=value`` overrides.

    Raises:
        ConfigError: no such recipe, YAML that does not parse, an unknown key, a value out of range. One line says
            which key, what came and what was wanted.

    Example::

        load_recipe("demo", ["training.epochs=2", "output=runs/short"])
    """
    path = Path(source)
    if not path.suffix:
        path = SHIPPED / f"{source}.yaml"
        if not path.is_file():
            raise ConfigError(f"recipe '{source}': no such name. Shipped: {', '.join(shipped())}; or give a .yaml.")
    try:
        tree = yaml.load(read_text(path), Loader=_Loader)
    except yaml.YAMLError as fault:
        raise ConfigError(f"{path}: not YAML ({' '.join(str(fault).split())}).") from None
    except TutelageError as fault:
        raise ConfigError(str(fault)) from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no mapping. Wanted keys such as: {', '.join(Recipe.model_fields)}.")
    for override in overrides:
        _set(tree, override)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as fault:
        raise ConfigError(f"{path}: {_explain(fault)}") from None


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 5e-5 is a number: YAML 1.1 reads it as text for want of a dot."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"key '{twice[0]}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def shipped() -> list[str]:
    """Names of the recipes inside the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.yaml"))


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: wanted key=value, as in --set training.epochs=2.")
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {override}: '{parent}' holds a value, not keys. Name an existing section.")
    try:
        tree[last] = yaml.load(value, Loader=_Loader)
    except yaml.YAMLError as fault:
        raise ConfigError(f"--set {override}: not YAML ({' '.join(str(fault).split())}).") from None


def _explain(fault: ValidationError) -> str:
    """The first fault as where, what came, what was wanted."""
    # A list whose only entry is faulty is also "too short": that is one fault.
    errors = [e for e in fault.errors() if not (e["type"] == "too_short" and e["input"])]
    error = errors[0]
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    *section, key = [str(part) for part in error["loc"]] or ["recipe"]
    where = ".".join(section) or "recipe"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown option '{key}'. Options: {', '.join(_options(section))}.{more}"
    if error["type"] == "missing":
        return f"{where}: '{key}' is missing. Add it.{more}"
    message = error["msg"].removeprefix("Value error, ")
    if isinstance(error["input"], dict) and error["type"] == "value_error":  # keys that do not go together
        return f"{'.'.join(map(str, error['loc'])) or 'recipe'}: {message.rstrip('.')}.{more}"
    return f"{where}: '{key}' is {error['input']!r}. {message[0].upper()}{message[1:].rstrip('.')}.{more}"


def _options(section: Sequence[str]) -> list[str]:
    """The keys that a section of the recipe knows."""
    record: type[BaseModel] = Recipe
    for part in section:
        if part in record.model_fields:
            kind = record.model_fields[part].annotation
            # A section is a record, or a tuple of records.
            record = next(inner for inner in (*get_args(kind), kind) if isinstance(inner, type))
    return list(record.model_fields)
