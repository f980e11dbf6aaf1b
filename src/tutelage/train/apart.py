"""What a run is judged by stays apart from what it learns: rows that hold such a text are left out, and counted.

Where they may stay, the queries that were seen in training are counted. And what of the data is not learned from for
other reasons is told.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset

from tutelage.errors import ConfigError
from tutelage.evaluate.checks import Checks
from tutelage.records import sources
from tutelage.records.pairs import CONCEPT
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.splits import comparable, judged_texts, rows_without
from tutelage.sampling import ConceptBatches, NoDuplicateBatches
from tutelage.train.build import Sets, text_columns, texts_of
from tutelage.train.recipe import DataRecipe

ALL = 0.95  # of a set's rows, less one batch, is nearly all
LeftOut = dict[str, int]
Seen = dict[str, int]


def keep_apart(train: Sets, sets: Iterable[RetrievalSet], checks: Checks) -> tuple[Sets, LeftOut]:
    """The rows that hold no text of the run's triplets, of its general sets, or of a split such as ``tquad:dev``.

    Held-out concepts were taken out before, when the data was built. Of a set of one's own (a folder or a zip) no row
    stays that puts a query beside one of its right answers. Public benchmarks that share titles with ESCO by design
    (TalentCLEF) have no say here, see `queries_seen`, nor have a corpus's entries that are right for no query.

    Args:
        train: the training sets.
        sets: the recipe's retrieval sets.
        checks: its other sets.

    Returns:
        The sets, and how many rows each lost, of those that lost any.

    Raises:
        ConfigError: a set has no row left.
    """
    judged = (*checks.triplets, *checks.general, *(each for each in sets if is_apart(each.name)))
    secret = {comparable(text) for each in judged for text in judged_texts(each)}
    answers = {answer for each in sets if is_own(each.name) for answer in _answers(each)}
    if not secret and not answers:
        return train, {}
    kept = {name: rows_without(rows, text_columns(rows), secret) for name, rows in train.items()}
    kept = {name: _untaught(rows, answers) if answers else rows for name, rows in kept.items()}
    if empty := [name for name, rows in kept.items() if not len(rows)]:
        raise ConfigError(
            f"data.train: every row of '{empty[0]}' holds a text of a set that the recipe judges by. Name another "
            "split, or leave that set out of evaluate."
        )
    return kept, {name: lost for name, rows in kept.items() if (lost := len(train[name]) - len(rows))}


def is_own(name: str) -> bool:
    """Whether a retrieval set is a folder or a zip."""
    return Path(name).exists()


def _answers(found: RetrievalSet) -> Iterator[tuple[str, str]]:
    """Each query with each of its right answers."""
    for query, entries in found.relevance.items():
        for entry in entries:
            yield comparable(found.queries[query]), comparable(found.corpus[entry])


def _untaught(rows: Dataset, answers: set[tuple[str, str]]) -> Dataset:
    """The rows whose pair is no answer of these, either way round."""
    pairs = zip(*([comparable(text) for text in rows[column]] for column in text_columns(rows)[:2]), strict=True)
    return rows.select([row for row, pair in enumerate(pairs) if pair not in answers and pair[::-1] not in answers])


def is_apart(name: str) -> bool:
    """Whether a retrieval set is the one split of a data set whose other is there to be learned from.

    >>> is_apart("tquad:dev"), is_apart("talentclef:en")
    (True, False)
    """
    return name.partition(":")[0] in sources.TURKISH


def queries_seen(train: Sets, sets: Iterable[RetrievalSet]) -> Seen:
    """Of each retrieval set, how many queries also stand in the training data, in whatever spelling of case and blanks.

    Such a query is no secret, its right answers may be: whoever reads the set's figures should know.
    """
    asked = {each.name: [comparable(each.queries[name]) for name in each.asked] for each in sets}
    wanted = {text for queries in asked.values() for text in queries}
    learned = wanted.intersection(comparable(text) for text in set(texts_of(train)))
    return {name: sum(text in learned for text in queries) for name, queries in asked.items()}


def told(left_out: LeftOut, seen: Seen, absent: Iterable[str] = ()) -> list[str]:
    """One line for each optional source or set without data, for each data set that lost rows, and for each retrieval
    set with queries that training sees.

    >>> for line in told({"tquad:train": 1}, {"talentclef:en": 73, "sample-heldout:en": 0}, ["esco:zh"]): print(line)
    not at hand, and left out: 'esco:zh'
    left out of 'tquad:train': 1 row that holds a text of a set to judge by
    also in training: 73 of the queries of 'talentclef:en'
    """
    rows = {name: f"{lost} rows that hold" if lost > 1 else f"{lost} row that holds" for name, lost in left_out.items()}
    return [
        *(f"not at hand, and left out: '{name}'" for name in absent),
        *(f"left out of '{name}': {what} a text of a set to judge by" for name, what in rows.items()),
        *(f"also in training: {count} of the queries of '{name}'" for name, count in seen.items() if count),
    ]


def held_back(data: DataRecipe, train: Sets) -> Iterator[str]:
    """A line for each table of one's own whose concepts were split: nothing is judged by those that stay out."""
    for name, source in data.sets.items():
        if (
            data.held_out
            and name in train
            and CONCEPT in train[name].column_names
            and not sources.by_name(source.source)
        ):
            yield f"of '{name}' {data.held_out:.0%} of the concepts stay out (data.held_out; 0 learns from all)"


def left_over(sampler: Any, train: Sets) -> Iterator[str]:
    """A line for each set of which a good part is in no batch of an epoch, since a text of it is in too many rows."""
    samplers = getattr(sampler, "batch_samplers", [sampler])  # of several sets, in their order
    if not all(isinstance(each, NoDuplicateBatches) for each in samplers):  # of several processes: a part each
        return
    for (name, pairs), each in zip(train.items(), samplers, strict=True):
        met = len(each) * each.batch_size
        if not isinstance(each, ConceptBatches) and met < ALL * len(pairs) - each.batch_size:
            yield f"of '{name}' {met:,} of {len(pairs):,} rows stand in an epoch's full batches, no text twice in one"
