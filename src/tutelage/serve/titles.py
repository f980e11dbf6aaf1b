"""A table of titles, matched: all its columns as they came, and behind them what each title means."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from tqdm import tqdm

from tutelage.errors import ConfigError, DataError
from tutelage.records.streams import batches, reading, writing
from tutelage.records.tables import Row
from tutelage.serve.contract import UNKNOWN, ConceptHit, Match
from tutelage.serve.engine import count_truncated
from tutelage.serve.match import Matcher

ROWS_AT_ONCE = 4096
USUAL = ("title", "text")  # names of the column, in this order, where there are several
ADDED = {
    "concept": pa.string(),
    "code": pa.string(),
    "label": pa.string(),
    "matched_label": pa.string(),
    "matched_language": pa.string(),
    "score": pa.float64(),
    "confidence": pa.float64(),
    "alternatives": pa.list_(
        pa.struct({"concept": pa.string(), "code": pa.string(), "label": pa.string(), "score": pa.float64()})
    ),
}
FLAT = (".csv", ".tsv")  # alternatives are their labels, joined
JSON = (".jsonl", ".ndjson")  # each row has its own columns


class Summary(NamedTuple):
    """Rows read, how many of them have a concept that is believed, and how many are longer than the model reads."""

    rows: int
    known: int
    truncated: int

    @property
    def unknown(self) -> int:
        """The others."""
        return self.rows - self.known


def match_table(
    matcher: Callable[[], Matcher],
    source: Path,
    target: Path,
    *,
    column: str | None = None,
    k: int = 3,
    languages: Sequence[str] = (),
    groups: Sequence[str] = (),
    progress: bool = True,
) -> Summary:
    """Match every row of a table into another, in bounded memory; the target appears whole or not at all.

    Added are concept (`UNKNOWN` where it is not believed), its code and label, the label that matched and its language,
    the score, the confidence, and the alternatives: the other concepts, or all where none is believed. In CSV and TSV
    these are their labels, joined by " | "; in JSONL and Parquet a list of concept, code, label and score. Of JSONL,
    Parquet's types are those of the first rows (`tutelage.records.streams.writing`).

    Args:
        matcher: makes it; asked once the source can be read and the target written, since a model takes time.
        source: CSV, TSV, JSONL (each also .gz) or Parquet.
        target: CSV, TSV, JSONL or Parquet, whatever the source.
        column: of the titles; default: ``title``, else ``text``, else the only one.
        k: concepts of each title: the first and its alternatives.
        languages: as `Matcher.match`.
        groups: as `Matcher.match`.
        progress: show a bar, where there is a terminal.

    Raises:
        ConfigError: no such column; a column of the names that are added.
        DataError: a file that cannot be read; a later row of JSONL with a column that is added, or that the first row
            lacks and the target, other than JSONL, would lose.
    """
    if source.resolve() == target.resolve():
        raise ConfigError(f"{target}: the table itself. Choose another file to write.")
    with reading(source) as stream:
        named = _column(source, stream.columns, column)
        if clash := [name for name in stream.columns if name in ADDED]:
            raise ConfigError(f"{source}: has a column '{clash[0]}', which a match adds. Rename it.")
        schema = pa.schema([*(stream.schema or ()), *(pa.field(name, ADDED[name]) for name in ADDED)])
        flat = target.suffix.lower() in FLAT
        rows = known = truncated = 0
        with writing(target, [*stream.columns, *ADDED], schema) as write:
            found_by = matcher()
            with tqdm(desc="match", unit=" titles", disable=None if progress else True) as bar:
                for batch in batches(stream.rows, ROWS_AT_ONCE):
                    _refuse_foreign(batch, rows, stream.columns, source, target)
                    texts = [_title(row, named, source) for row in batch]
                    found = found_by.match(texts, k, languages, groups)
                    write([{**row, **added(match, flat)} for row, match in zip(batch, found, strict=True)])
                    rows, known = rows + len(batch), known + sum(match.known for match in found)
                    truncated += count_truncated(found_by.engine, texts)
                    bar.update(len(batch))
    return Summary(rows, known, truncated)


def added(match: Match, flat: bool) -> dict[str, Any]:
    """The columns of one match."""
    best = match.concepts[0] if match.concepts else None
    shown = best if match.known else None
    others = match.concepts[1:] if match.known else match.concepts
    return {
        "concept": shown.concept if shown else UNKNOWN,
        "code": shown.code if shown else "",
        "label": shown.label if shown else "",
        "matched_label": shown.matched.text if shown else "",
        "matched_language": shown.matched.language if shown else "",
        "score": round(best.score, 4) if best else None,
        "confidence": round(match.confidence, 4),
        "alternatives": " | ".join(each.label for each in others) if flat else [_alternative(each) for each in others],
    }


def _alternative(hit: ConceptHit) -> dict[str, Any]:
    return {"concept": hit.concept, "code": hit.code, "label": hit.label, "score": round(hit.score, 4)}


def _column(source: Path, columns: Sequence[str], named: str | None) -> str:
    wanted = [named] if named is not None else [*USUAL, *columns[:1]] if len(columns) == 1 else USUAL
    for name in wanted:
        if name in columns:
            return name
    asked = f"no column '{named}'" if named is not None else "which column holds the titles?"
    raise ConfigError(f"{source}: {asked} Columns: {', '.join(columns)}. Name one: --column NAME.")


def _refuse_foreign(batch: Sequence[Row], before: int, columns: Sequence[str], source: Path, target: Path) -> None:
    """A later row of JSONL may have more columns than the first: none may be overwritten or left out unsaid."""
    for number, row in enumerate(batch, start=before + 1):
        for name in row.keys() - columns:
            where = f"{source} row {number} (blank lines not counted)"
            if name in ADDED:
                raise DataError(f"{where}: has a column '{name}', which a match adds. Rename it.")
            if target.suffix.lower() not in JSON:
                raise DataError(f"{where}: has a column '{name}', which the first row lacks. Write .jsonl.")


def _title(row: Mapping[str, Any] | Row, column: str, source: Path) -> str:
    value = row.get(column)
    if isinstance(value, (list, dict, bytes)):
        raise DataError(f"{source}: '{column}' holds a {type(value).__name__}, where text was wanted. Mend the row.")
    # Half a surrogate pair (which JSON can spell) is no text that a tokenizer takes.
    return "" if value is None else str(value).encode("utf-8", "replace").decode("utf-8")
