"""A run from its recipe to its report: check, build, measure, train, measure again, write."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from sentence_transformers import SentenceTransformer

from tutelage.encode.models import load_model, resolve_model
from tutelage.encode.precision import accelerator, settle
from tutelage.errors import ConfigError
from tutelage.evaluate.general import warnings_of
from tutelage.evaluate.page import PAGE, write_page
from tutelage.evaluate.per_query import AFTER, BEFORE, PER_QUERY, save_per_query
from tutelage.evaluate.report import REPORT, provenance, without_texts, write_json, write_text
from tutelage.evaluate.retrieval import refuse_dims
from tutelage.export.card import complete_card
from tutelage.records import sources
from tutelage.records.retrieval import RetrievalSet
from tutelage.train import build, history
from tutelage.train.arguments import training_arguments
from tutelage.train.guard import KEPT, ForgettingGuard, outcome
from tutelage.train.history import HistoryFile
from tutelage.train.judges import Judges
from tutelage.train.recipe import Recipe, load_recipe
from tutelage.train.trainer import GuidedTrainer

MODEL, RECIPE, GUIDE = "model", "recipe.yaml", "guide"
Say = Callable[[str], None]


def run_recipe(
    recipe: Recipe,
    folder: Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    say: Say = lambda line: None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Train as the recipe says and write the output folder: ``model/``, ``report.json``, ``per_query.parquet``,
    ``recipe.yaml``.

    The report is written last, so a folder with a report holds a finished run; ``report.html`` is made from it.

    Args:
        recipe: what to do.
        folder: the folder of real data, if any.
        overwrite: replace a finished run.
        resume: go on from the last checkpoint (``training.save_every``).
        say: told in one line each what begins.
        quiet: no progress bars.

    Returns:
        The report.

    Raises:
        ConfigError, DataError, CacheMismatch: before any training; nothing is written then.
    """
    output = recipe.output
    sets, train = prepare(recipe, folder, overwrite=overwrite or resume)
    checks = build.checks(recipe, folder)
    checkpoint = _checkpoint(recipe) if resume else None
    settle(recipe.training.precision, accelerator())  # refused here or not at all
    seconds: dict[str, float] = {}

    model = load_model(recipe.model.name, max_length=recipe.model.max_length, layers=recipe.model.layers)
    refuse_dims(model, recipe.loss.dims or ())
    say(f"guide: every distinct training text once, through {recipe.guide.name}")
    with _timed(seconds, "guide"):
        store = build.guide_store(recipe, build.texts_of(train), output / GUIDE, overwrite=overwrite)
    judges = Judges(recipe, sets, checks)
    say(f"evaluation before: {', '.join(judges.names)}")
    with _timed(seconds, "evaluate_before"):
        before = judges.judge(model)

    model.model_card_data.set_widget_examples(build.texts_only(train))
    losses = build.guided_losses(recipe, model, store, train)
    alone = len(train) == 1
    trainer = GuidedTrainer(
        model=model,
        args=training_arguments(recipe, output, list(train), quiet=quiet),
        train_dataset=build.one_or_several(train),
        loss=next(iter(losses.values())) if alone else losses,
        batch_sizes={name: recipe.of_set(name).sampling.batch_size for name in train},
        group_column=recipe.loss.group,
        rows_in_use=recipe.training.rows_in_use,
        evaluator=judges.evaluators if recipe.training.evaluate_every else None,
        callbacks=[HistoryFile(output / history.FILE)],
    )
    # Nothing is left that could refuse the run: now what an earlier one wrote may go.
    if overwrite and not resume:
        _remove_run(output)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / RECIPE, recipe.to_yaml())
    guard = None
    if recipe.training.guard:
        kept = output / build.CHECKPOINTS / KEPT
        guard = ForgettingGuard(model, judges.general, before.checks.general, kept, resume=resume)
        trainer.add_callback(guard)
    say(f"training: {len(trainer.get_train_dataloader())} batches of {recipe.sampling.batch_size} an epoch")
    with _timed(seconds, "train"):
        trainer.train(resume_from_checkpoint=checkpoint)
        guarded = guard.settle() if guard else None
    if guarded:
        say(outcome(guarded))
    say("evaluation after")
    with _timed(seconds, "evaluate_after"):
        after = judges.judge(model, epoch=round(trainer.state.epoch or 0), step=trainer.state.global_step)
        evidence = judges.evidence(before, after)
    for line in warnings_of(evidence.get("general", {})):
        say(line)

    report = {
        "name": recipe.name,
        **provenance(),
        **evidence,
        "training": _training(trainer, guarded),
        "history": history.evaluations(
            trainer.state.log_history, [each.name for each in sets], recipe.evaluate.measured
        ),
        "seconds": {stage: round(spent, 1) for stage, spent in seconds.items()},
        "recipe": recipe.model_dump(mode="json"),
    }
    save_per_query(output / PER_QUERY, {BEFORE: before.retrieval, AFTER: after.retrieval})
    _save_model(model, output / MODEL, report, recipe)
    write_json(output / REPORT, report)
    write_page(report, output / PAGE)
    return report


def prepare(recipe: Recipe, folder: Path | None, *, overwrite: bool = False) -> tuple[list[RetrievalSet], DatasetDict]:
    """Everything that can be checked before a model is loaded, the cheapest first: output, data, model names.

    Returns:
        The evaluation sets and the training data.

    Raises:
        ConfigError, DataError: the output holds a finished run (without ``overwrite``) or is a file; a source or a
            set cannot be had; the split leaks; a model's folder does not exist.
    """
    output = recipe.output
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output {output}: a file, where a folder was wanted. Give another output.")
    if (output / REPORT).is_file() and not overwrite:
        raise ConfigError(f"output {output}: holds a finished run. Give --overwrite to replace it, or another output.")
    for name in filter(None, (recipe.model.name, recipe.guide.name)):
        resolve_model(name)
    if not overwrite and any(output.glob(f"{build.CHECKPOINTS}/checkpoint-*")):
        raise ConfigError(f"output {output}: holds an unfinished run. Give --resume to go on, or --overwrite.")
    sets = build.evaluation_sets(recipe.evaluate, recipe.data, folder)
    train = build.training_data(recipe.data, folder, sets)
    build.refuse_empty_epoch(recipe, train)
    return sets, train


def _remove_run(output: Path) -> None:
    """What an earlier run wrote here, the report first; the guide store stays, its fingerprint decides of its use."""
    for file in (REPORT, PAGE, PER_QUERY, history.FILE):
        (output / file).unlink(missing_ok=True)
    for part in (MODEL, build.CHECKPOINTS):
        shutil.rmtree(output / part, ignore_errors=True)


# What may differ between a run and its continuation.
CONTINUABLE = {"epochs", "max_steps", "log_every", "evaluate_every", "save_every", "report_to"}


def _checkpoint(recipe: Recipe) -> str:
    """The last whole checkpoint of this very recipe; one that was cut off while it was written is passed over."""
    folder = recipe.output / build.CHECKPOINTS
    whole = [state.parent for state in folder.glob("checkpoint-*/trainer_state.json")]
    if not whole:
        raise ConfigError(f"--resume: no checkpoint in {folder}. Set training.save_every and run without --resume.")
    begun = load_recipe(recipe.output / RECIPE)
    if changed := sorted(_essence(recipe).items() ^ _essence(begun).items()):
        raise ConfigError(
            f"--resume: {changed[0][0]} differs from the run that was begun in {recipe.output}. "
            "Give the same recipe, or --overwrite without --resume."
        )
    return str(max(whole, key=lambda checkpoint: int(checkpoint.name.rpartition("-")[2])))


def _essence(recipe: Recipe) -> dict[str, str]:
    """Every setting that a continued run must share, as section.key -> value."""
    sections = recipe.model_dump(mode="json", exclude={"name", "output", "evaluate"})
    essence = {
        f"{section}.{key}": json.dumps(value)
        for section, settings in sections.items()
        for key, value in settings.items()
        if key not in CONTINUABLE
    }
    # Of what a run is judged by, only this decides of its weights: hidden texts, the best checkpoint, the guard's sets.
    judged = recipe.evaluate
    essence["evaluate.sets"] = json.dumps([name for name in (*judged.sets, *judged.optional) if sources.hides(name)])
    if judged.best is not None:
        essence["evaluate.best"] = f"{judged.best.set} {judged.best.metric or judged.main}"
    if recipe.training.guard:
        essence["evaluate.general"] = json.dumps(judged.general)
    return essence


def _training(trainer: GuidedTrainer, guarded: dict[str, Any] | None) -> dict[str, Any]:
    """Steps, the one whose checkpoint was kept in place of the last (if any), and what was logged on the way."""
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    replaced = guarded is not None and guarded["step"] is not None  # the guard has the last word
    return {
        "steps": trainer.state.global_step,
        "precision": {"bf16": "bf16", "fp16": "fp16"}.get(trainer.accelerator.mixed_precision, "fp32"),
        "best_step": int(best.rpartition("-")[2]) if best and not replaced else None,
        **({"guard": guarded} if guarded else {}),
        "log": [entry for entry in trainer.state.log_history if "loss" in entry],
    }


def _save_model(model: SentenceTransformer, path: Path, report: dict[str, Any], recipe: Recipe) -> None:
    """The whole folder or nothing."""
    work = path.with_name(f".{path.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    model.save_pretrained(str(work))
    complete_card(work, report, recipe.to_yaml())
    write_json(work / REPORT, without_texts(report))
    shutil.rmtree(path, ignore_errors=True)
    work.rename(path)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
