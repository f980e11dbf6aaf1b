"""Pairs of sentences with a human score of how alike they are: semantic textual similarity."""

import math
from dataclasses import dataclass
from pathlib import Path

from tutelage.errors import DataError
from tutelage.records.tables import read_rows
from tutelage.records.texts import canonical

COLUMNS = ("sentence1", "sentence2", "score")


@dataclass(frozen=True)
class ScoredPairs:
    """Sentences of equal position form a pair; only the order of the scores matters, not their scale."""

    name: str
    left: list[str]
    right: list[str]
    scores: list[float]


def read_scored(source: str | Path, name: str = "") -> ScoredPairs:
    """Scored pairs from a table (JSONL, CSV, TSV, Parquet) with columns ``sentence1``, ``sentence2``, ``score``.

    Raises:
        DataError: a missing column, an empty sentence, a score that is no number, fewer than two distinct scores.
    """
    where, rows = read_rows(source)
    left, right, scores = [], [], []
    for number, row in rows:
        if missing := [column for column in COLUMNS if column not in row]:
            raise DataError(f"{where} row {number}: no column '{missing[0]}'. Wanted: {', '.join(COLUMNS)}.")
        one, other = ("" if row[column] is None else canonical(str(row[column])) for column in COLUMNS[:2])
        if not (one and other):
            raise DataError(f"{where} row {number}: a sentence is empty. Remove the row or fix its source.")
        left.append(one)
        right.append(other)
        scores.append(_number(row["score"], f"{where} row {number}"))
    if len(set(scores)) < 2:
        raise DataError(f"{where}: {len(set(scores))} distinct scores. Wanted two at least, or nothing can be ranked.")
    return ScoredPairs(name or Path(str(source)).name.partition(".")[0], left, right, scores)


def _number(value: object, where: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: 'score' is {value!r}, where a number was wanted. Mend the row.")
    return number
