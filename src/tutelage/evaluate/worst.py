"""The queries that a model serves worst, with what was right and what it found instead."""

from typing import Any

import numpy as np

from tutelage.errors import ConfigError
from tutelage.evaluate.retrieval import RetrievalResult
from tutelage.records.retrieval import RetrievalSet

WORST = 50
GOLD_SHOWN = 20  # a TalentCLEF query has up to hundreds of right entries


def worst_queries(
    before: RetrievalResult, after: RetrievalResult, retrieval: RetrievalSet, metric: str, count: int = WORST
) -> list[dict[str, Any]]:
    """The ``count`` queries of lowest ``metric`` after training; of equals, those that fell most come first.

    ``gold`` holds the right entries, those found among the first first (``rank`` from 1, None further down), at most
    `GOLD_SHOWN` of the ``relevant`` there are. ``predicted`` holds the model's first entries, best first.

    Args:
        before: the set's result before training.
        after: the same queries after it, with ``top``.
        retrieval: the set, for texts and relevance.
        metric: one that both results hold.
        count: how many queries.

    Returns:
        Rows for ``report["worst"]``; none if ``after`` was measured without ``top``.

    Raises:
        ConfigError: a metric that was not measured, or results of different queries.

    Example::

        report["worst"] = {"talentclef:en": worst_queries(before, after, talentclef_en, "map")}
    """
    if metric not in before.values or metric not in after.values:
        raise ConfigError(f"worst queries: metric '{metric}' was not measured. Measured: {', '.join(after.values)}.")
    if before.queries != after.queries:
        raise ConfigError(f"worst queries of {after.name}: before and after hold different queries. Measure both anew.")
    if not after.top:
        return []
    old, new = before.values[metric], after.values[metric]
    return [
        {
            "query": after.queries[row],
            "text": retrieval.queries[after.queries[row]],
            "metric": metric,
            "before": float(old[row]),
            "after": float(new[row]),
            **_found(after.top[row], retrieval, after.queries[row]),
        }
        for row in np.lexsort((new - old, new))[:count]
    ]


def _found(top: list[tuple[str, float]], retrieval: RetrievalSet, query: str) -> dict[str, Any]:
    """``gold``, ``relevant`` and ``predicted`` of one query."""
    right = retrieval.relevance[query]
    rank = {entry: place for place, (entry, _) in enumerate(top, start=1)}
    gold = sorted(right, key=lambda entry: (rank.get(entry, len(top) + 1), entry))
    return {
        "gold": [{"id": e, "text": retrieval.corpus[e], "rank": rank.get(e)} for e in gold[:GOLD_SHOWN]],
        "relevant": len(right),
        "predicted": [
            {"id": entry, "text": retrieval.corpus[entry], "score": float(score), "right": entry in right}
            for entry, score in top
        ],
    }
