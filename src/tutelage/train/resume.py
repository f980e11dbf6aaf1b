"""Where a run goes on from: its last whole checkpoint, if it is the same run."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from datasets import Dataset

from tutelage.errors import ConfigError
from tutelage.records.judged import hides
from tutelage.records.texts import text_ids
from tutelage.train import build, checkpoints
from tutelage.train.apart import is_apart, is_own
from tutelage.train.place import DATA
from tutelage.train.recipe import Recipe, load_recipe

# What may differ between a run and its continuation.
CONTINUABLE = {
    "epochs",
    "max_steps",
    "log_every",
    "evaluate_every",
    "save_every",
    "report_to",
    "push_to_hub",
    "private",
}


def resumed(recipe: Recipe, begun: Path, train: Mapping[str, Dataset]) -> tuple[Recipe, Path]:
    """The recipe to go on with, and the last whole checkpoint of it; one that was cut off meanwhile is passed over.

    The precision that ``auto`` was settled to stays: measured anew, it might be another.

    Args:
        recipe: to go on with.
        begun: the file of the recipe that the run was begun with, its precision settled.
        train: the training sets, to be compared with what `about` told of them when the run was begun.

    Raises:
        ConfigError: there is no such checkpoint, or it is another recipe's or other data's.
    """
    folder = recipe.output / build.CHECKPOINTS
    whole = checkpoints.whole(folder)
    if not whole:
        raise ConfigError(
            f"--resume: no checkpoint in {folder} was written whole. Set training.save_every and run without --resume."
        )
    if not checkpoints.resumable(whole[-1]):
        raise ConfigError(
            f"--resume: {whole[-1]} holds weights alone (training.save_only_model), which is nothing to go on from. "
            "Begin anew with --overwrite, or train from it: model.name."
        )
    first = load_recipe(begun)
    if recipe.training.precision == "auto":
        recipe = recipe.in_precision(first.training.precision)
    if changed := sorted(_essence(recipe).items() ^ _essence(first).items()):
        raise ConfigError(
            f"--resume: {changed[0][0]} differs from the run that was begun in {recipe.output}. "
            "Give the same recipe, or --overwrite without --resume."
        )
    told, now = begun.with_name(DATA), about(train)
    held = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else now
    if other := [name for name in {**held, **now} if held.get(name) != now.get(name)]:
        what = f"{held[other[0]]['rows']:,} rows of it" if other[0] in held else "no such set"
        raise ConfigError(
            f"--resume: the data set '{other[0]}' is another than the run in {recipe.output} was begun with ({what}). "
            "Give the same data, or --overwrite without --resume."
        )
    return recipe, whole[-1]


def about(train: Mapping[str, Dataset]) -> dict[str, dict[str, Any]]:
    """Rows of each training set, and a digest of all that stands in them, in their order."""
    return {name: {"rows": len(rows), "digest": _digest(rows)} for name, rows in train.items()}


def _digest(rows: Dataset) -> str:
    whole = sha256()
    for column in rows.column_names:
        whole.update(column.encode())
        whole.update(text_ids(str(each) for each in rows[column]).tobytes())
    return whole.hexdigest()[:16]


def _essence(recipe: Recipe) -> dict[str, str]:
    """Every setting that a continued run must share, as section.key -> value."""
    sections = recipe.model_dump(mode="json", exclude={"name", "output", "evaluate"})
    essence = {
        f"{section}.{key}": json.dumps(value)
        for section, settings in sections.items()
        for key, value in settings.items()
        if key not in CONTINUABLE
    }
    # Of what a run is judged by, only this decides of its weights: texts not to be learned from, the best checkpoint.
    judged = recipe.evaluate
    named = [name for name in (*judged.sets, *judged.optional) if hides(name) or is_apart(name) or is_own(name)]
    essence |= {"evaluate.sets": json.dumps(named), "evaluate.general": json.dumps(judged.general)}
    essence["evaluate.triplets"] = json.dumps([each.source for each in judged.triplets])
    if judged.best is not None:
        essence["evaluate.best"] = f"{judged.best.set} {judged.best.metric or judged.main}"
    return essence
