"""What a run is judged by stays apart from what it learns: rows that hold such a text are left out, and counted."""

from collections.abc import Iterable

from tutelage.errors import ConfigError
from tutelage.evaluate.checks import Checks
from tutelage.records import sources
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.splits import comparable, judged_texts, rows_without
from tutelage.train.build import Sets, text_columns

LeftOut = dict[str, int]


def keep_apart(train: Sets, sets: Iterable[RetrievalSet], checks: Checks) -> tuple[Sets, LeftOut]:
    """The rows that hold no text of the run's triplets, of its general sets, or of a split such as ``tquad:dev``.

    Held-out concepts were taken out before, when the data was built. Public benchmarks that share titles with ESCO by
    design (TalentCLEF) have no say here, nor have a corpus's entries that are right for no query.

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
    if not secret:
        return train, {}
    kept = {name: rows_without(rows, text_columns(rows), secret) for name, rows in train.items()}
    if empty := [name for name, rows in kept.items() if not len(rows)]:
        raise ConfigError(
            f"data.train: every row of '{empty[0]}' holds a text of a set that the recipe judges by. Name another "
            "split, or leave that set out of evaluate."
        )
    return kept, {name: lost for name, rows in kept.items() if (lost := len(train[name]) - len(rows))}


def is_apart(name: str) -> bool:
    """Whether a retrieval set is the one split of a data set whose other is there to be learned from.

    >>> is_apart("tquad:dev"), is_apart("talentclef:en")
    (True, False)
    """
    return name.partition(":")[0] in sources.TURKISH


def told(left_out: LeftOut) -> list[str]:
    """One line for each data set that lost rows.

    >>> told({"tquad:train": 1})
    ["left out of 'tquad:train': 1 row that holds a text of a set to judge by"]
    """
    rows = {name: f"{lost} rows that hold" if lost > 1 else f"{lost} row that holds" for name, lost in left_out.items()}
    return [f"left out of '{name}': {what} a text of a set to judge by" for name, what in rows.items()]
