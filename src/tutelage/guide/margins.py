"""The guide's drop rate as a function of the margin, and the margin that gives a chosen rate.

A candidate's *gap* is the margin above which the guide drops it; the rate at a margin is the share of smaller gaps.
"""

from typing import get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.masks import MarginStrategy

MARGINS = np.round(np.linspace(-0.5, 0.5, 101), 2)  # where the drop rate is given
STRATEGIES: tuple[MarginStrategy, ...] = get_args(MarginStrategy)


def gaps(
    guide_sim: Float[Tensor, "candidates rows"], positive_sim: Float[Tensor, " rows"], strategy: MarginStrategy
) -> Float[Tensor, "candidates rows"]:
    """The margin above which a candidate is dropped: g > s - m means m > s - g, and g > s - |s| m, m > (s - g) / |s|.

    >>> gaps(torch.tensor([[0.6]]), torch.tensor([0.8]), "relative")
    tensor([[0.2500]])
    """
    gap = positive_sim - guide_sim
    # With s = 0 no relative margin changes anything: what is above is always dropped, all else never.
    return gap if strategy == "absolute" else (gap / positive_sim.abs()).nan_to_num_(torch.inf, torch.inf, -torch.inf)


def as_decided(
    gap: Float[Tensor, "candidates rows"], dropped: Bool[Tensor, "candidates rows"], margin: float
) -> Float[Tensor, "candidates rows"]:
    """The same gaps, on that side of a margin where training found them: a difference may round otherwise."""
    limit = torch.tensor(margin, dtype=gap.dtype, device=gap.device)
    below = torch.nextafter(limit, torch.full_like(limit, -torch.inf))
    return torch.where(dropped, gap.minimum(below), gap.maximum(limit))


class Smallest:
    """The smallest numbers of a stream, in memory for three times as many."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._held, self._waiting = torch.empty(0), 0
        self._parts: list[Tensor] = []

    def add(self, numbers: Float[Tensor, " some"]) -> None:
        """Keep those that are among the smallest so far."""
        if len(self._held) == self.count:
            numbers = numbers[numbers < self._held[-1]]
        self._parts.append(numbers.float().cpu())
        self._waiting += len(numbers)
        if self._waiting > 2 * self.count:
            self.ascending()

    def ascending(self) -> Float[Tensor, " kept"]:
        """All that are kept."""
        self._held = torch.cat([self._held, *self._parts]).sort().values[: self.count].clone()
        self._parts, self._waiting = [], 0
        return self._held


class MarginCurve:
    """The guide's drop rate at every margin of one strategy.

    A candidate counts at margin m when its gap is below m, so the rate at m is F(m) = #{gap < m} / candidates, and the
    largest margin that drops at most a share r is the gap of rank floor(r x candidates), counted from 0.
    """

    def __init__(self, most: int) -> None:
        self._counts = np.zeros(len(MARGINS) + 1, dtype=np.int64)
        self._smallest = Smallest(most)

    def add(self, gap: Float[Tensor, " free"]) -> None:
        """Some candidates' gaps."""
        at = torch.bucketize(gap, torch.as_tensor(MARGINS, dtype=gap.dtype, device=gap.device), right=True)
        self._counts += at.bincount(minlength=len(self._counts)).cpu().numpy()
        self._smallest.add(gap)

    def rates(self, candidates: int) -> list[float]:
        """F at each of `MARGINS`."""
        return (self._counts[:-1].cumsum() / max(candidates, 1)).tolist()

    def margin_for(self, rate: float, candidates: int) -> float | None:
        """The largest margin that drops at most this share of the candidates; none where every margin does."""
        kept, rank = self._smallest.ascending(), int(rate * candidates)
        return float(kept[rank]) if rank < len(kept) and kept[rank].isfinite() else None
