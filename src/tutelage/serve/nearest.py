"""The k nearest rows of a matrix, exactly: one product, then a look at the few scores that can matter.

A matrix product may round equal rows differently, and differently again in another batch: a tie would be none. So the
product only proposes, with room for its rounding; what it proposes is multiplied anew, each row by itself, and that
score counts. Equal rows then have equal scores, and a query alone has the scores that it has among others.
"""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int64

QUERIES_AT_ONCE = 256
SCORES_AT_ONCE = 1024 * 1024  # of one product: 4 MiB, which a cache holds until they have been looked at
ROWS_AT_ONCE = 16 * 1024  # that are copied together because they do not stand together
PAIRS_AT_ONCE = 256  # that are multiplied together: their copies fit into a cache, and cost no new memory
BLOCK = 32  # scores of which only the largest is looked at for the bar

Rows = slice | Int64[np.ndarray, "_"]
Scores = Float[np.ndarray, "queries _"]
Found = Int64[np.ndarray, "queries _"]

_kept = threading.local()


def rounding(dim: int) -> float:
    """How far below the k-th best product a row may lie and still belong to the k best.

    A float32 dot product of unit vectors is off by at most dim * 2^-24. Two of them are compared (the product's and the
    one that counts), each on both sides of the cut.
    """
    return dim * 2.0**-22


def nearest(
    queries: Float[np.ndarray, "queries dim"], vectors: Float[np.ndarray, "rows dim"], k: int, parts: Sequence[Rows]
) -> tuple[Scores, Found]:
    """Scores and rows of each query's k best, best first; equal scores stand in row order.

    Args:
        queries: unit float32 vectors.
        vectors: unit float32 vectors, memory-mapped or not; only ``parts`` are read.
        k: at least 1; all rows, if the parts hold fewer.
        parts: slices, or ascending row numbers, none twice: where to look.

    >>> vectors = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], dtype=np.float32)
    >>> scores, rows = nearest(vectors[:1], vectors, 3, [slice(0, 4)])
    >>> rows.tolist(), scores.round(3).tolist()
    ([[0, 2, 3]], [[1.0, 1.0, 0.6]])
    """
    starts = range(0, len(queries), QUERIES_AT_ONCE)
    found = [_nearest(queries[start : start + QUERIES_AT_ONCE], vectors, k, parts) for start in starts]
    if len(found) == 1:
        return found[0]
    scores, rows = zip(*found, strict=True) if found else ([np.empty((0, 0), np.float32)], [np.empty((0, 0), np.int64)])
    return np.concatenate(scores), np.concatenate(rows)


def _nearest(
    queries: Float[np.ndarray, "queries dim"], vectors: Float[np.ndarray, "rows dim"], k: int, parts: Sequence[Rows]
) -> tuple[Scores, Found]:
    count, room = len(queries), rounding(queries.shape[1])
    best = np.empty((count, 0), np.float32), np.empty((count, 0), np.int64)
    for rows, tile in _tiles(vectors, parts, SCORES_AT_ONCE // count):
        scores = np.matmul(queries, tile.T, out=_room(count * len(tile)).reshape(count, len(tile)))
        bar = np.maximum(_bar(scores, k), best[0][:, -1]) if best[0].shape[1] == k else _bar(scores, k)
        query, column = np.divmod(np.flatnonzero(scores >= (bar - room)[:, None]), len(tile))
        found = dots(queries, query, tile, column)
        best = _first(best, query, found, column + rows.start if isinstance(rows, slice) else rows[column], k)
    return best


def _room(size: int) -> Float[np.ndarray, " size"]:
    """Memory for one product, kept by each thread: to touch new memory costs more than to choose among the scores."""
    held: Float[np.ndarray, " held"] | None = getattr(_kept, "scores", None)
    if held is None or held.size < size:
        held = _kept.scores = np.empty(size, np.float32)
    return held[:size]


def _tiles(
    vectors: Float[np.ndarray, "rows dim"], parts: Sequence[Rows], width: int
) -> Iterator[tuple[Rows, Float[np.ndarray, "tile dim"]]]:
    """The parts in pieces of at most ``width`` rows."""
    for part in parts:
        if isinstance(part, slice):
            for start in range(part.start, part.stop, width):
                rows = slice(start, min(start + width, part.stop))
                yield rows, vectors[rows]
        else:
            for start in range(0, len(part), min(width, ROWS_AT_ONCE)):
                chosen = part[start : start + min(width, ROWS_AT_ONCE)]
                yield chosen, vectors[chosen]


def _bar(scores: Float[np.ndarray, "queries tile"], k: int) -> Float[np.ndarray, " queries"]:
    """What a score must reach to be among its query's k best, or a little less; -inf where there are fewer than k.

    The k-th largest of the blocks' maxima is no larger than the k-th largest score: k blocks hold one that large.
    """
    count, width = scores.shape
    blocks = width // BLOCK
    pool = scores[:, : blocks * BLOCK].reshape(count, BLOCK, blocks).max(axis=1) if blocks >= k else scores
    if pool.shape[1] < k:
        return np.full(count, -np.inf, np.float32)
    return np.partition(pool, pool.shape[1] - k, axis=1)[:, pool.shape[1] - k]


def dots(
    queries: Float[np.ndarray, "queries dim"],
    query: Int64[np.ndarray, " pairs"],
    vectors: Float[np.ndarray, "rows dim"],
    row: Int64[np.ndarray, " pairs"],
) -> Float[np.ndarray, " pairs"]:
    """The dot product of each pair, each summed in the same order, so that equal rows have equal products."""
    steps = range(0, len(query), PAIRS_AT_ONCE)
    parts = [slice(start, start + PAIRS_AT_ONCE) for start in steps]
    found = [np.vecdot(vectors[row[part]], queries[query[part]]) for part in parts]
    return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.float32), *found])


def _first(
    best: tuple[Scores, Found],
    query: Int64[np.ndarray, " pairs"],
    score: Float[np.ndarray, " pairs"],
    row: Int64[np.ndarray, " pairs"],
    k: int,
) -> tuple[Scores, Found]:
    """The k best of each query, of those known and of new ones; fewer, where a query has fewer."""
    count, known = best[0].shape
    if known:
        query = np.concatenate([np.repeat(np.arange(count), known), query])
        score, row = np.concatenate([best[0].ravel(), score]), np.concatenate([best[1].ravel(), row])
    order = np.lexsort((row, -score, query))
    counts = np.bincount(query, minlength=count)
    kept = order[(counts.cumsum() - counts)[:, None] + np.arange(min(k, counts.min()))]
    return score[kept], row[kept]
