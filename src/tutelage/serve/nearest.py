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
SCORES_AT_ONCE = 4 * 1024 * 1024  # of one product: 16 MiB
GATHERED_AT_ONCE = 16 * 1024  # rows that are copied together because they do not stand together
BLOCK = 64  # scores of which at first only the largest is looked at

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
        least = best[0][:, -1] if best[0].shape[1] == k else np.full(count, -np.inf, np.float32)
        query, column = _candidates(scores, k, least, room)
        found = dots(queries, query, tile, column)
        best = first(best, query, found, column + rows.start if isinstance(rows, slice) else rows[column], k)
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
            for start in range(0, len(part), min(width, GATHERED_AT_ONCE)):
                chosen = part[start : start + min(width, GATHERED_AT_ONCE)]
                yield chosen, vectors[chosen]


def _candidates(
    scores: Float[np.ndarray, "queries tile"], k: int, least: Float[np.ndarray, " queries"], room: float
) -> tuple[Int64[np.ndarray, " candidates"], Int64[np.ndarray, " candidates"]]:
    """Query and column of every score that may be among the k best and not below ``least``.

    The k-th largest of the blocks' maxima is no larger than the k-th largest score: k blocks hold one that large.
    """
    count, width = scores.shape
    blocks = width // BLOCK
    whole, tail = scores[:, : blocks * BLOCK].reshape(count, BLOCK, blocks), scores[:, blocks * BLOCK :]
    maxima = whole.max(axis=1) if blocks else scores[:, :0]
    pool = maxima if blocks >= k else scores
    if pool.shape[1] >= k:
        least = np.maximum(least, np.partition(pool, pool.shape[1] - k, axis=1)[:, pool.shape[1] - k])
    least = least - np.float32(room)
    query, block = np.nonzero(maxima >= least[:, None])
    place, within = np.nonzero(whole[query, :, block] >= least[query][:, None])
    also, beyond = np.nonzero(tail >= least[:, None])
    columns = within * blocks + block[place], beyond + blocks * BLOCK
    return np.concatenate([query[place], also]), np.concatenate(columns)


def dots(
    queries: Float[np.ndarray, "queries dim"],
    query: Int64[np.ndarray, " pairs"],
    vectors: Float[np.ndarray, "rows dim"],
    row: Int64[np.ndarray, " pairs"],
) -> Float[np.ndarray, " pairs"]:
    """The dot product of each pair, each summed in the same order, so that equal rows have equal products."""
    steps = range(0, len(query), GATHERED_AT_ONCE)
    parts = [slice(start, start + GATHERED_AT_ONCE) for start in steps]
    found = [(vectors[row[part]] * queries[query[part]]).sum(axis=1) for part in parts]
    return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.float32), *found])


def first(
    best: tuple[Scores, Found],
    query: Int64[np.ndarray, " pairs"],
    score: Float[np.ndarray, " pairs"],
    row: Int64[np.ndarray, " pairs"],
    k: int,
) -> tuple[Scores, Found]:
    """The k best of each query, of those known and of new ones; it must have as many as every other query."""
    count, known = best[0].shape
    query = np.concatenate([np.repeat(np.arange(count), known), query])
    score, row = np.concatenate([best[0].ravel(), score]), np.concatenate([best[1].ravel(), row])
    order = np.lexsort((row, -score, query))
    ranked = query[order]
    kept = order[np.arange(len(order)) - np.searchsorted(ranked, ranked) < k]
    return score[kept].reshape(count, -1), row[kept].reshape(count, -1)
