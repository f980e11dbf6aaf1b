"""What a person says of pairs of texts that a guide, or nobody, thought alike."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.errors import DataError
from tutelage.records.tables import read_rows
from tutelage.records.texts import canonical

POSITIVE, NEVER = "positive", "never"
COLUMNS = ("anchor", "candidate", "verdict")


class Verdict(NamedTuple):
    """``positive``: the candidate is a right answer. ``never``: it is none, but no negative either."""

    anchor: str
    candidate: str
    verdict: str


def read_verdicts(path: str | Path) -> list[Verdict]:
    """The judged rows of a table (Parquet, CSV, TSV, JSONL) with columns anchor, candidate, verdict.

    A row whose verdict is empty has not been judged and is passed over.

    Raises:
        DataError: a missing column, another verdict, an empty text, the same text twice in a row.

    Example::

        read_verdicts("runs/demo/audit/dropped.parquet")
    """
    where, rows = read_rows(path)
    found = (_verdict(row, f"{where} row {number}") for number, row in rows)
    return [verdict for verdict in found if verdict is not None]


def _verdict(row: dict[str, Any], where: str) -> Verdict | None:
    if missing := [column for column in COLUMNS if column not in row]:
        raise DataError(
            f"{where}: no column '{missing[0]}'. Columns: {', '.join(map(str, row))}. Wanted: {', '.join(COLUMNS)}."
        )
    anchor, candidate, said = (canonical(str(row[column] or "")) for column in COLUMNS)
    if not said:
        return None
    if said not in (POSITIVE, NEVER):
        raise DataError(f"{where}: 'verdict' is '{said}'. Wanted: {POSITIVE}, {NEVER}, or nothing (not judged).")
    if not anchor or not candidate:
        raise DataError(f"{where}: 'anchor' or 'candidate' is empty. Remove the row or fix its source.")
    if anchor == candidate:
        raise DataError(f"{where}: '{anchor}' is judged against itself. Remove the row.")
    return Verdict(anchor, candidate, said)


def read_all(paths: Iterable[str | Path]) -> list[Verdict]:
    """The verdicts of several files, each pair once.

    Raises:
        DataError: a file's fault; a pair that is ``positive`` in one place and ``never`` in another.
    """
    said: dict[frozenset[str], Verdict] = {}
    for path in paths:
        for verdict in read_verdicts(path):
            first = said.setdefault(frozenset(verdict[:2]), verdict)
            if first.verdict != verdict.verdict:
                raise DataError(
                    f"{path}: '{verdict.anchor}' and '{verdict.candidate}' are {verdict.verdict} here and "
                    f"{first.verdict} elsewhere in data.verdicts. Settle on one."
                )
    return list(said.values())
