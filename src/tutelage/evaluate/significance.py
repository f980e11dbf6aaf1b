"""Is the difference real? Paired intervals over the very queries that both models answered."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap

DRAWS = 10_000


@dataclass(frozen=True)
class Difference:
    """Mean difference (after - before), its 95 % interval, and the queries that rose, stayed and fell.

    One cluster alone tells nothing of the spread: ``low`` and ``high`` are None then.
    """

    mean: float
    low: float | None
    high: float | None
    wins: int
    ties: int
    losses: int

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers for a report."""
        return asdict(self)


def paired_difference(
    before: Float[np.ndarray, " queries"],
    after: Float[np.ndarray, " queries"],
    cluster: Sequence[str],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Percentile bootstrap of the mean paired difference, whole clusters at a time.

    Labels of one concept rise and fall together; drawing queries one by one would make the interval too narrow. A
    draw takes as many clusters as there are, with replacement, and its value is Σ differences / Σ queries.

    Args:
        before: per-query values of one model.
        after: values of the other, same queries and order.
        cluster: which queries belong together.
        draws: bootstrap resamples.
        seed: of the draws.
    """
    difference = after - before
    _, member = np.unique(np.asarray(cluster), return_inverse=True)
    totals, sizes = np.bincount(member, weights=difference), np.bincount(member).astype(float)

    def mean(totals: np.ndarray, sizes: np.ndarray, axis: int = -1) -> np.ndarray:
        return totals.sum(axis) / sizes.sum(axis)

    low = high = None if len(totals) == 1 else float(difference.mean())
    if len(totals) > 1 and np.ptp(difference) > 0:
        interval = bootstrap(
            (totals, sizes), mean, paired=True, vectorized=True, n_resamples=draws, batch=1000, method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
        low, high = float(interval.low), float(interval.high)
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    ties = len(difference) - wins - losses
    return Difference(float(difference.mean()), low, high, wins, ties, losses)
