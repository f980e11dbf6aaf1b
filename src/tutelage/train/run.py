"""A run from its recipe to its report: check, build, measure, train, measure again, write."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PrinterCallback

from tutelage.encode.models import resolve_model
from tutelage.encode.precision import accelerator, settle
from tutelage.errors import ConfigError
from tutelage.evaluate.checks import Checks
from tutelage.evaluate.general import warnings_of
from tutelage.evaluate.page import PAGE, write_page
from tutelage.evaluate.per_query import AFTER, BEFORE, PER_QUERY, save_per_query
from tutelage.evaluate.report import REPORT, provenance, write_json, write_text
from tutelage.evaluate.retrieval import refuse_dims
from tutelage.export.hub import push
from tutelage.guide.fingerprint import short
from tutelage.guide.sources import refuse_absent
from tutelage.guide.store import GuideStore
from tutelage.records.attributions import origins
from tutelage.records.retrieval import RetrievalSet
from tutelage.train import build, checkpoints, history, place
from tutelage.train.apart import LeftOut, held_back, keep_apart, left_over, queries_seen, told
from tutelage.train.arguments import refuse_unknown_loggers, refuse_unmatched, training_arguments
from tutelage.train.describe import describe_data, log_as_it_is, recall_log
from tutelage.train.guard import KEPT, ForgettingGuard, outcome
from tutelage.train.history import HistoryFile
from tutelage.train.judges import Judges
from tutelage.train.place import DATA, GUIDE, MODEL, RECIPE
from tutelage.train.recipe import Recipe
from tutelage.train.resume import about, resumed
from tutelage.train.trainer import GuidedTrainer
from tutelage.train.wise_ft import interpolate, weights_of

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

    The report is written last, so a folder with a report holds a finished run; ``report.html`` is made from it. With
    ``training.push_to_hub`` the model is uploaded after that.

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
        ConfigError: at the very end, the hub does not take the model; all of the run is kept.
    """
    output = recipe.output
    refuse_unwritable(recipe)
    sets, train, checks, left_out, absent = prepare(recipe, folder, overwrite=overwrite or resume)
    seen = queries_seen(train, sets)
    for line in (*told(left_out, seen, absent), *held_back(recipe.data, train)):
        say(line)
    recipe, checkpoint = resumed(recipe, output / RECIPE, train) if resume else (recipe, None)
    recipe = recipe.in_precision(settle(recipe.training.precision, accelerator()))
    arguments = training_arguments(recipe, output, list(train), quiet=quiet)
    seconds: dict[str, float] = {}

    model = build.encoder(recipe)
    refuse_dims(model, recipe.loss.dims or ())
    refuse_unmatched(model, recipe.training.learning_rate_mapping)
    say(f"guide: every distinct training text once, through {recipe.guide.title}")
    with _timed(seconds, "guide"):
        store = build.guide_store(recipe, build.texts_of(train), output / GUIDE, overwrite=overwrite)
    judges = Judges(recipe, sets, checks)
    say(f"evaluation before: {', '.join(judges.names)}")
    with _timed(seconds, "evaluate_before"):
        before = judges.judge(model)

    model.model_card_data.set_widget_examples(build.texts_only(train))
    losses = build.guided_losses(recipe, model, store, train)
    alone = len(train) == 1
    sizes = {name: recipe.of_set(name).sampling.batch_size for name in train}
    trainer = GuidedTrainer(
        model=model,
        args=arguments,
        train_dataset=build.one_or_several(train),
        loss=next(iter(losses.values())) if alone else losses,
        batch_sizes=sizes,
        group_column=recipe.loss.group,
        rows_in_use=recipe.training.rows_in_use,
        evaluator=judges.evaluators if recipe.training.evaluate_every else None,
        callbacks=[HistoryFile(output / history.FILE), checkpoints.Seal()],
    )
    if quiet:  # else lines of Python dictionaries, on standard output
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(history.Told(say, [each.name for each in sets], recipe.evaluate.main))
    describe_data(model, train, {name: source for name, source in recipe.data.sets.items() if name in train}, losses)
    if recipe.training.push_to_hub:
        model.model_card_data.set_model_id(recipe.training.push_to_hub)
    if checkpoint:
        recall_log(model, checkpoint)
    # Nothing is left that could refuse the run: now what an earlier one wrote may go.
    if overwrite and not resume:
        place.remove_run(output)
    checkpoints.remove_broken(output / build.CHECKPOINTS)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / DATA, about(train))
    write_text(output / RECIPE, recipe.to_yaml())
    guard = None
    if recipe.training.guard:
        kept = output / build.CHECKPOINTS / KEPT
        guard = ForgettingGuard(model, judges.general, before.checks.general, kept, resume=resume)
        trainer.add_callback(guard)
    batches = " or ".join(str(size) for size in sorted({*sizes.values()}))
    loader = trainer.get_train_dataloader()
    say(f"training: {len(loader)} batches of {batches} an epoch")
    for line in left_over(loader.batch_sampler, train):
        say(line)
    with _timed(seconds, "train"):
        alpha = recipe.training.wise_ft_alpha
        start = weights_of(model) if alpha < 1 else {}
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        if start:
            interpolate(model, start, alpha)
        guarded = guard.settle() if guard else None
    if guarded:
        say(outcome(guarded))
    say("evaluation after")
    training = history.summary(trainer, guarded, left_out)
    last = alpha == 1 and training["best_step"] is None and (guarded is None or guarded["step"] is None)
    with _timed(seconds, "evaluate_after"), nullcontext() if last else log_as_it_is(model):
        after = judges.judge(model, epoch=round(trainer.state.epoch or 0), step=trainer.state.global_step)
        evidence = judges.evidence(before, after)
    for line in warnings_of(evidence.get("general", {})):
        say(line)

    report = {
        "name": recipe.name,
        **provenance(),
        **evidence,
        "judged": judges.sizes,
        "queries_seen": seen,
        **({"guide": _guide(recipe, store)} if store else {}),
        **({"absent": absent} if absent else {}),
        "origins": origins(source.source for source in recipe.data.train if source.source not in absent),
        "training": training | ({"resumed_at": checkpoints.step_of(checkpoint)} if checkpoint else {}),
        "history": history.evaluations(
            trainer.state.log_history, [each.name for each in sets], recipe.evaluate.measured
        ),
        "seconds": {stage: round(spent, 1) for stage, spent in seconds.items()},
        "recipe": recipe.model_dump(mode="json"),
    }
    save_per_query(output / PER_QUERY, {BEFORE: before.retrieval, AFTER: after.retrieval})
    place.save_model(model, output / MODEL, report, recipe.to_yaml())
    write_json(output / REPORT, report)
    write_page(report, output / PAGE)
    if (repository := recipe.training.push_to_hub) is not None:
        say(f"pushed: {push(output / MODEL, repository, private=recipe.training.private)}")
    return report


def refuse_unwritable(recipe: Recipe) -> None:
    """What a run alone must be sure of, and nobody who only reads its recipe.

    Raises:
        ConfigError: the output is somebody else's, or holds what the run begins with; a logger that is not there.
    """
    place.refuse_foreign(recipe.output)
    for key, name in (("model.name", recipe.model.name), *(("guide.name", name) for name in recipe.guide.names)):
        place.refuse_to_replace(recipe.output, key, name)
    refuse_unknown_loggers(recipe.training.report_to)


class Prepared(NamedTuple):
    """What a recipe names, read and checked.

    ``left_out``: how many rows stayed out of which training set. ``absent``: optional sources and sets whose data is
    not at hand.
    """

    sets: list[RetrievalSet]
    train: build.Sets
    checks: Checks
    left_out: LeftOut
    absent: list[str]


def prepare(recipe: Recipe, folder: Path | None, *, overwrite: bool = False) -> Prepared:
    """Everything that can be checked before a model is loaded, the cheapest first: output, data, model names.

    Raises:
        ConfigError, DataError: the output holds a finished run (without ``overwrite``) or is a file; a source or a
            set cannot be had; the split leaks; a model's folder or a guide's file does not exist.
    """
    output = recipe.output
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output {output}: a file, where a folder was wanted. Give another output.")
    if (output / REPORT).is_file() and not overwrite:
        raise ConfigError(f"output {output}: holds a finished run. Give --overwrite to replace it, or another output.")
    resolve_model(recipe.model.name)
    for name in recipe.guide.names:
        refuse_absent(name)
    if not overwrite and (whole := checkpoints.whole(output / build.CHECKPOINTS)):
        cure = "--resume to go on, or --overwrite" if checkpoints.resumable(whole[-1]) else "--overwrite"
        raise ConfigError(f"output {output}: holds an unfinished run. Give {cure}, or another output.")
    sets = build.evaluation_sets(recipe.evaluate, recipe.data, folder)
    checks = build.checks(recipe, folder)
    train = build.training_data(recipe.data, folder, sets)
    train, left_out = keep_apart(train, sets, checks)
    build.refuse_empty_epoch(recipe, train)
    absent = [source.source for name, source in recipe.data.sets.items() if name not in train]
    absent += [name for name in recipe.evaluate.optional if name not in {each.name for each in sets}]
    return Prepared(sets, train, checks, left_out, absent)


def _guide(recipe: Recipe, store: GuideStore) -> dict[str, Any]:
    return {"name": recipe.guide.name, "fingerprint": short(store.fingerprint), "texts": len(store)}


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
