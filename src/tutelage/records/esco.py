"""ESCO occupations: the portal's CSV download, its gzipped form, and the sample, which has the same columns."""

from pathlib import Path

from tutelage.errors import DataError
from tutelage.records.concepts import Concept
from tutelage.records.tables import delimited_rows, read_text
from tutelage.records.texts import canonical

COLUMNS = ("conceptUri", "iscoGroup", "preferredLabel", "altLabels")


def read_esco(path: str | Path, language: str, *, lower: bool = False) -> list[Concept]:
    """Concepts of one ESCO ``occupations_{language}.csv`` (plain or ``.gz``).

    ``altLabels`` holds one label a line; ``code`` and ``description`` are optional (older releases lack them).
    Preferred labels that join both gender forms by "/" are kept as they stand.

    Raises:
        DataError: a column is missing, a preferred label is empty, or a concept stands twice.
    """
    path = Path(path)
    concepts: dict[str, Concept] = {}
    for number, row in delimited_rows(read_text(path), str(path), ","):
        if missing := [column for column in COLUMNS if column not in row]:
            raise DataError(
                f"{path}: no column {', '.join(missing)}. Columns: {', '.join(row)}. "
                "Wanted: the occupations file of ESCO's CSV download (https://esco.ec.europa.eu)."
            )
        preferred = canonical(row["preferredLabel"], lower=lower)
        if not preferred:
            raise DataError(f"{path} row {number}: 'preferredLabel' is empty. Remove the row or fix its source.")
        if row["conceptUri"] in concepts:
            raise DataError(f"{path} row {number}: concept {row['conceptUri']} stands twice. Keep one of the rows.")
        alternatives = (canonical(label, lower=lower) for label in row["altLabels"].split("\n"))
        concepts[row["conceptUri"]] = Concept(
            uri=row["conceptUri"],
            group=row["iscoGroup"].rpartition("/C")[2],
            code=row.get("code", ""),
            language=language,
            preferred=preferred,
            alternatives=tuple(label for label in alternatives if label),
            description=canonical(row.get("description", "")),
        )
    return list(concepts.values())
