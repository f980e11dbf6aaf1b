"""What is saved for each query comes back as it was, by stage, set and width; a foreign file is refused by name."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tutelage.errors import DataError
from tutelage.evaluate.per_query import PER_QUERY, load_per_query, save_per_query
from tutelage.evaluate.retrieval import RetrievalResult


def result(name: str, dim: int | None = None, **values: list[float]) -> RetrievalResult:
    queries = [f"{name} q{i}" for i in range(len(next(iter(values.values()))))]
    cluster = [f"c{i // 2}" for i in range(len(queries))]
    columns = {metric: np.array(column) for metric, column in values.items()}
    return RetrievalResult(name, queries, cluster, columns, dim=dim)


STAGES = {
    "before": [result("en", map=[0.1, 1 / 3, 1.0], mrr=[1.0, 0.5, 0.0]), result("de", map=[0.25])],
    "after": [
        result("en", map=[0.2, 0.4, 1.0], mrr=[0.0, 0.5, 0.0]),
        result("en", dim=64, map=[0.3, 0.3, 0.3], mrr=[1.0, 1.0, 1.0]),
        result("de", map=[0.5]),
    ],
}


def assert_same(found: RetrievalResult, wanted: RetrievalResult) -> None:
    assert (found.name, found.queries, found.cluster, found.dim) == (
        wanted.name, wanted.queries, wanted.cluster, wanted.dim
    )  # fmt: skip
    assert list(found.values) == list(wanted.values)
    for metric, values in wanted.values.items():
        np.testing.assert_array_equal(found.values[metric], values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_per_query(tmp_path / PER_QUERY, STAGES)
    return tmp_path / PER_QUERY


def test_the_whole_width_comes_back_to_the_bit(path: Path) -> None:
    found = load_per_query(path)
    assert {stage: list(sets) for stage, sets in found.items()} == {"before": ["en", "de"], "after": ["en", "de"]}
    for stage, results in STAGES.items():
        for wanted in results:
            if wanted.dim is None:
                assert_same(found[stage][wanted.name], wanted)


def test_a_width_is_had_by_name_and_sets_without_it_are_left_out(path: Path) -> None:
    found = load_per_query(path, dim=64)
    assert {stage: list(sets) for stage, sets in found.items()} == {"after": ["en"]}
    assert_same(found["after"]["en"], STAGES["after"][1])


def test_the_table_has_the_columns_that_other_programs_may_count_on(path: Path) -> None:
    table = pq.read_table(path)
    assert table.column_names == ["stage", "set", "dim", "query", "cluster", "map", "mrr"]
    assert [str(kind) for kind in table.schema.types] == [*["string"] * 2, "int64", *["string"] * 2, *["double"] * 2]
    assert table.num_rows == 11
    assert table["dim"].to_pylist() == [0] * 7 + [64] * 3 + [0]
    assert [value is None for value in table["mrr"].to_pylist()] == [False] * 3 + [True] + [False] * 6 + [True]


def test_no_result_is_an_empty_file_with_the_same_identity(tmp_path: Path) -> None:
    save_per_query(tmp_path / PER_QUERY, {"before": [], "after": []})
    assert load_per_query(tmp_path / PER_QUERY) == {}


def test_a_write_that_fails_leaves_the_old_file(path: Path) -> None:
    old = path.read_bytes()
    uneven = RetrievalResult("en", ["q1", "q2"], ["c1"], {"map": np.zeros(2)})
    with pytest.raises(pa.ArrowInvalid):
        save_per_query(path, {"before": [uneven]})
    assert path.read_bytes() == old
    assert [file.name for file in path.parent.iterdir()] == [PER_QUERY]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as fault:
        load_per_query(tmp_path / PER_QUERY)
    assert str(fault.value) == (
        f"{tmp_path / PER_QUERY}: no such file. It is written by tutelage train; give the output folder of a run."
    )


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / PER_QUERY
    path.write_text("query,map\n")
    with pytest.raises(DataError, match=r"per_query\.parquet: not Parquet \(.*\)\. Run the training again\."):
        load_per_query(path)


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / PER_QUERY
    pq.write_table(pa.table({"stage": ["after"], "map": [0.5]}), path)
    with pytest.raises(DataError) as fault:
        load_per_query(path)
    assert str(fault.value) == (
        f"{path}: no column 'set'. Columns: stage, map. Wanted the per-query file that tutelage train writes."
    )
