"""ESCO occupations: the portal's CSV download, the sample, which has the same columns, and titles of one's own."""

from collections.abc import Iterable
from pathlib import Path

from tutelage.errors import DataError
from tutelage.records.concepts import Concept
from tutelage.records.tables import Row, read_rows
from tutelage.records.texts import canonical

COLUMNS = ("conceptUri", "preferredLabel", "altLabels")
TITLES = ("conceptUri", "label")


def read_esco(path: str | Path, language: str, *, lower: bool = False) -> list[Concept]:
    """Concepts of one ESCO ``occupations_{language}.csv``, or of a table with one title a row.

    ESCO's own file: ``altLabels`` holds one label a line; ``iscoGroup``, ``code`` and ``description`` are optional
    (older releases lack some). Preferred labels that join both gender forms by "/" are kept as they stand. Titles of
    one's own, in a language that ESCO lacks: columns ``conceptUri`` and ``label``; a concept's first title is its
    preferred one. Either may be CSV, TSV, JSONL (each also ``.gz``) or Parquet.

    Raises:
        DataError: a column is missing, a label is empty, or a concept stands twice in a file of ESCO's.
    """
    where, numbered = read_rows(path)
    rows = list(numbered)
    if rows and TITLES[1] in rows[0][1] and COLUMNS[1] not in rows[0][1]:
        return _titles(where, rows, language, lower)
    return _occupations(where, rows, language, lower)


def _occupations(where: str, rows: Iterable[tuple[int, Row]], language: str, lower: bool) -> list[Concept]:
    concepts: dict[str, Concept] = {}
    for number, row in rows:
        uri, preferred, alternatives = _cells(where, number, row, COLUMNS, lower)
        if uri in concepts:
            raise DataError(f"{where} row {number}: concept {uri} stands twice. Keep one of the rows.")
        concepts[uri] = Concept(
            uri=uri,
            group=_text(row, "iscoGroup").rpartition("/C")[2],
            code=_text(row, "code"),
            language=language,
            preferred=preferred,
            alternatives=tuple(label for each in alternatives.split("\n") if (label := canonical(each))),
            description=canonical(_text(row, "description")),
        )
    return list(concepts.values())


def _titles(where: str, rows: Iterable[tuple[int, Row]], language: str, lower: bool) -> list[Concept]:
    groups: dict[str, str] = {}
    titles: dict[str, list[str]] = {}
    for number, row in rows:
        uri, title = _cells(where, number, row, TITLES, lower)
        groups[uri] = groups.get(uri) or _text(row, "iscoGroup").rpartition("/C")[2]
        titles.setdefault(uri, []).append(title)
    return [
        Concept(uri, groups[uri], "", language, preferred, tuple(others))
        for uri, (preferred, *others) in titles.items()
    ]


def _cells(where: str, number: int, row: Row, columns: tuple[str, ...], lower: bool) -> list[str]:
    """The concept and its labels in a row; the first two columns may not be empty."""
    if missing := [column for column in columns if column not in row]:
        raise DataError(
            f"{where}: no column {', '.join(missing)}. Columns: {', '.join(row)}. "
            "Wanted: the occupations file of ESCO's CSV download (https://esco.ec.europa.eu), or one title a row under "
            "conceptUri, label."
        )
    uri, *labels = (_text(row, column) for column in columns)
    cells = [uri.strip(), *(canonical(label, lower=lower) for label in labels)]
    for column, cell in zip(columns[:2], cells, strict=False):
        if not cell:
            raise DataError(f"{where} row {number}: '{column}' is empty. Remove the row or fix its source.")
    return cells


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value)
