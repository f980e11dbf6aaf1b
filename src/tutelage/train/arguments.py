"""From a recipe to the arguments of sentence-transformers' trainer."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import MultiDatasetBatchSamplers
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)

from tutelage.encode.precision import accelerator
from tutelage.encode.rows_in_use import token_table
from tutelage.errors import ConfigError
from tutelage.evaluate.retrieval import key_name
from tutelage.sampling import WeightedBatches
from tutelage.train.build import CHECKPOINTS, SAMPLERS
from tutelage.train.recipe import Recipe


def mixing(recipe: Recipe, names: Sequence[str]) -> MultiDatasetBatchSamplers | Callable[..., WeightedBatches]:
    """Whose batch is next, as sentence-transformers' arguments take it."""
    if recipe.sampling.mix != "weights":
        return MultiDatasetBatchSamplers(recipe.sampling.mix)
    sets = recipe.data.sets
    # Accepted pairs of a set of their own (verdicts) count as any set of average weight.
    average = sum(source.weight or 0 for source in sets.values()) / len(sets)
    weights = [sets[name].weight or average if name in sets else average for name in names]
    return partial(WeightedBatches, weights=weights)


def prompts(recipe: Recipe, names: Sequence[str]) -> dict[str, Any]:
    """Column -> prompt of the only set, or set -> column -> prompt; empty where no set has any."""
    named = {name: source.prompts for name, source in recipe.data.sets.items() if name in names and source.prompts}
    return next(iter(named.values()), {}) if len(names) == 1 else named


def refuse_unmatched(model: SentenceTransformer, rates: Mapping[str, float]) -> None:
    """Raise for a pattern of ``training.learning_rate_mapping`` that names no parameter of the model.

    A parameter is called as in the loss, after ``model.``; while only the rows in use of the token table are trained,
    its ``weight`` is called ``rows``, and a pattern must find it under both names or neither.

    Raises:
        ConfigError: it is no regular expression, or no parameter's name holds it; it finds one of the table's names.
    """
    table = None
    with suppress(ConfigError):  # none that could be trained by rows
        table = token_table(model)[1].weight
    named = [(f"model.{name}", weight) for name, weight in model.named_parameters()]
    names = [name for name, _ in named]
    by_rows = [f"{name.removesuffix('weight')}rows" if weight is table else name for name, weight in named]
    for pattern in rates:
        where = f"training.learning_rate_mapping: '{pattern}'"
        try:
            found = [bool(re.search(pattern, name)) for name in names]
            other = [bool(re.search(pattern, name)) for name in by_rows]
        except re.error as error:
            raise ConfigError(f"{where} is no regular expression: {error}.") from error
        if found != other:
            raise ConfigError(f"{where} must not ask for '.weight' of the token table: leave that out of the pattern.")
        if not any(found):
            raise ConfigError(
                f"{where} is in no parameter's name; these are as '{names[0].removesuffix('.weight')}'. Mend the "
                "pattern."
            )


def refuse_unknown_loggers(names: Sequence[str]) -> None:
    """Raise for a logger that transformers does not know, or whose package is not installed.

    Raises:
        ConfigError: the first such name.
    """
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise ConfigError(f"training.report_to: '{name}' is unknown. Wanted some of {known}.")
        elsewhere = name in ("azure_ml", "flyte")  # their packages are called otherwise
        if name not in get_available_reporting_integrations() and not elsewhere and find_spec(name) is None:
            raise ConfigError(f"training.report_to: '{name}' is not installed. Install its package, or leave it out.")


def training_arguments(
    recipe: Recipe, folder: Path, names: Sequence[str] = (), *, quiet: bool
) -> SentenceTransformerTrainingArguments:
    """What transformers' trainer needs to know; ``names`` are those of the sets it will learn from.

    The recipe's precision is settled before (`tutelage.encode.precision.settle`).
    """
    training, measure = recipe.training, recipe.evaluate
    best = measure.best
    save_every = training.save_every or (training.evaluate_every if best else None)
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=recipe.sampling.batch_size,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.learning_rate,
        learning_rate_mapping=training.learning_rate_mapping,
        warmup_steps=training.warmup,
        lr_scheduler_type=training.schedule,
        weight_decay=training.weight_decay,
        use_cpu=accelerator().type == "cpu",  # else transformers refuses bf16 without a GPU
        bf16=training.precision == "bf16",
        fp16=training.precision == "fp16",
        seed=training.seed,
        logging_steps=training.log_every,
        eval_strategy="steps" if training.evaluate_every else "no",
        eval_steps=training.evaluate_every,
        save_strategy="steps" if save_every else "no",
        save_steps=save_every or 500,
        load_best_model_at_end=best is not None,
        metric_for_best_model=f"eval_{key_name(best.set)}_cosine_{best.metric or measure.main}" if best else None,
        greater_is_better=True if best else None,
        save_total_limit=2 if best is None else 3,  # the last may be broken off: the one before it stays, and the best
        save_only_model=training.save_only_model,
        batch_sampler=SAMPLERS[recipe.sampling.sampler],
        multi_dataset_batch_sampler=mixing(recipe, names),
        prompts=prompts(recipe, names) or None,
        report_to=list(training.report_to),
        dataloader_drop_last=True,
        disable_tqdm=quiet,
    )
