"""Verdicts as people write them: what counts, what is passed over, what is refused."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tutelage.errors import DataError
from tutelage.records.verdicts import Verdict, read_all, read_verdicts

ROWS = [("nurse", "RN", "positive"), ("welder", "solderer", "never"), ("coder", "cook", ""), ("a", "b", None)]
WANTED = [Verdict(*ROWS[0]), Verdict(*ROWS[1])]
NAMES = ("anchor", "candidate", "verdict")


@pytest.fixture
def table(tmp_path):
    """Write rows as CSV."""

    def write(*lines, name="judged.csv"):
        path = tmp_path / name
        path.write_text("\n".join(["anchor,candidate,verdict", *lines]) + "\n")
        return path

    return write


def test_every_format_reads_the_same(tmp_path, table):
    objects = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    pq.write_table(pa.Table.from_pylist(objects), tmp_path / "judged.parquet")
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in objects))
    lines = [",".join(part or "" for part in row) for row in ROWS]
    (tmp_path / "judged.tsv").write_text("\n".join([",".join(NAMES), *lines]).replace(",", "\t"))
    for path in (table(*lines), *(tmp_path / f"judged.{ending}" for ending in ("parquet", "jsonl", "tsv"))):
        assert read_verdicts(path) == WANTED, path.suffix


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nurse,RN,yes", "row 2: 'verdict' is 'yes'. Wanted: positive, never, or nothing (not judged)."),
        ("nurse,,positive", "row 2: 'anchor' or 'candidate' is empty. Remove the row or fix its source."),
        ("nurse, nurse,never", "row 2: 'nurse' is judged against itself. Remove the row."),
    ],
)
def test_a_row_that_says_nothing_clear_is_refused(table, line, message):
    path = table(line)
    with pytest.raises(DataError, match=re.escape(f"{path} {message}")):
        read_verdicts(path)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "judged.jsonl"
    path.write_text('{"anchor": "nurse", "positive": "RN"}\n')
    with pytest.raises(DataError, match=r"row 1: no column 'candidate'\. Columns: anchor, positive\. Wanted: anchor, "):
        read_verdicts(path)


def test_several_files_are_one_list_and_must_agree(table):
    once, again = table("nurse,RN,positive"), table("RN,nurse,positive", "x,y,never", name="b.csv")
    assert read_all([once, again]) == [Verdict("nurse", "RN", "positive"), Verdict("x", "y", "never")]
    other = table("RN,nurse,never", name="c.csv")
    with pytest.raises(DataError, match=r"c\.csv: 'RN' and 'nurse' are never here and positive elsewhere"):
        read_all([once, other])
