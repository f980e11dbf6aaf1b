"""The folder that a run writes to: what lies in it, whose it is, and what of an earlier run may go."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from tutelage.errors import ConfigError
from tutelage.evaluate.page import PAGE
from tutelage.evaluate.per_query import PER_QUERY
from tutelage.evaluate.report import REPORT, without_texts, write_json
from tutelage.export.card import complete_card
from tutelage.train import history
from tutelage.train.build import CHECKPOINTS

MODEL, RECIPE, GUIDE = "model", "recipe.yaml", "guide"
DATA = "data.json"  # what the run that was begun here learns from


def refuse_foreign(output: Path) -> None:
    """Raise where a folder holds files of the names that a run writes, and no run has written to it.

    Raises:
        ConfigError: the first such name.
    """
    ours = (REPORT, DATA, history.FILE, CHECKPOINTS, GUIDE)
    own = [name for name in (MODEL, RECIPE, PAGE) if (output / name).exists()]
    if own and not any((output / name).exists() for name in ours) and not (output / MODEL / REPORT).is_file():
        raise ConfigError(
            f"output {output}: its '{own[0]}' is of no run of ours. Give another output, or move it away."
        )


def refuse_to_replace(output: Path, key: str, name: str) -> None:
    """Raise for a model that a run begins with, or is guided by, and would write its own over.

    Raises:
        ConfigError: ``name`` lies in the output's model folder, or among its checkpoints.
    """
    places = [(output / part).resolve() for part in (MODEL, CHECKPOINTS)]
    if Path(name).exists() and any(Path(name).resolve().is_relative_to(place) for place in places):
        raise ConfigError(f"{key} is {name}, in whose place the run will write its own. Give another output.")


def remove_run(output: Path) -> None:
    """What an earlier run wrote here, the report first; the guide store stays, its fingerprint decides of its use."""
    for file in (REPORT, PAGE, PER_QUERY, history.FILE):
        (output / file).unlink(missing_ok=True)
    for part in (MODEL, CHECKPOINTS):
        shutil.rmtree(output / part, ignore_errors=True)


def save_model(model: SentenceTransformer, path: Path, report: Mapping[str, Any], recipe: str) -> None:
    """The whole folder or nothing: model, card and report.

    Args:
        model: what was trained.
        path: of the folder.
        report: the run's.
        recipe: the resolved recipe as YAML.
    """
    work = path.with_name(f".{path.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    model.save_pretrained(str(work))
    complete_card(work, report, recipe)
    write_json(work / REPORT, without_texts(report))
    shutil.rmtree(path, ignore_errors=True)
    work.rename(path)
