"""Tables of text: the same rows from every format, and every fault by file and row."""

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from tutelage.errors import ConfigError, DataError
from tutelage.records.tables import read_rows, read_text, text_columns

COLUMNS = ("anchor", "positive")
ROWS = [["Pflegefachkraft", "Krankenschwester"], ["hemşire", "nurse, “RN”"], ["éleveuse", "a\u2028b"]]
BOM = b"\xef\xbb\xbf"


def jsonl(rows=ROWS):
    return "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows).encode()


def delimited(delimiter, rows=ROWS):
    quote = '"{}"'.format if delimiter == "," else str
    return "".join(delimiter.join(map(quote, row)) + "\n" for row in [COLUMNS, *rows]).encode()


TEXT_FORMATS = {"jsonl": jsonl(), "ndjson": jsonl(), "csv": delimited(","), "tsv": delimited("\t")}


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, columns=COLUMNS, **options):
    return list(text_columns(path, columns, **options))


def refused(path, columns=COLUMNS):
    with pytest.raises((ConfigError, DataError)) as fault:
        read(path, columns)
    return str(fault.value)


@pytest.mark.parametrize("ending", TEXT_FORMATS)
@pytest.mark.parametrize("mark", [b"", BOM], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("zipped", [False, True], ids=["as it is", "gzipped"])
def test_every_text_format_gives_the_same_rows(tmp_path, ending, mark, zipped):
    content = mark + TEXT_FORMATS[ending]
    path = written(tmp_path, f"t.{ending}" + ".gz" * zipped, gzip.compress(content) if zipped else content)
    assert read(path) == ROWS


@pytest.mark.parametrize("ending", TEXT_FORMATS)
def test_windows_line_ends_change_nothing(tmp_path, ending):
    assert read(written(tmp_path, f"t.{ending}", TEXT_FORMATS[ending].replace(b"\n", b"\r\n"))) == ROWS


def test_parquet_gives_the_same_rows(tmp_path):
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in ROWS]), path)
    assert read(path) == ROWS


@pytest.mark.parametrize("name", ["T.CSV", "t.v2.csv"])
def test_the_last_ending_counts_in_any_case(tmp_path, name):
    assert read(written(tmp_path, name, delimited(","))) == ROWS


def test_quotation_marks_in_tsv_are_characters(tmp_path):
    path = written(tmp_path, "t.tsv", 'anchor\tpositive\n"nurse\t5" pipe fitter\n"a"\tb"\n')
    assert read(path) == [['"nurse', '5" pipe fitter'], ['"a"', 'b"']]


def test_quoted_cells_of_csv_hold_commas_quotes_and_line_ends(tmp_path):
    path = written(tmp_path, "t.csv", 'anchor,positive\n"a, b","say ""hi""\nnow"\n')
    assert read(path) == [["a, b", 'say "hi"\nnow']]


def test_columns_come_in_the_order_asked(tmp_path):
    path = written(tmp_path, "t.csv", "id,answer,question\n7,yes,really?\n")
    assert read(path, ("question", "answer")) == [["really?", "yes"]]


def test_texts_become_canonical(tmp_path):
    path = written(tmp_path, "t.csv", "anchor,positive\n  E\u0301leveuse ,B\n")
    assert read(path) == [["Éleveuse", "B"]]
    assert read(path, lower=True) == [["éleveuse", "b"]]


@pytest.mark.parametrize(
    ("name", "content", "numbers"),
    [
        ("t.jsonl", '{"a": "1"}\n\n{"a": "2"}\n', [1, 3]),
        ("t.csv", "a\n1\n\n2\n", [2, 4]),
        ("t.tsv", "a\n1\n2\n", [2, 3]),
    ],
)
def test_rows_are_numbered_as_an_editor_shows_them(tmp_path, name, content, numbers):
    where, rows = read_rows(written(tmp_path, name, content))
    assert where == str(tmp_path / name)
    assert [number for number, _ in rows] == numbers


FAULTS = {
    "missing column": (
        "t.csv",
        "anchor,reply\na,b\n",
        " row 2: no column 'positive'. Columns: anchor, reply. "
        "Rename a column or name yours in the recipe (data.train[].columns).",
    ),
    "missing key": (
        "t.jsonl",
        '{"anchor": "a", "positive": "b"}\n{"anchor": "a"}\n',
        " row 2: no column 'positive'. Columns: anchor. "
        "Rename a column or name yours in the recipe (data.train[].columns).",
    ),
    "empty cell": (
        "t.csv",
        "anchor,positive\na,b\na, \n",
        " row 3: 'positive' is empty. Remove the row or fix its source.",
    ),
    "empty value": (
        "t.jsonl",
        '{"anchor": "", "positive": "b"}\n',
        " row 1: 'anchor' is empty. Remove the row or fix its source.",
    ),
    "number": (
        "t.jsonl",
        '{"anchor": 3, "positive": "b"}\n',
        " row 1: 'anchor' is int, where text was wanted. Mend the row.",
    ),
    "list": (
        "t.jsonl",
        '{"anchor": ["a"], "positive": "b"}\n',
        " row 1: 'anchor' is list, where text was wanted. Mend the row.",
    ),
    "not JSON": (
        "t.jsonl",
        '{"anchor": "a", "positive": "b"}\n{"anchor": "a", positive}\n',
        " row 2: not JSON (Expecting property name enclosed in double quotes at character 17). "
        "One object a line is wanted.",
    ),
    "not an object": ("t.jsonl", '["a", "b"]\n', " row 1: a JSON list, where an object was wanted."),
    "stray comma": (
        "t.csv",
        "anchor,positive\na,b,c\n",
        " row 2: 3 columns, the header has 2. Mend the row (a stray comma or quotation mark?).",
    ),
    "stray tab": (
        "t.tsv",
        "anchor\tpositive\na\tb\tc\n",
        " row 2: 3 columns, the header has 2. Mend the row (a stray tab?).",
    ),
    "empty file": ("t.csv", "", ": empty file. Wanted a header line and at least one row."),
    "not UTF-8": (
        "t.csv",
        "anchor,positive\na,b\nMüller,c\n".encode("latin-1"),
        " line 3: byte 0xfc is not UTF-8. Save the file as UTF-8 and run again.",
    ),
    "unknown ending": (
        "t.xlsx",
        "anchor,positive\na,b\n",
        ": unknown ending '.xlsx'. Wanted: .jsonl, .csv, .tsv (each also .gz) or .parquet.",
    ),
}


@pytest.mark.parametrize(("name", "content", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_file_and_row(tmp_path, name, content, message):
    path = written(tmp_path, name, content)
    assert refused(path) == f"{path}{message}"


def test_a_fault_in_parquet_names_the_row(tmp_path):
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"anchor": ["a", "c"], "positive": ["b", ""]}), path)
    assert refused(path) == f"{path} row 2: 'positive' is empty. Remove the row or fix its source."


def test_a_missing_file_is_not_asked_of_the_hub(tmp_path):
    path = tmp_path / "t.csv"
    assert refused(path) == f"{path}: no such file. Give the path of an existing JSONL, CSV, TSV or Parquet file."


def test_a_folder_is_refused(tmp_path):
    assert refused(tmp_path) == (
        f"{tmp_path}: a folder, where a table was wanted. Name one JSONL, CSV, TSV or Parquet file."
    )


def test_a_name_that_the_hub_does_not_give_is_refused():
    message = refused("nobody/nothing#dev")
    assert message.startswith("nobody/nothing#dev: neither a file nor a hub dataset (")
    assert message.endswith(
        "Give a .jsonl, .csv, .tsv or .parquet file, a hub name such as owner/dataset#split, or a source by name: "
        "sample:LANGUAGES, esco:LANGUAGES, esco-mix:LANGUAGES, esco-descriptions:LANGUAGES, talentclef:LANGUAGE, "
        "cnli-tr:train, tquad:train, stsb-tr:train."
    )


def test_missing_text_is_refused(tmp_path):
    path = tmp_path / "labels.txt"
    with pytest.raises((ConfigError, DataError)) as fault:
        read_text(path)
    assert str(fault.value) == f"{path}: no such file. Give the path of an existing file."


def test_a_quotation_mark_that_never_closes_does_not_swallow_the_rows_below(tmp_path):
    path = written(tmp_path, "t.csv", 'anchor,positive\na,"b\nc,d\n')
    with pytest.raises(DataError, match=rf"{re.escape(str(path))} row .*quotation mark"):
        read(path)


def test_a_column_named_twice_is_refused(tmp_path):
    path = written(tmp_path, "t.csv", "anchor,positive,anchor\na,b,c\n")
    assert refused(path).startswith(f"{path}: ")


def test_half_a_surrogate_pair_is_refused(tmp_path):
    path = written(tmp_path, "t.jsonl", r'{"anchor": "a\ud83d", "positive": "b"}')
    assert refused(path).startswith(f"{path} row 1: ")


@pytest.mark.parametrize(
    "content", [delimited(","), gzip.compress(delimited(","), mtime=0)[:-9]], ids=["plain text", "cut short"]
)
def test_what_is_not_gzip_is_refused(tmp_path, content):
    path = written(tmp_path, "t.csv.gz", content)
    assert refused(path).startswith(f"{path}: ")


def test_what_is_not_parquet_is_refused(tmp_path):
    path = written(tmp_path, "t.parquet", delimited(","))
    assert refused(path).startswith(f"{path}: ")
