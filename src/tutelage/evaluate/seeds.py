"""Several runs of one system that differ in their seed alone: a query's mean over them, and how far they scatter."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tutelage.errors import DataError
from tutelage.evaluate.retrieval import RetrievalResult


def same_queries(first: RetrievalResult, other: RetrievalResult, who: str) -> RetrievalResult:
    """``other`` in the query order of ``first``, with the metrics that both have.

    Args:
        first: a result.
        other: another one of the same set.
        who: the runs, for the message.

    Raises:
        DataError: they answer different queries or of different sets, or share no metric.
    """
    place = {query: row for row, query in enumerate(other.queries)}
    if odd := first.queries and sorted(set(first.queries) ^ place.keys()):
        raise DataError(
            f"{who}: '{first.name}' holds different queries ({len(first.queries)} and {len(other.queries)}; "
            f"'{odd[0]}' stands in one only). Evaluate both on the same set."
        )
    if first.digest and other.digest and first.digest != other.digest:
        raise DataError(
            f"{who}: '{first.name}' is not the same set in both: queries of equal names, but other texts, another "
            "corpus, or other right answers. Evaluate both on the same set."
        )
    metrics = [metric for metric in first.values if metric in other.values]
    if not metrics:
        raise DataError(f"{who}: no metric of '{first.name}' is in both. Evaluate both with the same metrics.")
    order = [place[query] for query in first.queries]
    values = {metric: other.values[metric][order] for metric in metrics}
    return replace(other, queries=first.queries, cluster=[other.cluster[row] for row in order], values=values, top=[])


def mean_over_seeds(results: Sequence[RetrievalResult], who: str = "seeds") -> RetrievalResult:
    """One result whose value of a query is the mean over the runs.

    Averaging first keeps the queries the units of the test: several runs are no more queries than one.
    """
    first = results[0]
    aligned = [same_queries(first, other, who) for other in results]
    metrics = [metric for metric in first.values if all(metric in other.values for other in aligned)]
    values = {metric: np.mean([other.values[metric] for other in aligned], axis=0) for metric in metrics}
    return replace(first, values=values, top=[])


def spread(results: Sequence[RetrievalResult], metric: str) -> float | None:
    """Standard deviation of the runs' means (n - 1 in the denominator); None for a single run."""
    if len(results) == 1:
        return None
    return float(np.std([result.values[metric].mean() for result in results], ddof=1))
