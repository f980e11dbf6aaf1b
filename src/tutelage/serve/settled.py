"""Exact order out of a search engine that has its own: what it finds is scored anew, and ties are settled."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from tutelage.serve.nearest import Found, Scores, dots, rounding

MORE = 8  # than the k asked for, so that one call mostly suffices


def settled(
    fetch: Callable[[int], tuple[Scores, Found]],
    queries: Float[np.ndarray, "queries dim"],
    vectors: Float[np.ndarray, "rows dim"],
    k: int,
    count: int,
) -> tuple[Scores, Found]:
    """The k best of each query; equal scores stand in row order; row -1 and score -inf where there are fewer.

    Args:
        fetch: the scores and rows of each query's n best, best first, in any order among equals; row -1 for none.
        queries: unit vectors.
        vectors: those of the rows.
        k: at least 1.
        count: how many rows may be found at all: more are never fetched.
    """
    wanted, least = min(k + MORE, count), min(k, count)
    if not least:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    scores, rows = fetch(wanted)
    while wanted < count and (scores[:, -1] >= scores[:, least - 1] - rounding(queries.shape[1])).any():
        if (rows[:, -1] < 0).all():
            break  # it finds no more, however many are asked for
        wanted = min(4 * wanted, count)
        scores, rows = fetch(wanted)
    query, place = np.nonzero(rows >= 0)
    exact = np.full(rows.shape, -np.inf, dtype=np.float32)
    exact[query, place] = dots(queries, query, vectors, rows[query, place])
    order = np.lexsort((rows, -exact), axis=1)[:, :least]
    return np.take_along_axis(exact, order, axis=1), np.take_along_axis(rows, order, axis=1)
