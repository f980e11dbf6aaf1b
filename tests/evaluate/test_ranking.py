"""Rankings equal a sort by score, then place, for any tiles, copies and exclusions; memory stays that of a tile."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluate import ranking
from tutelage.evaluate.ranking import first_k, rank, ranks_of_relevant, top_k


def sorted_rows(queries: torch.Tensor, corpus: torch.Tensor, excluded: list[int] | None = None) -> list[list[int]]:
    """The definition, one query after another: corpus rows by descending score, then place; an excluded row last."""
    found = []
    for row, query in enumerate(queries.tolist()):
        score = [sum(a * b for a, b in zip(query, entry, strict=True)) for entry in corpus.tolist()]
        if excluded is not None and excluded[row] >= 0:
            score[excluded[row]] = -np.inf
        found.append(sorted(range(len(score)), key=lambda place: (-score[place], place)))
    return found


def integers(random: np.random.Generator, count: int, dim: int) -> torch.Tensor:
    """Vectors of -1, 0 and 1: products are exact, and many are equal."""
    return torch.from_numpy(random.integers(-1, 2, (count, dim)).astype(np.float32))


sizes = {"seed": st.integers(0, 2**32 - 1), "queries": st.integers(1, 9), "corpus": st.integers(1, 30),
         "dim": st.integers(1, 4)}  # fmt: skip


@given(**sizes, k=st.integers(1, 33), tile=st.tuples(st.integers(1, 10), st.integers(1, 31)), leave_out=st.booleans())
def test_top_k_is_the_head_of_the_sorted_corpus_for_any_tiles(
    seed: int, queries: int, corpus: int, dim: int, k: int, tile: tuple[int, int], leave_out: bool
) -> None:
    random = np.random.default_rng(seed)
    q, c = integers(random, queries, dim), integers(random, corpus, dim)
    excluded = random.integers(-1, corpus, queries).tolist() if leave_out else None
    scores, rows = top_k(q, c, k, excluded=excluded, tile=tile)
    assert rows.tolist() == [order[:k] for order in sorted_rows(q, c, excluded)]
    own = rows == torch.tensor(excluded or [-1] * queries)[:, None]
    assert scores.tolist() == (q @ c.T).gather(1, rows).masked_fill(own, -torch.inf).tolist()


@given(**sizes, top=st.integers(0, 33), leave_out=st.booleans())
def test_ranks_and_first_entries_are_those_of_the_sorted_corpus(
    seed: int, queries: int, corpus: int, dim: int, top: int, leave_out: bool
) -> None:
    random = np.random.default_rng(seed)
    q, c = integers(random, queries, dim), integers(random, corpus, dim)
    excluded = random.integers(-1, corpus, queries).tolist() if leave_out else None
    relevant = [random.permutation(corpus)[: random.integers(0, corpus + 1)].tolist() for _ in range(queries)]
    got = rank(q, c, relevant, top=top, excluded=excluded)
    orders = sorted_rows(q, c, excluded)
    assert got.rows.tolist() == [order[:top] for order in orders]
    for found, order, right in zip(got.ranks.tolist(), orders, relevant, strict=True):
        want = sorted(order.index(entry) + 1 for entry in right)
        assert found == want + [np.inf] * (len(found) - len(want))


@pytest.mark.parametrize("tile", [(1, 1), (3, 7), (64, 50), (200, 1000)])
@pytest.mark.parametrize("copies", [0, 20])
def test_tiles_change_nothing_for_real_vectors_and_copies_stay_tied(tile: tuple[int, int], copies: int) -> None:
    random = np.random.default_rng(3)
    vectors = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(64 + 250, 48)).astype(np.float32)))
    q, c = vectors[:64], vectors[64:].clone()
    c[100 : 100 + copies] = c[:copies]  # the same vector in tiles far apart
    _, want = top_k(q.double(), c.double(), 250)
    scores, rows = top_k(q, c, 250, tile=tile)
    assert (rows == want).all()
    place = rows.argsort(dim=1)
    assert (place[:, 100 : 100 + copies] == place[:, :copies] + 1).all()
    torch.testing.assert_close(scores, (q @ c.T).gather(1, rows))


def test_a_hundred_copies_of_one_entry_stand_in_corpus_order() -> None:
    corpus = torch.tensor([[1.0, 0.0]]).repeat(100, 1)
    corpus[50] = torch.tensor([0.0, 1.0])
    scores, rows = top_k(torch.tensor([[0.6, 0.8]]), corpus, 3, tile=(1, 1))
    assert rows.tolist() == [[50, 0, 1]]
    torch.testing.assert_close(scores, torch.tensor([[0.8, 0.6, 0.6]]))


def test_k_beyond_the_corpus_gives_the_whole_corpus_and_an_excluded_entry_last() -> None:
    corpus = torch.tensor([[3.0], [2.0], [1.0]])
    scores, rows = top_k(torch.ones(1, 1), corpus, 99, excluded=[0])
    assert rows.tolist() == [[1, 2, 0]]
    assert scores.tolist() == [[2, 1, -np.inf]]


def test_a_corpus_of_one() -> None:
    one = torch.ones(1, 2)
    assert top_k(one, one, 5)[1].tolist() == [[0]]
    got = rank(one, one, [[0]], top=5)
    assert (got.ranks.tolist(), got.rows.tolist()) == ([[1]], [[0]])


def test_no_queries_and_no_relevant_entries_are_no_fault() -> None:
    corpus = torch.ones(3, 2)
    scores, rows = top_k(corpus[:0], corpus, 2)
    assert scores.shape == rows.shape == (0, 2)
    assert ranks_of_relevant(corpus[:0], corpus, []).shape == (0, 1)
    assert ranks_of_relevant(corpus[:1], corpus, [[]]).tolist() == [[np.inf]]


@given(st.lists(st.lists(st.integers(-2, 2), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(1, 8))
def test_first_k_is_a_stable_sort_cut(table: list[list[int]], k: int) -> None:
    scores = torch.tensor(table, dtype=torch.float32)
    values, columns = first_k(scores, k)
    want = torch.sort(scores, dim=1, descending=True, stable=True)
    assert (values.tolist(), columns.tolist()) == (want.values[:, :k].tolist(), want.indices[:, :k].tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [3, 4])
def test_distinct_vectors_are_told_apart_where_their_fingerprints_agree(dim: int, dtype: torch.dtype) -> None:
    random = np.random.default_rng(0)
    corpus = torch.from_numpy(random.integers(0, 3, (200, dim))).to(dtype)  # permuted rows have one exclusive or
    first, again = ranking._distinct(corpus)
    seen: dict[tuple[float, ...], int] = {}
    want = [seen.setdefault(tuple(row), len(seen)) for row in corpus.tolist()]
    assert again.tolist() == want
    assert len(first) == len(seen) < 200
    assert (corpus[first][again] == corpus).all()


def test_what_memory_holds_does_not_grow_with_queries_times_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    widest: list[tuple[int, ...]] = []

    def spied(scores: torch.Tensor, k: int) -> Any:
        widest.append(tuple(scores.shape))
        return first_k(scores, k)

    monkeypatch.setattr(ranking, "first_k", spied)
    random = np.random.default_rng(1)
    q, c = (torch.from_numpy(random.normal(size=(n, 8)).astype(np.float32)) for n in (300, 20_000))
    tracemalloc.start()
    top_k(q, c, 10, tile=(64, 1024))
    assert max(rows for rows, _ in widest) == 64
    assert max(columns for _, columns in widest) == 1024
    assert tracemalloc.get_traced_memory()[1] < 4 * q.shape[0] * c.shape[0] / 4  # numpy's share; torch's is above
    tracemalloc.stop()
