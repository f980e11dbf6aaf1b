"""A table becomes shards of vectors: rows and columns as they were, each part whole, of this model and this input."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from jaxtyping import Float
from sentence_transformers import SentenceTransformer

from tutelage.errors import CacheMismatch, ConfigError, DataError
from tutelage.serve import shards, table
from tutelage.serve.engine import TorchEngine
from tutelage.serve.shards import KEY, Shard, Vectors, as_dtype, embed_table
from tutelage.serve.table import metadata_of

ROWS = [("007", "nurse"), ("12", "welder"), ("3", "nurse"), ("4", 'Köchin, "la"'), ("5", "clerk"), ("6", "cook")]
TEXTS = [text for _, text in ROWS]


class Counting(TorchEngine):
    """Tells which texts it was asked for."""

    asked: list[str]

    def encode(
        self, texts: Sequence[str], *, prompt: str | None = None, progress: str | None = None
    ) -> Float[np.ndarray, "texts dim"]:
        self.asked = [*getattr(self, "asked", []), *texts]
        return super().encode(texts, prompt=prompt, progress=progress)


@pytest.fixture
def engine(tiny: SentenceTransformer) -> Counting:
    return Counting(tiny, "tiny")


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    path = tmp_path / "titles.parquet"
    pq.write_table(pa.table({"id": [row[0] for row in ROWS], "text": TEXTS, "n": range(len(ROWS))}), path)
    return path


def run(engine: TorchEngine, source: Path, **options: Any) -> dict[str, Any]:
    return embed_table(engine, source, source.parent / "out", progress=False, **options)


def shown(folder: Path) -> list[str]:
    """What stands there but the locks, which stay."""
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


def vectors_of(path: str) -> np.ndarray:
    column = pq.read_table(path)["vector"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)


def written(tmp_path: Path, ending: str) -> Path:
    path = tmp_path / f"titles.{ending}"
    quoted = [(number, '"' + text.replace('"', '""') + '"') for number, text in ROWS]
    content = {
        "csv": "\ufeffid,text\n" + "".join(f"{number},{text}\n" for number, text in quoted),
        "tsv": "id\ttext\n" + "".join(f"{number}\t{text}\n" for number, text in ROWS),
        "jsonl": "".join(json.dumps({"id": number, "text": text}) + "\n" for number, text in ROWS),
    }[ending.removesuffix(".gz")].encode()
    path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz"])
def test_every_kind_of_table_keeps_rows_and_columns_as_they_were(ending: str, engine: Counting, tmp_path: Path) -> None:
    made = run(engine, written(tmp_path, ending))
    found = pq.read_table(made["path"])
    assert found.column_names == ["id", "text", "vector"]
    assert [tuple(row.values()) for row in found.select(["id", "text"]).to_pylist()] == ROWS
    np.testing.assert_allclose(vectors_of(made["path"]), engine.encode(TEXTS), atol=1e-6)  # float32 rounding


def test_parquet_keeps_its_types_and_a_text_is_embedded_once(engine: Counting, titles: Path) -> None:
    made = run(engine, titles)
    assert engine.asked == list(dict.fromkeys(TEXTS))
    assert (made["rows"], made["texts"], made["skipped"]) == (6, 5, False)
    found = pq.read_table(made["path"])
    assert found.drop(["vector"]).equals(pq.read_table(titles))
    assert found.schema.field("vector").type == pa.list_(pa.float32(), 16)
    assert Path(made["path"]).name == "part-00001-of-00001.parquet"
    assert shown(titles.parent / "out") == ["part-00001-of-00001.parquet"], "nothing of the work is left"


@pytest.mark.parametrize("count", [1, 3, 4, 6, 9])
def test_shards_one_after_another_are_the_table(count: int, engine: Counting, titles: Path) -> None:
    made = [run(engine, titles, shard=Shard(number, count)) for number in range(1, count + 1)]
    whole = pa.concat_tables(pq.read_table(each["path"]) for each in made)
    assert whole["text"].to_pylist() == TEXTS
    np.testing.assert_allclose(
        np.concatenate([vectors_of(each["path"]) for each in made]), engine.encode(TEXTS), atol=1e-6
    )


def test_small_batches_and_blocks_change_nothing(
    engine: Counting, titles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(shards, "TEXTS_AT_ONCE", 2)
    made = run(engine, titles, shard=Shard(1, 1))
    assert pq.read_table(made["path"])["text"].to_pylist() == TEXTS
    np.testing.assert_allclose(vectors_of(made["path"]), engine.encode(TEXTS), atol=1e-6)


def test_a_finished_shard_is_passed_over(engine: Counting, titles: Path) -> None:
    first = run(engine, titles, shard=Shard(2, 3))
    engine.asked = []
    again = run(engine, titles, shard=Shard(2, 3))
    assert again == first | {"skipped": True}
    assert engine.asked == []


def test_a_run_killed_before_the_end_leaves_no_shard(
    engine: Counting, titles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shards.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run(engine, titles)
    assert shown(titles.parent / "out") == []
    assert not run(engine, titles)["skipped"]


def test_a_finished_shard_of_another_kind_is_refused(engine: Counting, titles: Path) -> None:
    made = run(engine, titles)
    with pytest.raises(CacheMismatch) as refused:
        run(engine, titles, vectors=Vectors(dtype="float16"))
    assert str(refused.value) == (
        f"{made['path']}: holds dtype float32 where this run has float16. Remove it, or write to another folder."
    )
    engine.fingerprint = "another"
    with pytest.raises(CacheMismatch, match=r"holds fingerprint .* where this run has another"):
        run(engine, titles)


def test_a_finished_shard_of_another_input_is_refused(engine: Counting, titles: Path) -> None:
    run(engine, titles)
    pq.write_table(pa.table({"text": ["another"]}), titles)
    with pytest.raises(CacheMismatch, match="holds input"):
        run(engine, titles)


def test_what_is_no_shard_of_ours_is_refused(engine: Counting, titles: Path) -> None:
    place = titles.parent / "out" / Shard().name
    place.parent.mkdir()
    place.write_bytes(b"half")
    with pytest.raises(CacheMismatch, match="holds fingerprint None"):
        run(engine, titles)


def test_metadata_turn_8_bits_back(engine: Counting, titles: Path) -> None:
    made = run(engine, titles, vectors=Vectors(dtype="int8"))
    held, got = metadata_of(Path(made["path"]), KEY), vectors_of(made["path"])
    assert got.dtype == np.int8
    assert np.abs(got).max() == 127
    np.testing.assert_allclose(got * np.float32(held["scale"]), engine.encode(TEXTS), atol=0.51 * held["scale"])
    assert (held["fingerprint"], held["dim"], held["dtype"], held["model"]) == (engine.fingerprint, 16, "int8", "tiny")


def test_16_bits(engine: Counting, titles: Path) -> None:
    made = run(engine, titles, vectors=Vectors(dtype="float16"))
    got = vectors_of(made["path"])
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, engine.encode(TEXTS), atol=2**-11)  # half a step of float16 below 1


def test_fewer_dims_are_scaled_to_length_one(engine: Counting, titles: Path) -> None:
    got = vectors_of(run(engine, titles, vectors=Vectors(dim=4))["path"])
    first = engine.encode(TEXTS)[:, :4]
    np.testing.assert_allclose(got, first / np.linalg.norm(first, axis=1, keepdims=True), atol=1e-6)


def test_a_width_that_was_not_trained_is_refused(tiny: SentenceTransformer, titles: Path) -> None:
    engine = TorchEngine(tiny, "tiny", dims=(16, 8))
    with pytest.raises(ConfigError, match=r"dim 4: tiny was trained for 16, 8\. Give one\."):
        run(engine, titles, vectors=Vectors(dim=4))
    assert vectors_of(run(engine, titles, vectors=Vectors(dim=8))["path"]).shape == (6, 8)


def test_a_width_beyond_the_models_is_refused(engine: Counting, titles: Path) -> None:
    with pytest.raises(ConfigError, match=r"dim 17: the vectors of tiny are 16 wide\."):
        run(engine, titles, vectors=Vectors(dim=17))


def test_a_prompt_stands_before_every_text(engine: Counting, titles: Path) -> None:
    got = vectors_of(run(engine, titles, vectors=Vectors(prompt="job: "))["path"])
    np.testing.assert_allclose(got, engine.encode([f"job: {text}" for text in TEXTS]), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "id,title\n1,nurse\n", "no column 'text'. Columns: id, title. Name one with --column."),
        ("a.csv", "", "empty file"),
        ("a.csv", "id,text\n", "no row in it"),
        ("a.csv", "id,text\n1,nurse\n2,\n", "row 2 (the first below the header is 1): 'text' is empty."),
        ("a.csv", "id,text\n1,nurse\n2,  \n", "row 2 (the first below the header is 1): 'text' is empty."),
        ("a.csv", "id,text\n1,nurse,RN\n", "row 2: 3 columns, the header has 2"),
        ("a.csv", b"id,text\n1,K\xf6chin\n", "line 2: byte 0xf6 is not UTF-8"),
        ("a.csv", "text,text\nnurse,RN\n", "column 'text' stands twice"),
        ("a.csv", "text,vector\nnurse,1\n", "has a column 'vector' already"),
        ("a.jsonl", "", "no row in it"),
        ("a.jsonl", '{"text": "nurse"}\n{"text": null}\n', "row 2 (the first below the header is 1): 'text' is empty."),
        ("a.jsonl", '{"text": 1}\n', "'text' is int64, where text was wanted."),
        ("a.jsonl", '{"text": "nurse"}\n{"text": 1}\n', "rows 1 to 2: 'text' holds values of several types"),
        ("a.jsonl", '{"text": "a", "n": 12345678901234567890123}\n', "'n' holds values of several types, or beyond"),
        ("a.jsonl", "no json\n", "row 1: not JSON"),
        ("a.parquet", "no parquet", "not Parquet"),
        ("a.txt", "nurse\n", "unknown ending"),
    ],
)
def test_a_fault_is_told_before_anything_is_embedded(
    name: str, content: str | bytes, said: str, engine: Counting, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as refused:
        run(engine, tmp_path / name)
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_numbers_are_no_texts_in_parquet_and_nulls_are_named(engine: Counting, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="'text' is int64, where text was wanted"):
        run(engine, tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["nurse", None]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"row 2 .*'text' is empty"):
        run(engine, tmp_path / "b.parquet")


def test_the_only_column_needs_no_name_and_a_date_stays_text(engine: Counting, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"when": "2024-01-01"}\n{"when": "2024-01-02"}\n')
    found = pq.read_table(run(engine, tmp_path / "a.jsonl")["path"])
    assert found["when"].to_pylist() == ["2024-01-01", "2024-01-02"]


def test_fields_of_jsonl_may_come_late_be_null_and_have_a_fraction_once(
    engine: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ROWS_AT_ONCE", 2)
    rows: list[dict[str, Any]] = [
        {"text": "nurse", "n": 1, "tags": ["2024-01-01"], "note": None},
        {"text": "cook", "n": 2, "tags": []},
        {"text": "clerk", "n": 2.5, "more": {"a": 1}},
        {"text": "welder", "note": "late", "more": {"a": 2, "b": "new"}},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = pq.read_table(run(engine, tmp_path / "a.jsonl")["path"]).drop(["vector"]).to_pylist()
    assert [row["n"] for row in found] == [1.0, 2.0, 2.5, None]
    assert [row["tags"] for row in found] == [["2024-01-01"], [], None, None]
    assert [row["note"] for row in found] == [None, None, None, "late"]
    assert [row["more"] for row in found] == [None, None, {"a": 1, "b": None}, {"a": 2, "b": "new"}]


def test_a_cell_of_some_megabytes_is_read(engine: Counting, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,note\nnurse," + "x" * 3_000_000 + "\n")
    assert len(pq.read_table(run(engine, tmp_path / "a.csv")["path"])["note"][0].as_py()) == 3_000_000


def test_what_a_killed_run_left_is_gone_after_the_next(engine: Counting, titles: Path) -> None:
    left = titles.parent / "out" / ".part-00001-of-00001"
    left.mkdir(parents=True)
    (left / "vectors").write_bytes(b"x" * 1000)
    run(engine, titles)
    assert shown(titles.parent / "out") == ["part-00001-of-00001.parquet"]
    assert not left.exists()


def test_a_damaged_page_of_parquet_is_told(engine: Counting, titles: Path) -> None:
    whole = titles.read_bytes()
    titles.write_bytes(whole[:4] + bytes(40) + whole[44:])
    with pytest.raises(DataError, match="cannot be read"):
        run(engine, titles)


def test_parts_of_two_counts_do_not_stand_in_one_folder(engine: Counting, titles: Path) -> None:
    run(engine, titles, shard=Shard(1, 2))
    with pytest.raises(CacheMismatch, match=r"holds part-00001-of-00002\.parquet, a part of another count"):
        run(engine, titles)


def test_a_shard_is_written_by_one_process_at_a_time(engine: Counting, titles: Path) -> None:
    (titles.parent / "out").mkdir()
    with (
        FileLock(titles.parent / "out" / ".part-00001-of-00001.lock"),
        pytest.raises(ConfigError, match="another process is writing it"),
    ):
        run(engine, titles)


def test_a_category_column_is_text(engine: Counting, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array(["nurse", "cook", "nurse"]).dictionary_encode()}), tmp_path / "a.parquet")
    assert run(engine, tmp_path / "a.parquet")["texts"] == 2


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/3", "1/0", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--shard {text}: wanted NUMBER/COUNT"):
        Shard.parse(text)


def test_a_zero_vector_in_8_bits_is_zero() -> None:
    assert as_dtype(np.zeros((1, 4), np.float32), "int8", 1.0).tolist() == [[0, 0, 0, 0]]
