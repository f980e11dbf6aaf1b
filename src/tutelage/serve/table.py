"""Tables of any size, read a record batch at a time with every column as it stands, and their text column checked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from tutelage.errors import DataError, first_line

DELIMITERS = {"csv": ",", "tsv": "\t"}
JSON = ("jsonl", "ndjson")
USUAL = "text"
ROWS_AT_ONCE = 65_536  # of a Parquet file; the other kinds are read by blocks of bytes


@dataclass(frozen=True)
class TextTable:
    """A file with a column of texts. In CSV and TSV every column is text: a code keeps its leading zeros.

    Example::

        table = open_table(Path("titles.csv"))
        for batch in table.batches():
            texts = table.texts(batch)
    """

    path: Path
    column: str
    schema: pa.Schema
    rows: int

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, in order, anew at each call."""
        return _batches(self.path, self.schema)

    def texts(self, batch: pa.RecordBatch) -> list[str]:
        """The text column of a batch."""
        found: list[str] = batch.column(self.column).cast(pa.string()).to_pylist()
        return found


def open_table(path: Path, column: str | None = None) -> TextTable:
    """A table read once from end to end: faults are found before anything costly is begun.

    Args:
        path: .csv, .tsv, .jsonl or .parquet; all but the last also .gz.
        column: of the texts; default: ``text``, or the only column.

    Raises:
        DataError: no such file, an unknown ending, no row, a row that does not parse; no such column, or one that is
            not text; a text that is missing or empty.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of an existing CSV, TSV, JSONL or Parquet file.")
    if _ending(path) not in (*DELIMITERS, *JSON, "parquet"):
        raise DataError(f"{path}: unknown ending. Wanted: .csv, .tsv, .jsonl (each also .gz) or .parquet.")
    schema = _schema(path)
    column = _text_column(path, schema, column)
    rows = 0
    for batch in _batches(path, schema):
        texts = batch.column(column).cast(pa.string())
        empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), True)
        if (at := pc.index(empty, True).as_py()) >= 0:
            raise DataError(
                f"{path} row {rows + at + 1} (the first below the header is 1): '{column}' is empty. Remove the row or "
                "fix its source."
            )
        rows += len(batch)
    if not rows:
        raise DataError(f"{path}: no row in it. Wanted at least one text.")
    return TextTable(path, column, schema, rows)


def _ending(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[2].lower()


def _schema(path: Path) -> pa.Schema:
    """Types of the columns: all text in delimited files, as found elsewhere; a JSON string stays one, date or not."""
    kind = _ending(path)
    with _faults(path):
        if kind == "parquet":
            return pa.parquet.read_schema(path)
        if kind in DELIMITERS:
            with pa.csv.open_csv(path, **_delimited(kind)) as reader:
                return pa.schema([(name, pa.string()) for name in reader.schema.names])
        with pa.json.open_json(path) as reader:
            found = reader.schema
        return pa.schema([(each.name, pa.string() if pa.types.is_temporal(each.type) else each.type) for each in found])


def _text_column(path: Path, schema: pa.Schema, asked: str | None) -> str:
    names = schema.names
    column = asked or (names[0] if len(names) == 1 else USUAL)
    if column not in names:
        raise DataError(f"{path}: no column '{column}'. Columns: {', '.join(names)}. Name one with --column.")
    if names.count(column) > 1:
        raise DataError(f"{path}: column '{column}' stands twice. Rename one.")
    kind = schema.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"{path}: '{column}' is {kind}, where text was wanted. Name another with --column.")
    return column


def _batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    kind = _ending(path)
    with _faults(path):
        if kind == "parquet":
            with pa.parquet.ParquetFile(path) as file:
                yield from file.iter_batches(ROWS_AT_ONCE)
        elif kind in DELIMITERS:
            as_text = pa.csv.ConvertOptions(column_types={name: pa.string() for name in schema.names})
            with pa.csv.open_csv(path, convert_options=as_text, **_delimited(kind)) as reader:
                yield from reader
        else:
            options = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
            with pa.json.open_json(path, parse_options=options) as reader:
                yield from reader


def _delimited(kind: str) -> dict[str, Any]:
    """CSV is quoted, TSV never: a quotation mark there is a character like any other."""
    quoted = kind == "csv"
    options = pa.csv.ParseOptions(
        delimiter=DELIMITERS[kind], quote_char='"' if quoted else False, newlines_in_values=quoted
    )
    return {"parse_options": options}


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Arrow's faults as ours."""
    try:
        yield
    except pa.ArrowException as fault:
        first = first_line(fault)
        if "Empty" in first:
            raise DataError(f"{path}: empty file. Wanted at least one text.") from None
        raise DataError(f"{path}: cannot be read ({first}). Mend the row, or write the file again.") from None


def metadata_of(path: Path, key: str) -> dict[str, Any]:
    """What a Parquet file tells of itself under a key; nothing where it has none, or is not whole."""
    try:
        held = pa.parquet.read_schema(path).metadata or {}
    except pa.ArrowException:
        return {}
    found: dict[str, Any] = json.loads(held.get(key.encode(), b"{}"))
    return found
