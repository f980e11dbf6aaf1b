"""Tables of any length in bounded memory: rows in batches, and a writer of the same formats.

Cells come out as they went in: CSV and TSV are text all through, JSONL keeps JSON's types, Parquet its schema.
"""

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tutelage.errors import DataError
from tutelage.records.files import settle
from tutelage.records.tables import Row, delimited_rows, jsonl_rows, refuse_twice

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
Write = Callable[[Sequence[Row]], None]


class Stream(NamedTuple):
    """A table being read: its columns (of JSONL: those of the first row), its rows, and, but of JSONL, their types."""

    columns: list[str]
    rows: Iterator[Row]
    schema: pa.Schema | None = None


@contextmanager
def reading(path: Path) -> Iterator[Stream]:
    """A CSV, TSV or JSONL (each also ``.gz``) or Parquet file; UTF-8 with or without a byte-order mark.

    Raises:
        DataError: no such file, an unknown ending, a column that stands twice, no row, a row that does not parse (while
            rows are taken).
    """
    ending = _ending(path.name.removesuffix(".gz"), path)
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of an existing table.")
    if ending == ".parquet":
        with _parquet(path) as file:
            refuse_twice(file.schema_arrow.names, str(path))
            batches = file.iter_batches(batch_size=1024)
            yield Stream(
                file.schema_arrow.names, (row for batch in batches for row in batch.to_pylist()), file.schema_arrow
            )
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as raw:
        lines = _lines(raw, str(path))
        numbered = (
            jsonl_rows(lines, str(path))
            if ending == ".jsonl"
            else delimited_rows(lines, str(path), "\t" if ending == ".tsv" else ",")
        )
        rows = (row for _, row in numbered)
        first = next(rows, None)
        if first is None:
            raise DataError(f"{path}: no row in it. Wanted at least one.")
        types = None if ending == ".jsonl" else pa.schema([(name, pa.string()) for name in first])
        yield Stream(list(first), _again(first, rows), types)


def batches(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """The rows, so many at a time."""
    while batch := list(islice(rows, size)):
        yield batch


@contextmanager
def writing(path: Path, columns: Sequence[str], schema: pa.Schema | None = None) -> Iterator[Write]:
    """A file that takes batches of rows, and appears whole when all are written, or not at all.

    Args:
        path: its ending says what it is.
        columns: of all but JSONL; a cell that a row lacks, or that is none, is empty.
        schema: types of Parquet's columns; the first batch tells those that it lacks. A column that is none all through
            it, or holds objects, is text, spelled as in CSV.

    Raises:
        DataError: an unknown ending; a cell that the format cannot hold.
    """
    ending = _ending(path.name, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    try:
        if ending == ".parquet":
            with _parquet_writer(beside, columns, schema, path) as write:
                yield write
        else:
            # Half a surrogate pair is no UTF-8: JSON spells it again, elsewhere it becomes a question mark.
            odd = "backslashreplace" if ending == ".jsonl" else "replace"
            with beside.open("w", encoding="utf-8", errors=odd, newline="") as file:
                yield _text_writer(file, ending, columns, path)
        settle(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _ending(name: str, path: Path) -> str:
    ending = Path(name).suffix.lower().replace(".ndjson", ".jsonl")
    if ending not in ENDINGS:
        raise DataError(f"{path}: unknown ending '{ending}'. Wanted: {', '.join(ENDINGS)}.")
    return ending


def _again(first: Row, rest: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rest


def _lines(raw: Iterable[bytes], where: str) -> Iterator[str]:
    """Lines of text with their ends."""
    lines = iter(raw)
    number = 0
    while True:
        try:
            line = next(lines, None)
        except (OSError, EOFError, zlib.error) as fault:
            raise DataError(f"{where}: not a whole gzip file ({fault}). Compress it again, or drop the .gz.") from None
        if line is None:
            return
        number += 1
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as fault:
            raise DataError(
                f"{where} line {number}: byte 0x{line[fault.start]:02x} is not UTF-8. Save the file as UTF-8 and run "
                "again."
            ) from None
        yield from io.StringIO(text, newline="")  # lines may end in a carriage return alone


@contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as fault:
        raise DataError(f"{path}: not Parquet ({str(fault).splitlines()[0]}). Write the file again.") from None
    with file:
        yield file


@contextmanager
def _parquet_writer(beside: Path, columns: Sequence[str], known: pa.Schema | None, path: Path) -> Iterator[Write]:
    writer: pq.ParquetWriter | None = None
    schema = known
    spelled: list[str] = []

    def write(rows: Sequence[Row]) -> None:
        nonlocal writer, schema, spelled
        try:
            if writer is None:
                schema, spelled = _types(rows, columns, known)
            table = _table([{**row, **{name: _spelled(row.get(name)) for name in spelled}} for row in rows], schema)
        except (pa.ArrowException, TypeError, OverflowError) as fault:
            raise DataError(
                f"{path}: a column holds values of several types or beyond 64 bits ({fault}). Write .jsonl."
            ) from None
        writer = writer or pq.ParquetWriter(beside, schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer:
            writer.close()


def _types(rows: Sequence[Row], columns: Sequence[str], known: pa.Schema | None) -> tuple[pa.Schema, list[str]]:
    """Types of the columns, and which of them are to be spelled as text: those of which these rows tell too little."""
    given = {field.name: field for field in known or ()}
    found = _table([{name: row.get(name) for name in columns if name not in given} for row in rows], None).schema
    spelled = [field.name for field in found if not _lasting(field.type)]
    given |= {field.name: field.with_type(pa.string()) if field.name in spelled else field for field in found}
    return pa.schema([given[name] for name in columns]), spelled


def _lasting(kind: pa.DataType) -> bool:
    """Whether rows to come can have this type too: of nulls none is known yet, and an object's new fields would go."""
    kind = kind.value_type if pa.types.is_list(kind) else kind
    return not (pa.types.is_null(kind) or pa.types.is_nested(kind))


def _table(rows: Sequence[Row], schema: pa.Schema | None) -> pa.Table:
    """With a question mark for half a surrogate pair: only rows of JSON have one, and JSON gives them back."""
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except UnicodeEncodeError:
        text = json.dumps(rows, ensure_ascii=False).encode("utf-8", "replace")
        return pa.Table.from_pylist(json.loads(text), schema=schema)


def _jsonl_writer(file: IO[str]) -> Write:
    def write(rows: Sequence[Row]) -> None:
        file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)

    return write


def _text_writer(file: IO[str], ending: str, columns: Sequence[str], path: Path) -> Write:
    if ending == ".jsonl":
        return _jsonl_writer(file)
    return _csv_writer(file, columns) if ending == ".csv" else _tsv_writer(file, columns, path)


def _csv_writer(file: IO[str], columns: Sequence[str]) -> Write:
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(rows: Sequence[Row]) -> None:
        for row in rows:
            cells = [_cell(row, column) for column in columns]
            # Older Pythons do not quote a carriage return, which a reader takes for the line's end.
            (quoted if any("\r" in cell for cell in cells) else plain).writerow(cells)

    plain.writerow(columns)
    return write


def _tsv_writer(file: IO[str], columns: Sequence[str], path: Path) -> Write:
    def write(rows: Sequence[Row]) -> None:
        for row in rows:
            cells = [_cell(row, column) for column in columns]
            if any(letter in cell for cell in cells for letter in "\t\n\r"):
                raise DataError(f"{path}: a cell holds a tab or a line end, which TSV cannot. Write .csv.")
            file.write("\t".join(cells) + "\n")

    file.write("\t".join(columns) + "\n")
    return write


def _cell(row: Mapping[str, Any], column: str) -> str:
    return _spelled(row.get(column)) or ""


def _spelled(value: Any) -> str | None:
    if value is None:
        return None
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)
