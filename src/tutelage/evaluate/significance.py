"""Is the difference real? Paired intervals and tests over the very queries that both models answered."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from scipy.stats import bootstrap, permutation_test

DRAWS = 10_000
AT_ONCE = 1000  # draws in one matrix product

Values = Mapping[str, Float[np.ndarray, " queries"]]  # metric -> value of each query
Totals = Float[np.ndarray, "clusters metrics"]


@dataclass(frozen=True)
class Difference:
    """Mean difference (after - before), its 95 % interval, its p-value, and the queries that rose, stayed and fell.

    One cluster alone tells nothing of the spread: ``low`` and ``high`` are None then, and ``p`` is 1.
    ``p_holm`` is ``p`` corrected for the others of its family (`corrected`); None until these are known.
    """

    mean: float
    low: float | None
    high: float | None
    wins: int
    ties: int
    losses: int
    p: float
    p_holm: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers for a report."""
        return asdict(self)


def paired_differences(
    before: Values, after: Values, cluster: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Difference]:
    """For each metric the mean paired difference with interval and p-value, whole clusters at a time.

    Labels of one concept rise and fall together; drawing queries one by one would make the interval too narrow and
    the p-value too small. One set of draws serves all metrics.

    Args:
        before: per-query values of one model.
        after: values of the other: same metrics, same queries in the same order.
        cluster: which queries belong together.
        draws: bootstrap resamples, and sign patterns unless fewer patterns exist; then all of them.
        seed: of the draws.

    >>> paired_differences({"map": np.zeros(3)}, {"map": np.array([1.0, 0.5, 0.0])}, ["a", "b", "c"])["map"].p
    0.5
    """
    difference = np.stack([after[metric] - before[metric] for metric in before], axis=1)
    _, member = np.unique(np.asarray(cluster), return_inverse=True)
    sizes = np.bincount(member).astype(float)
    totals = np.stack([np.bincount(member, weights=column) for column in difference.T], axis=1)
    low, high = bootstrap_interval(totals, sizes, draws=draws, seed=seed)
    p = sign_flip_test(totals, draws=draws, seed=seed)
    found = {}
    for column, metric in enumerate(before):
        of_metric = difference[:, column]
        mean, wins, losses = float(of_metric.mean()), int((of_metric > 0).sum()), int((of_metric < 0).sum())
        if len(totals) == 1:
            interval: tuple[float | None, float | None] = (None, None)
        elif np.ptp(of_metric) == 0:
            interval = (mean, mean)
        else:
            interval = (float(low[column]), float(high[column]))
        found[metric] = Difference(mean, *interval, wins, len(of_metric) - wins - losses, losses, float(p[column]))
    return found


def bootstrap_interval(
    totals: Totals, sizes: Float[np.ndarray, " clusters"], *, draws: int = DRAWS, seed: int = 0
) -> tuple[Float[np.ndarray, " metrics"], Float[np.ndarray, " metrics"]]:
    """The 2.5 and 97.5 percentiles of Σ totals / Σ sizes over as many clusters as there are, drawn with replacement.

    A draw is how often it took each cluster, so one matrix product serves all metrics.
    """
    count = len(totals)
    if count == 1:
        return totals[0] / sizes[0], totals[0] / sizes[0]

    def means(drawn: Int64[np.ndarray, "*draws clusters"], axis: int = -1) -> Float[np.ndarray, "metrics draws"]:
        cells = (np.atleast_2d(drawn) + count * np.arange(drawn.size // count)[:, None]).ravel()
        often = np.bincount(cells, minlength=drawn.size).reshape(-1, count).astype(float)
        return (often @ totals / (often @ sizes)[:, None]).T

    interval = bootstrap(
        (np.arange(count),), means, vectorized=True, n_resamples=draws, batch=AT_ONCE, method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return np.atleast_1d(interval.low), np.atleast_1d(interval.high)


def sign_flip_test(totals: Totals, *, draws: int = DRAWS, seed: int = 0) -> Float[np.ndarray, " metrics"]:
    """Paired randomisation test of |Σ totals|: two-sided p-values when each cluster's sign were a coin's.

    If the models were the same, their answers to a cluster could be swapped, which turns its total's sign. Up to 13
    clusters all patterns are counted (10,000 draws), beyond that p = 2 (1 + as extreme) / (1 + draws), at most 1.
    """
    if len(totals) == 1:
        return np.ones(totals.shape[1])

    def sums(signs: Float[np.ndarray, "*draws clusters"], axis: int = -1) -> Float[np.ndarray, "*draws metrics"]:
        return np.round(signs @ totals, 10)  # equal sums in another order are equal

    # The data are the signs, so that flipping them is all that SciPy does, and one product serves all metrics.
    test = permutation_test(
        (np.ones(len(totals)),), sums, permutation_type="samples", vectorized=True, n_resamples=draws, batch=AT_ONCE,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return np.asarray(test.pvalue)


def holm(p: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Holm's correction: the k-th smallest of m p-values times m - k + 1, never below an earlier one, at most 1.

    Whoever calls "real" what stays below .05 errs anywhere among the m with probability .05 at most, however the tests
    depend on each other (Holm 1979).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return adjusted[np.argsort(order)]


def corrected(differences: Mapping[str, Mapping[str, Difference]]) -> dict[str, dict[str, Difference]]:
    """The same, set -> metric -> difference, each with ``p_holm``: corrected for every set and metric given."""
    places = [(name, metric) for name, metrics in differences.items() for metric in metrics]
    p_holm = holm(np.array([differences[name][metric].p for name, metric in places]))
    found: dict[str, dict[str, Difference]] = {name: {} for name in differences}
    for (name, metric), p in zip(places, p_holm, strict=True):
        found[name][metric] = replace(differences[name][metric], p_holm=float(p))
    return found
