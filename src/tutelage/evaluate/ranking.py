"""Exact rankings of a corpus for many queries at once, tile by tile; equal scores stand in corpus order.

A matrix product may round equal columns differently, and a tie would be none: only distinct corpus vectors are
multiplied, copies take the score of the first.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tutelage.encode.encoder import distinct_rows
from tutelage.evaluate.metrics import Ranks

SCORES_AT_ONCE = 16 * 1024 * 1024  # elements of a tile that holds whole rows
LEAST_QUERIES = 32  # in such a tile, however large the corpus: products with fewer mostly wait for memory


class Ranking(NamedTuple):
    """Where the relevant entries of each query stand, and its first entries."""

    ranks: Ranks
    scores: Float[Tensor, "queries top"]
    rows: Int64[Tensor, "queries top"]


def rank(
    queries: Float[Tensor, "queries dim"],
    corpus: Float[Tensor, "corpus dim"],
    relevant: Sequence[Sequence[int]],
    *,
    top: int = 0,
    excluded: Sequence[int] | None = None,
) -> Ranking:
    """Rank of entry e of score s = 1 + #{earlier entries of score >= s} + #{later entries of score > s}.

    Counting needs no sorted corpus: a pass over the row for each relevant entry, several times faster than sorting the
    row as long as there are fewer than a hundred.

    Args:
        queries: query vectors.
        corpus: corpus vectors, in the order that decides ties.
        relevant: for each query the corpus rows that are right, none of them twice.
        top: how many of each query's first entries to return; all, if the corpus is smaller.
        excluded: for each query a corpus row to leave out of its ranking (last, with score -inf), or -1.

    Returns:
        Ascending ranks from 1, padded with infinity to the longest list; scores and rows of the first entries.

    >>> ranking = rank(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), [[2], [0, 1]], top=1)
    >>> ranking.ranks.tolist(), ranking.rows.tolist()
    ([[2.0, inf], [1.0, 3.0]], [[0], [1]])
    """
    counts = np.fromiter(map(len, relevant), dtype=np.int64, count=len(relevant))
    entries = np.fromiter(chain.from_iterable(relevant), dtype=np.int64, count=int(counts.sum()))
    rows, begin = np.repeat(np.arange(len(counts)), counts), np.concatenate([[0], np.cumsum(counts)])
    places = np.empty(len(entries), dtype=np.int64)
    tops = []
    for start, scores in _whole_rows(queries, corpus, excluded):
        if top:
            tops.append(first_k(scores, top))
        own = slice(begin[start], begin[start + len(scores)])
        places[own] = _places(scores.cpu().numpy(), rows[own] - start, entries[own])
    ranks = np.full((len(counts), counts.max(initial=1)), np.inf)
    order = np.lexsort((places, rows))
    ranks[rows, np.arange(len(rows)) - begin[rows]] = places[order]
    values, columns = map(torch.cat, zip(*tops, strict=True)) if tops else (queries[:, :0], _no_rows(queries))
    return Ranking(ranks, values, columns)


def ranks_of_relevant(
    queries: Float[Tensor, "queries dim"],
    corpus: Float[Tensor, "corpus dim"],
    relevant: Sequence[Sequence[int]],
    excluded: Sequence[int] | None = None,
) -> Ranks:
    """The ranks of `rank` alone."""
    return rank(queries, corpus, relevant, excluded=excluded).ranks


def top_k(
    queries: Float[Tensor, "queries dim"],
    corpus: Float[Tensor, "corpus dim"],
    k: int,
    *,
    excluded: Sequence[int] | None = None,
    tile: tuple[int, int] = (1024, 16384),
) -> tuple[Float[Tensor, "queries k"], Int64[Tensor, "queries k"]]:
    """Scores and corpus rows of each query's k best entries, best first; equal scores stand in corpus order.

    Query tile by corpus tile: beside the vectors and the answer, memory holds one tile of scores and its queries' best.

    Args:
        queries: query vectors.
        corpus: corpus vectors, in the order that decides ties.
        k: at least 1; all entries, if the corpus is smaller.
        excluded: for each query a corpus row to leave out of its ranking (last, with score -inf), or -1.
        tile: queries and distinct corpus vectors that are multiplied at once; changes time and memory only.

    >>> scores, rows = top_k(torch.eye(2)[:1], torch.tensor([[0.5, 0.0], [0.5, 0.0], [1.0, 0.0]]), k=2)
    >>> scores.tolist(), rows.tolist()
    ([[1.0, 0.5]], [[2, 0]])
    """
    first, again = _distinct(corpus)
    vectors = corpus if len(first) == len(corpus) else corpus[torch.from_numpy(first).to(corpus.device)]
    members, begin = np.argsort(again, kind="stable"), np.searchsorted(np.sort(again), np.arange(len(first)))
    size = np.diff(begin, append=len(again))
    found = []
    for start in range(0, len(queries), tile[0]):
        part = queries[start : start + tile[0]]
        wanted = k + (excluded is not None)
        scores, hits = _streamed(part, vectors, wanted, tile[1])
        scores, hits = _with_copies(scores, hits, wanted, members, begin, size)
        if excluded is not None:
            own = hits == torch.tensor(excluded[start : start + len(part)], device=hits.device)[:, None]
            scores, kept = first_k(scores.masked_fill(own, -torch.inf), k)
            hits = hits.gather(1, kept)
        found.append((scores, hits))
    if not found:
        return queries.new_empty(0, min(k, len(corpus))), _no_rows(queries, min(k, len(corpus)))
    scores, hits = map(torch.cat, zip(*found, strict=True))
    return scores, hits


def first_k(
    scores: Float[Tensor, "queries corpus"], k: int
) -> tuple[Float[Tensor, "queries k"], Int64[Tensor, "queries k"]]:
    """The k largest of each row with their columns, best first; equal ones stand in column order.

    `torch.topk` takes any of several equal scores; where they stand on both sides of the cut the row is sorted.
    """
    k = min(k, scores.shape[1])
    values, columns = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    torn = (values[:, k - 1] == values[:, -1]).nonzero()[:, 0] if values.shape[1] > k else columns[:0, 0]
    columns = columns[:, :k].sort(dim=1).values
    if len(torn):
        columns[torn] = scores[torn].sort(dim=1, descending=True, stable=True).indices[:, :k].sort(dim=1).values
    values, order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)


def _no_rows(queries: Float[Tensor, "queries dim"], k: int = 0) -> Int64[Tensor, "queries k"]:
    """The corpus rows of an empty answer."""
    return torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)


def _whole_rows(
    queries: Float[Tensor, "queries dim"], corpus: Float[Tensor, "corpus dim"], excluded: Sequence[int] | None
) -> Iterator[tuple[int, Float[Tensor, "tile corpus"]]]:
    """Scores of some queries with the whole corpus, and which query is the first of them.

    All products share one piece of memory, so scores hold until the next: fresh memory for each costs a third more.
    """
    first, again = (torch.from_numpy(part).to(corpus.device) for part in _distinct(corpus))
    all_distinct = len(first) == len(corpus)
    vectors = corpus if all_distinct else corpus[first]
    tile = max(SCORES_AT_ONCE // max(len(corpus), 1), LEAST_QUERIES)
    products = queries.new_empty(min(tile, len(queries)), len(vectors))
    for start in range(0, len(queries), tile):
        part = queries[start : start + tile]
        scores = torch.mm(part, vectors.T, out=products[: len(part)])
        if not all_distinct:
            scores = scores[:, again]
        if excluded is not None:
            own = torch.tensor(excluded[start : start + tile], device=scores.device)
            asked = (own >= 0).nonzero()[:, 0]
            scores[asked, own[asked]] = -torch.inf
        yield start, scores


def _places(
    scores: Float[np.ndarray, "tile corpus"], rows: Int64[np.ndarray, " right"], entries: Int64[np.ndarray, " right"]
) -> Int64[np.ndarray, " right"]:
    """The rank of each (row, entry). One row at a time stays in the processor's cache; a mask of all would not."""
    count = np.count_nonzero
    right = zip(rows.tolist(), entries.tolist(), scores[rows, entries], strict=True)
    counted = (1 + count(scores[row, :e] >= s) + count(scores[row, e + 1 :] > s) for row, e, s in right)
    return np.fromiter(counted, dtype=np.int64, count=len(rows))


def _distinct(
    corpus: Float[Tensor, "corpus dim"],
) -> tuple[Int64[np.ndarray, " distinct"], Int64[np.ndarray, " corpus"]]:
    """Where each distinct vector stands first, ascending, and which of them each entry has.

    Rows whose bits differ in their exclusive or are distinct; only the others are compared whole.
    """
    rows = np.ascontiguousarray(corpus.cpu().numpy())
    bits = rows.view(np.uint64 if rows.nbytes // max(len(rows), 1) % 8 == 0 else np.uint32)
    _, key, shared = np.unique(np.bitwise_xor.reduce(bits, axis=1), return_inverse=True, return_counts=True)
    alike = np.flatnonzero(shared[key] > 1)
    equal = np.arange(len(rows))  # the first row that each one equals
    if len(alike):
        first, again = distinct_rows(rows[alike])
        equal[alike] = alike[first[again]]
    first = np.flatnonzero(equal == np.arange(len(rows)))
    return first, np.searchsorted(first, equal)


def _streamed(
    queries: Float[Tensor, "tile dim"], vectors: Float[Tensor, "distinct dim"], k: int, width: int
) -> tuple[Float[Tensor, "tile k"], Int64[Tensor, "tile k"]]:
    """The k best of distinct vectors. What an earlier tile found stands first, so ties stay in order."""
    best, hits = queries[:, :0], _no_rows(queries)
    for begin in range(0, len(vectors), width):
        scores, columns = first_k(queries @ vectors[begin : begin + width].T, k)
        best, kept = first_k(torch.cat([best, scores], dim=1), k)
        hits = torch.cat([hits, columns + begin], dim=1).gather(1, kept)
    return best, hits


def _with_copies(
    scores: Float[Tensor, "tile found"], hits: Int64[Tensor, "tile found"], k: int,
    members: Int64[np.ndarray, " corpus"], begin: Int64[np.ndarray, " distinct"], size: Int64[np.ndarray, " distinct"],
) -> tuple[Float[Tensor, "tile k"], Int64[Tensor, "tile k"]]:  # fmt: skip
    """From distinct vectors to corpus rows: every copy of a hit is one; the first k are kept."""
    if len(begin) == len(members):
        return scores, hits
    found = hits.cpu().numpy()
    taken = np.minimum(size[found], k).ravel()
    within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    entry = members[np.repeat(begin[found].ravel(), taken) + within]
    query = np.repeat(np.repeat(np.arange(len(found)), found.shape[1]), taken)
    score = np.repeat(scores.cpu().numpy().ravel(), taken)
    order = np.lexsort((entry, -score, query))
    place = np.arange(len(order)) - np.searchsorted(query, query)
    kept = order[place < k].reshape(len(found), -1)
    return torch.from_numpy(score[kept]).to(scores), torch.from_numpy(entry[kept]).to(hits)
