"""Tables in batches: every cell comes out as it went in, and a file appears whole or not at all."""

import datetime
import gzip
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import DataError
from tutelage.records.streams import batches, reading, writing

ODD = [
    "plain",
    'a "quote"',
    "two\nlines",
    "win\r\ndows",
    "mac\r",
    "comma, semicolon;",
    "=1+1",
    "@x",
    "مهندس",
    "护士",
    "",
]


def copy(source, target, size=3):
    with reading(source) as stream, writing(target, stream.columns, stream.schema) as write:
        for batch in batches(stream.rows, size):
            write(batch)


def rows_of(path):
    with reading(path) as stream:
        return list(stream.rows)


def test_csv_comes_out_as_it_went_in(tmp_path):
    with writing(tmp_path / "a.csv", ["n", "title"]) as write:
        write([{"n": str(n), "title": text} for n, text in enumerate(ODD)])
    copy(tmp_path / "a.csv", tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert [row["title"] for row in rows_of(tmp_path / "b.csv")] == ODD


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=9))
def test_any_text_survives_csv_and_jsonl(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.csv", "a.jsonl"):
        with writing(folder / name, ["n", "title"]) as write:
            write([{"n": "1", "title": text} for text in texts])
        assert [row["title"] for row in rows_of(folder / name)] == texts


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_and_any_line_end_are_understood(tmp_path, mark, end):
    text = mark + end.join(["title,n", "nurse,1", "cook,2", ""])
    (tmp_path / "a.csv").write_bytes(text.encode())
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.csv", "a.csv.gz"):
        assert rows_of(tmp_path / name) == [{"title": "nurse", "n": "1"}, {"title": "cook", "n": "2"}]


def test_tsv_knows_no_quotes_and_says_what_it_cannot_hold(tmp_path):
    (tmp_path / "a.tsv").write_text('title\tn\nsay "hi"\t1\n"open\t2\n', encoding="utf-8")
    copy(tmp_path / "a.tsv", tmp_path / "b.tsv")
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()
    for text in ("a\tb", "a\nb"):
        with pytest.raises(DataError, match="which TSV cannot"), writing(tmp_path / "c.tsv", ["title"]) as write:
            write([{"title": text}])
    assert not (tmp_path / "c.tsv").exists()


def test_jsonl_keeps_types_and_keys(tmp_path):
    rows = [{"title": "nurse", "n": 1, "x": None}, {"title": None, "deep": {"a": [1.5, True]}}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    copy(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert rows_of(tmp_path / "b.jsonl") == rows


def test_parquet_keeps_its_schema(tmp_path):
    table = pa.table(
        {
            "title": pa.array(["nurse", None, "cook", "x"]),
            "n": pa.array([1, 2, None, 4], pa.int16()),
            "at": pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5, 6)] * 4, pa.timestamp("us", "UTC")),
            "pay": pa.array([Decimal("1.50")] * 4, pa.decimal128(10, 2)),
            "kind": pa.array(["a", "b", "a", None]).dictionary_encode(),
            "list": pa.array([[1], [], None, [2, 3]]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    copy(tmp_path / "a.parquet", tmp_path / "b.parquet")
    copied = pq.read_table(tmp_path / "b.parquet")
    assert copied.schema == table.schema
    assert copied.to_pylist() == table.to_pylist()


def test_text_tables_become_parquet_and_back(tmp_path):
    (tmp_path / "a.csv").write_text("title,n\nnurse,01\ncook,\n", encoding="utf-8")
    copy(tmp_path / "a.csv", tmp_path / "b.parquet", size=1)
    copy(tmp_path / "b.parquet", tmp_path / "c.csv")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "c.csv").read_text()


def test_a_column_whose_type_the_first_batch_does_not_tell_is_text_in_parquet(tmp_path):
    rows = [
        {"n": 1, "late": None, "tags": ["a"], "empty": [], "deep": {"a": 1}},
        {"n": None, "late": 7, "tags": [], "empty": ["x"], "deep": {"b": None}},
        {"late": "x", "tags": None, "empty": None},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    copy(tmp_path / "a.jsonl", tmp_path / "b.parquet", size=1)
    assert pq.read_table(tmp_path / "b.parquet").to_pydict() == {
        "n": [1, None, None],
        "late": [None, "7", "x"],
        "tags": [["a"], [], None],
        "empty": ["[]", '["x"]', None],
        "deep": ['{"a": 1}', '{"b": null}', None],
    }


def test_a_number_beyond_64_bits_is_no_parquet(tmp_path):
    (tmp_path / "a.jsonl").write_text(f'{{"n": {2**64}}}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"beyond 64 bits .* Write \.jsonl"):
        copy(tmp_path / "a.jsonl", tmp_path / "b.parquet")


def test_a_column_of_several_types_is_no_parquet(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"n": 1}\n{"n": "one"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"several types .* Write \.jsonl"):
        copy(tmp_path / "a.jsonl", tmp_path / "b.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def interrupted(path):
    with writing(path, ["title"]) as write:
        write([{"title": "new"}])
        raise KeyboardInterrupt


def test_a_broken_write_leaves_what_was_there(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "a.csv")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.csv", "old")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "empty file"),
        ("a.csv", b"title\n", "no row in it"),
        ("a.jsonl", b"", "no row in it"),
        ("a.csv", b"title,n\nnurse\n", "row 2: 1 columns, the header has 2"),
        ("a.csv", b'title\n"nurse\n', "row 2: unexpected end of data"),
        ("a.csv", b"title\nnurse\nK\xf6chin\n", r"line 3: byte 0xf6 is not UTF-8"),
        ("a.jsonl", b'{"title": "a"}\n[1]\n', "row 2: a JSON list"),
        ("a.jsonl", b"{", "row 1: not JSON"),
        ("a.csv.gz", gzip.compress(b"title\nnurse\n", mtime=0)[:-9], "not a whole gzip file"),
        ("a.csv.gz", gzip.compress(b"title\nnurse\n", mtime=0)[:10] + b"\xff" * 20, "not a whole gzip file"),
        ("a.parquet", b"PAR1", "not Parquet"),
        ("a.xlsx", b"PK", "unknown ending '.xlsx'"),
    ],
)
def test_faults_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        rows_of(tmp_path / "a.csv")
