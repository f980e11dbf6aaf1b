"""What a model's card is told of its training: each data set by its name, the languages, what was logged before."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from torch import nn
from transformers.trainer import TRAINER_STATE_NAME

from tutelage.records import sources, taxonomy
from tutelage.train.build import Sets, texts_only
from tutelage.train.history import EVALUATION, table
from tutelage.train.recipe import TrainSource

LANGUAGES_NAMED = (*taxonomy.TAXONOMIES, "talentclef")  # sources that say which languages they hold


def describe_data(
    model: SentenceTransformer,
    train: Sets,
    named: Mapping[str, TrainSource],
    losses: Mapping[str, nn.Module],
) -> None:
    """Tell the card of the training data: text columns alone, and names in place of "Unnamed Dataset".

    Call it when the trainer is built, which tells the card of every column.

    Args:
        model: whose card it is.
        train: the training sets.
        named: the recipe's sources by the names of their sets.
        losses: what each set is learned by.
    """
    card = model.model_card_data
    about = [_about(name, named[name].source if name in named else name) for name in train]
    card.train_datasets = card.extract_dataset_metadata(texts_only(train), about, dict(losses), "train")
    if spoken := languages(each.source for each in named.values()):
        card.set_language(spoken)


def _about(name: str, source: str) -> dict[str, str]:
    """A data set's name, and its hub id if it comes from there."""
    repository = source.partition("#")[0]
    of_hub = repository.count("/") == 1 and not Path(repository).suffix and not Path(source).exists()
    return {"name": name, "id": repository} if of_hub else {"name": name}


def languages(named: Iterable[str]) -> list[str]:
    """The languages that sources name.

    >>> languages(["esco:en,de", "talentclef:es", "tquad:train", "pairs.csv"])
    ['de', 'en', 'es', 'tr']
    """
    found: set[str] = set()
    for kind, _, rest in ((sources.label_source(name) or name).partition(":") for name in named):
        if kind in LANGUAGES_NAMED:
            found |= set(rest.split(","))
        elif kind in sources.TURKISH:
            found.add("tr")
    return sorted(found)


@contextmanager
def log_as_it_is(model: SentenceTransformer) -> Iterator[None]:
    """The card's training log stays as it is inside: weights put in place of the last ones are of none of its steps."""
    card = model.model_card_data
    lines = [dict(line) for line in card.training_logs]
    yield
    card.training_logs = lines


def recall_log(model: SentenceTransformer, checkpoint: Path) -> None:
    """Tell the card of a resumed run what was logged before, as far as it names figures that the card knows.

    Args:
        model: judged once already, so that its card knows the figures.
        checkpoint: that the run goes on from.
    """
    log = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))["log_history"]
    lines: list[dict[str, Any]] = model.model_card_data.training_logs
    figures = {f"{EVALUATION}{name}": name for line in lines for name in line} | {"loss": "Training Loss"}
    for row in table(log):
        if told := {figures[key]: value for key, value in row.items() if key in figures}:
            lines.append({"Epoch": row["epoch"], "Step": row["step"], **told})
