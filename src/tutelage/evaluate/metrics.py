"""Retrieval metrics from the ranks at which a query's relevant entries stand; binary relevance, ranks from 1.

Every metric is a function of ``ranks`` (queries x most, ascending; absent entries are infinite) and ``relevant`` (how
many entries are right for each query, including those that the corpus lacks). Definitions and names follow
sentence-transformers' ``InformationRetrievalEvaluator``; ``map`` without a cut-off is the TalentCLEF and TREC one.
"""

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float

from tutelage.errors import ConfigError

Ranks = Float[np.ndarray, "queries most"]
Relevant = Float[np.ndarray, " queries"]
PerQuery = Float[np.ndarray, " queries"]
UNCUT = float("inf")


def accuracy(ranks: Ranks, relevant: Relevant, k: float) -> PerQuery:
    """1 if any of the first k entries is right."""
    return (ranks <= k).any(1).astype(float)


def precision(ranks: Ranks, relevant: Relevant, k: float) -> PerQuery:
    """Right ones among the first k, over k (also where the corpus is smaller than k)."""
    return (ranks <= k).sum(1) / k


def recall(ranks: Ranks, relevant: Relevant, k: float) -> PerQuery:
    """Right ones among the first k, over all right ones."""
    return (ranks <= k).sum(1) / relevant


def mrr(ranks: Ranks, relevant: Relevant, k: float) -> PerQuery:
    """1 over the rank of the first right one, 0 if that lies beyond k."""
    first = ranks[:, 0]
    return np.where(first <= k, 1 / first, 0.0)


def ndcg(ranks: Ranks, relevant: Relevant, k: float) -> PerQuery:
    """Sum of 1 / log2(rank + 1) within k, over the same sum for a perfect ranking."""
    gain = np.where(ranks <= k, 1 / np.log2(ranks + 1), 0.0).sum(1)
    best = np.cumsum(1 / np.log2(np.arange(int(relevant.max())) + 2))
    return gain / best[np.minimum(relevant, k).astype(int) - 1]


def map(ranks: Ranks, relevant: Relevant, k: float) -> PerQuery:
    """Mean over the right ones of precision at their rank, counting ranks within k, over min(k, all right ones)."""
    position = np.arange(1, ranks.shape[1] + 1)
    return np.where(ranks <= k, position / ranks, 0.0).sum(1) / np.minimum(relevant, k)


METRICS: dict[str, Callable[[Ranks, Relevant, float], PerQuery]] = {
    function.__name__: function for function in (accuracy, precision, recall, mrr, ndcg, map)
}
DEFAULT_METRICS = (
    "map", "map@100", "map@500", "mrr@10", "ndcg@10", "ndcg@100", "ndcg@200",
    "accuracy@1", "accuracy@10", "precision@1", "precision@5", "precision@10", "recall@10", "recall@100", "recall@200",
)  # fmt: skip


def parse(name: str) -> tuple[Callable[[Ranks, Relevant, float], PerQuery], float]:
    """The function and cut-off of a name such as ``ndcg@200`` or ``map``.

    Raises:
        ConfigError: an unknown metric, a cut-off below 1, or none where the metric needs one.
    """
    metric, at, cut = name.partition("@")
    has_cut = cut.isascii() and cut.isdigit() and int(cut) > 0
    uncut = not at and metric in ("map", "mrr")
    if metric not in METRICS or not (has_cut or uncut):
        raise ConfigError(
            f"metric '{name}': unknown. Wanted one of {', '.join(METRICS)} with a cut-off, as in ndcg@10; "
            "map and mrr may go without."
        )
    return METRICS[metric], float(cut) if cut else UNCUT


def per_query(names: Iterable[str], ranks: Ranks, relevant: Relevant) -> dict[str, PerQuery]:
    """Each named metric for each query.

    >>> values = per_query(["map", "ndcg@2"], np.array([[1.0, 4.0]]), np.array([2.0]))
    >>> float(values["map"][0])  # (1/1 + 2/4) / 2
    0.75
    """
    parsed = {name: parse(name) for name in names}
    return {name: function(ranks, relevant, k) for name, (function, k) in parsed.items()}
