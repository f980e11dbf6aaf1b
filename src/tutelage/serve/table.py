"""Tables of any size, read a record batch at a time with every column as it stands, and their text column checked."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from tutelage.errors import DataError, first_line
from tutelage.records.streams import Stream, batches, reading
from tutelage.records.tables import Row

USUAL = "text"
ROWS_AT_ONCE, PARQUET_AT_ONCE = 8192, 65_536


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
    """A table read once from end to end (JSONL twice): faults are found before anything costly is begun.

    Args:
        path: .csv, .tsv, .jsonl or .parquet; all but the last also .gz.
        column: of the texts; default: ``text``, or the only column.

    Raises:
        DataError: no such file, an unknown ending, no row, a row that does not parse; a column of JSONL that holds
            values of several types; no such column, or one that is not text; a text that is missing or empty.
    """
    with reading(path) as stream:
        schema = stream.schema or _schema(path, stream)
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


def _schema(path: Path, stream: Stream) -> pa.Schema:
    """Types of JSONL's columns, all rows looked at: a field may come late, and a number have a fraction once."""
    schema, before = pa.schema([]), 0
    for rows in batches(stream.rows, ROWS_AT_ONCE):
        names = dict.fromkeys(name for row in rows for name in row)
        for name in names:
            where = f"{path} rows {before + 1} to {before + len(rows)}: '{name}'"
            found = pa.field(name, _typed([row.get(name) for row in rows], None, where).type)
            try:
                schema = pa.unify_schemas([schema, pa.schema([found])], promote_options="permissive")
            except pa.ArrowException as fault:
                raise _several(where, fault) from None
        before += len(rows)
    return schema


def _typed(values: Sequence[Any], kind: pa.DataType | None, where: str) -> pa.Array:
    """The values of one column.

    Raises:
        DataError: they have no type in common, or are beyond 64 bits.
    """
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        raise DataError(f"{where} holds half a surrogate pair. Mend the row.") from None
    except (pa.ArrowException, TypeError, OverflowError) as fault:
        raise _several(where, fault) from None


def _several(where: str, fault: Exception) -> DataError:
    return DataError(f"{where} holds values of several types, or beyond 64 bits ({first_line(fault)}). Mend the rows.")


def _text_column(path: Path, schema: pa.Schema, asked: str | None) -> str:
    names = schema.names
    column = asked or (names[0] if len(names) == 1 else USUAL)
    if column not in names:
        raise DataError(f"{path}: no column '{column}'. Columns: {', '.join(names)}. Name one with --column.")
    kind = schema.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise DataError(f"{path}: '{column}' is {kind}, where text was wanted. Name another with --column.")
    return column


def _batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if path.suffix.lower() == ".parquet":
        try:
            with pa.parquet.ParquetFile(path) as file:
                yield from file.iter_batches(PARQUET_AT_ONCE)
        except (pa.ArrowException, OSError) as fault:
            raise DataError(f"{path}: cannot be read ({first_line(fault)}). Write the file again.") from None
        return
    with reading(path) as stream:
        for rows in batches(stream.rows, ROWS_AT_ONCE):
            yield _batch(rows, schema, path)


def _batch(rows: Sequence[Row], schema: pa.Schema, path: Path) -> pa.RecordBatch:
    columns = [_typed([row.get(each.name) for row in rows], each.type, f"{path}: '{each.name}'") for each in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def metadata_of(path: Path, key: str) -> dict[str, Any]:
    """What a Parquet file tells of itself under a key; nothing where it has none, or is not whole."""
    try:
        held = pa.parquet.read_schema(path).metadata or {}
    except pa.ArrowException:
        return {}
    found: dict[str, Any] = json.loads(held.get(key.encode(), b"{}"))
    return found
