"""Vectors that were made elsewhere: found by text, known by content, and refused where one is missing."""

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tutelage.errors import ConfigError, DataError
from tutelage.guide import matrix
from tutelage.guide.sources import of_matrix
from tutelage.guide.store import GuideStore
from tutelage.records.texts import text_ids

TEXTS = ["nurse", "Ingénieure", "head of logistics", "welder"]
VECTORS = np.array([[3, 0, 4], [0, 1, 0], [1, 2, 2], [0, 0, 5]], dtype=np.float32)


def npy(folder, vectors=VECTORS, texts=TEXTS, name="vectors"):
    np.save(folder / f"{name}.npy", vectors)
    (folder / f"{name}.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return folder / f"{name}.npy"


def parquet(folder, vectors=VECTORS, texts=TEXTS, kind=None):
    cells = [None if row is None else list(row) for row in vectors]
    table = pa.table({"text": pa.array(texts), "vector": pa.array(cells, kind), "beside": pa.array([1] * len(texts))})
    pq.write_table(table, folder / "vectors.parquet")
    return folder / "vectors.parquet"


WRITERS = {
    "npy": npy,
    "npy of integers": lambda folder: npy(folder, VECTORS.astype(np.int8)),
    "lists": parquet,
    "lists of a fixed size": lambda folder: parquet(folder, kind=pa.list_(pa.float32(), 3)),
    "large lists of doubles": lambda folder: parquet(folder, kind=pa.large_list(pa.float64())),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_each_text_has_its_own_row_at_unit_length(write, tmp_path):
    path = write(tmp_path)
    asked = ["welder", unicodedata.normalize("NFD", "Ingénieure"), " nurse "]
    store = GuideStore.build(of_matrix(path), asked, tmp_path / "store", dtype="float32")
    got = store.vectors(text_ids(["nurse", "Ingénieure", "welder"]))
    np.testing.assert_allclose(got, [[0.6, 0, 0.8], [0, 1, 0], [0, 0, 1]], rtol=1e-6)


def test_a_file_without_a_last_line_break_or_with_windows_ones_holds_the_same_texts(tmp_path):
    path = npy(tmp_path)
    for content in ("\n".join(TEXTS), "\r\n".join([*TEXTS, ""])):
        path.with_suffix(".txt").write_text(content, encoding="utf-8", newline="")
        assert np.array_equal(matrix.embed(TEXTS, path=path), VECTORS)


def test_the_store_grows_by_rows_of_the_same_files(tmp_path):
    path = npy(tmp_path)
    GuideStore.build(of_matrix(path), TEXTS[:2], tmp_path / "store")
    assert len(GuideStore.build(of_matrix(path), TEXTS, tmp_path / "store")) == 4


@pytest.mark.parametrize("change", [lambda v, t: (v + 1, t), lambda v, t: (v, [*reversed(t)])])
def test_the_content_is_the_fingerprint_and_the_place_is_not(change, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    before, elsewhere = matrix.fields(npy(tmp_path / "a")), matrix.fields(npy(tmp_path / "b", name="other"))
    assert before == elsewhere
    assert matrix.fields(npy(tmp_path / "a", *change(VECTORS, TEXTS))) != before


def test_missing_texts_are_counted_and_the_first_ones_named(tmp_path):
    path = npy(tmp_path)
    with pytest.raises(DataError) as caught:
        matrix.embed(["nurse", "a", "b", "c", "d"], path=path)
    assert str(caught.value) == f"guide {path}: no vector for 4 of 5 texts (first: 'a', 'b', 'c'). Add their rows."


def test_a_vector_that_is_not_finite_counts_only_where_it_is_asked_for(tmp_path):
    path = npy(tmp_path, np.where(VECTORS == 5, np.nan, VECTORS))
    assert np.array_equal(matrix.embed(TEXTS[:3], path=path), VECTORS[:3])
    with pytest.raises(DataError, match=r"no finite vector for 1 of 4 texts \(first: 'welder'\)"):
        matrix.embed(TEXTS, path=path)


def test_a_text_that_stands_twice_is_refused(tmp_path):
    path = npy(tmp_path, texts=["nurse", "welder", " nurse", "nurse "])
    with pytest.raises(DataError, match=r"2 texts stand in it again\. Leave one row of each\."):
        matrix.embed(["nurse"], path=path)


@pytest.mark.parametrize("name", ["vectors.npy", "vectors.parquet"])
def test_a_file_that_is_not_there_is_refused(name, tmp_path):
    message = f"guide '{tmp_path / name}': no such file. Give a .npy with its texts beside it, or a .parquet."
    with pytest.raises(ConfigError, match=re.escape(message)):
        matrix.files_of(tmp_path / name)


def test_a_matrix_without_its_texts_is_refused(tmp_path):
    path = npy(tmp_path)
    path.with_suffix(".txt").unlink()
    message = f"its texts are wanted in {tmp_path / 'vectors.txt'}, one a line for each row. Write that file."
    with pytest.raises(ConfigError, match=re.escape(message)):
        matrix.files_of(path)


@pytest.mark.parametrize(
    ("vectors", "came"),
    [
        (VECTORS[:3], "float32 of shape (3, 3) for 4 texts"),
        (VECTORS[:, 0], "float32 of shape (4,) for 4 texts"),
        (VECTORS.astype(str), "<U32 of shape (4, 3) for 4 texts"),
    ],
)
def test_what_is_no_matrix_of_numbers_with_a_row_a_text_is_refused(vectors, came, tmp_path):
    path = npy(tmp_path, vectors)
    with pytest.raises(DataError, match=re.escape(f"{came}; wanted numbers, texts x dim. Write it anew.")):
        matrix.embed(TEXTS, path=path)


@pytest.mark.parametrize("content", [b"", b"anchor,positive\n"])
def test_what_is_no_npy_is_refused(content, tmp_path):
    path = npy(tmp_path)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"no matrix of numbers \(.*\)\. Write it by numpy\.save\."):
        matrix.embed(TEXTS, path=path)


def test_pickled_objects_are_never_loaded(tmp_path):
    path = npy(tmp_path, np.array([{}, {}, {}, {}], dtype=object))
    with pytest.raises(DataError, match="no matrix of numbers"):
        matrix.embed(TEXTS, path=path)


WANTED = "; wanted Parquet with the columns 'text' and 'vector' (a list of numbers, all of one length). Write it anew."


@pytest.mark.parametrize(
    ("vectors", "texts"),
    [
        ([[1, 2], [1, 2, 3], [1, 2], [1, 2]], TEXTS),
        ([[1, 2], None, [1, 2], [1, 2]], TEXTS),
        (VECTORS, ["nurse", None, "b", "c"]),
    ],
)
def test_a_table_with_empty_cells_or_ragged_vectors_is_refused(vectors, texts, tmp_path):
    path = parquet(tmp_path, vectors, texts)
    with pytest.raises(DataError) as caught:
        matrix.embed(["nurse"], path=path)
    assert str(caught.value) == f"guide {path}: cells are empty, or vectors of different lengths{WANTED}"


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"text": TEXTS}),
        pa.table({"text": TEXTS, "vector": [1.0, 2.0, 3.0, 4.0]}),
        pa.table({"text": [["a"]], "vector": [[1.0]]}),
        None,
    ],
    ids=["no vector", "numbers", "no text", "no Parquet"],
)
def test_a_table_of_something_else_is_refused(table, tmp_path):
    path = tmp_path / "vectors.parquet"
    path.write_bytes(b"text,vector\n") if table is None else pq.write_table(table, path)
    with pytest.raises(DataError, match=re.escape(WANTED)):
        matrix.embed(["nurse"], path=path)


def test_a_table_of_texts_for_vectors_is_refused(tmp_path):
    path = parquet(tmp_path, VECTORS.astype(str))
    with pytest.raises(DataError, match=r"object of shape \(4, 3\) for 4 texts; wanted numbers"):
        matrix.embed(TEXTS, path=path)
