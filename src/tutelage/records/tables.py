"""Tables of text from JSONL, CSV, TSV, Parquet or a hub dataset, with every fault named by file and row."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset

from tutelage.errors import ConfigError, DataError
from tutelage.records.texts import canonical

Row = dict[str, Any]
ENDINGS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
MARKS = {",": "comma", ";": "semicolon", "\t": "tab"}  # between cells

# ESCO descriptions and passages exceed the module's default of 128 KiB in some releases.
csv.field_size_limit(16 * 1024 * 1024)


def read_text(path: Path) -> str:
    """The whole file as text (UTF-8, with or without a byte-order mark, plain or gzipped).

    Raises:
        DataError: the file is missing or not UTF-8; the message gives the line and the byte.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of an existing file.")
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as fault:
            raise DataError(f"{path}: not a whole gzip file ({fault}). Compress it again, or drop the .gz.") from None
    return decode(raw, str(path))


def decode(raw: bytes, where: str) -> str:
    """UTF-8 bytes as text; ``where`` names the file in the error."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise DataError(
            f"{where} line {line}: byte 0x{raw[fault.start]:02x} is not UTF-8. Save the file as UTF-8 and run again."
        ) from None


def is_missing(source: str | Path) -> bool:
    """Whether a name can only be that of a file, and there is none.

    >>> is_missing("no/such/table.csv.gz"), is_missing("owner/corpus-v1.0")
    (True, False)
    """
    path = Path(source)
    named = path.name.removesuffix(".gz").lower().endswith((*ENDINGS, ".txt"))
    return not path.is_file() and (named or path.is_absolute())


def read_rows(source: str | Path) -> tuple[str, Iterator[tuple[int, Row]]]:
    """Numbered rows of a table, by the file's ending; a name that is no file is asked of the hub.

    Row numbers are those an editor shows: the header of a CSV file is row 1.

    Raises:
        ConfigError: nothing of that name.
        DataError: an unknown ending, a row that does not parse.
    """
    path = Path(source)
    ending = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if path.is_dir():
        raise DataError(f"{path}: a folder, where a table was wanted. Name one JSONL, CSV, TSV or Parquet file.")
    if is_missing(source):
        raise DataError(f"{path}: no such file. Give the path of an existing JSONL, CSV, TSV or Parquet file.")
    if not path.is_file():
        return str(source), enumerate(_hub_rows(str(source)), start=1)
    if ending in ("jsonl", "ndjson"):
        return str(path), jsonl_rows(read_text(path).split("\n"), str(path))
    if ending in ("csv", "tsv"):
        return str(path), delimited_rows(read_text(path), str(path), "\t" if ending == "tsv" else ",")
    if ending == "parquet":
        try:
            return str(path), enumerate(Dataset.from_parquet(str(path)), start=1)
        except Exception as fault:
            raise DataError(f"{path}: not Parquet ({str(fault).splitlines()[0]}). Write the file again.") from None
    raise DataError(f"{path}: unknown ending '.{ending}'. Wanted: .jsonl, .csv, .tsv (each also .gz) or .parquet.")


def delimited_rows(text: str | Iterable[str], where: str, delimiter: str) -> Iterator[tuple[int, Row]]:
    """Rows of a CSV (quoted) or TSV (never quoted: a quotation mark is a character like any other).

    ``text`` is the whole of it, or its lines with their ends. Of a CSV, the header tells the delimiter.
    """
    lines = iter(io.StringIO(text, newline="") if isinstance(text, str) else text)
    first = next(lines, "")
    quoted = delimiter != "\t"
    delimiter = delimiter_of(first) if quoted else delimiter
    quoting = {"strict": True} if quoted else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(chain([first], lines), delimiter=delimiter, **quoting)
    rows = _cells(reader, where)
    header = next(rows, None)
    if not header:
        raise DataError(f"{where}: empty file. Wanted a header line and at least one row.")
    refuse_twice(header, where)
    for cells in rows:
        if not cells:
            continue
        if len(cells) != len(header):
            stray = MARKS[delimiter] + (" or quotation mark" if quoted else "")
            raise DataError(
                f"{where} row {reader.line_num}: {len(cells)} columns, the header has {len(header)}. "
                f"Mend the row (a stray {stray}?)."
            )
        yield reader.line_num, dict(zip(header, cells, strict=True))


def delimiter_of(header: str) -> str:
    """Of a CSV: the comma, unless its header has none but a semicolon (as Excel writes in half of Europe) or a tab.

    >>> delimiter_of("title;id"), delimiter_of("title,a;b"), delimiter_of("title")
    (';', ',', ',')
    """
    return next((mark for mark in MARKS if mark in header), ",")


def refuse_twice(columns: Sequence[str], where: str) -> None:
    """Raise where two columns have one name.

    Raises:
        DataError: the first such name.
    """
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise DataError(f"{where}: column '{twice[0]}' stands twice. Rename one.")


def _cells(reader: Any, where: str) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as fault:
        raise DataError(f"{where} row {reader.line_num}: {fault}. Mend the row (a stray quotation mark?).") from None


def jsonl_rows(lines: Iterable[str], where: str) -> Iterator[tuple[int, Row]]:
    """Rows of lines that hold one object each; blank lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as fault:
            raise DataError(
                f"{where} row {number}: not JSON ({fault.msg} at character {fault.pos + 1}). "
                "One object a line is wanted."
            ) from None
        if not isinstance(row, dict):
            raise DataError(f"{where} row {number}: a JSON {type(row).__name__}, where an object was wanted.")
        yield number, row


def _hub_rows(name: str) -> Dataset:
    repository, _, split = name.partition("#")
    try:
        return load_dataset(repository, split=split or "train")
    except Exception as fault:  # the hub client raises a dozen unrelated types; all mean: not to be had
        raise ConfigError(
            f"{name}: neither a file nor a hub dataset ({type(fault).__name__}: {str(fault).splitlines()[0][:120]}). "
            "Give a .jsonl, .csv, .tsv or .parquet file, a hub name such as owner/dataset#split, or a source by "
            "name: sample:LANGUAGES, esco:LANGUAGES, esco-mix:LANGUAGES, esco-descriptions:LANGUAGES, "
            "talentclef:LANGUAGE, cnli-tr:train, tquad:train, stsb-tr:train."
        ) from None


def text_columns(
    source: str | Path, columns: Sequence[str], also: Sequence[str] = (), *, lower: bool = False
) -> Iterator[list[str]]:
    """The named columns of each row as canonical texts, then those of ``also``: "" where a row has none.

    Raises:
        DataError: a column is missing, a text is empty or no Unicode; the message names file, row and column.
    """
    where, rows = read_rows(source)
    for number, row in rows:
        texts = [_cell(row, column, f"{where} row {number}", lower) for column in columns]
        yield [*texts, *(_optional(row, column, f"{where} row {number}") for column in also)]


def _cell(row: Row, column: str, where: str, lower: bool) -> str:
    if column not in row:
        raise DataError(
            f"{where}: no column '{column}'. Columns: {', '.join(map(str, row))}. "
            "Rename a column or name yours in the recipe (data.train[].columns)."
        )
    value = row[column]
    if not isinstance(value, str):
        raise DataError(f"{where}: '{column}' is {type(value).__name__}, where text was wanted. Mend the row.")
    text = _whole(canonical(value, lower=lower), column, where)
    if not text:
        raise DataError(f"{where}: '{column}' is empty. Remove the row or fix its source.")
    return text


def _optional(row: Row, column: str, where: str) -> str:
    value = row.get(column)
    return "" if value is None else _whole(canonical(str(value)), column, where)


def _whole(text: str, column: str, where: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise DataError(f"{where}: '{column}' holds half a surrogate pair. Mend the row.")
    return text
