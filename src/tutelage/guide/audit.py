"""What a guide does to a batch, pair by pair: the plan of the loss is read, so an audit and training cannot disagree.

Words: a candidate is *free* when no rule of ids names it and it is not the row's own positive, so the guide decides;
its *gap* is the margin at which the guide would begin to drop it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy.stats import spearmanr
from torch import Tensor

from tutelage.guide.pairs import Pairs
from tutelage.losses.masks import RULES, Drops, MarginStrategy, ceiling
from tutelage.losses.rules import Dropper, Plan
from tutelage.losses.screen import products
from tutelage.losses.tiled import contrast, strips

ROWS_AT_ONCE = 256
BINS = np.round(np.linspace(-1, 1, 101), 2)  # of the histograms
MARGINS = np.round(np.linspace(-0.5, 0.5, 101), 2)  # where the drop rate is given
STRATEGIES: tuple[MarginStrategy, ...] = get_args(MarginStrategy)
PAIRS_COMPARED = 100_000  # about as many, for the rank correlation of guide and encoder


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


class View(NamedTuple):
    """One tile of a plan as an audit sees it; masks and similarities stand candidates x rows."""

    guide: Float[Tensor, "candidates rows"]
    encoder: Float[Tensor, "candidates rows"]
    free: Bool[Tensor, "candidates rows"]
    dropped: Bool[Tensor, "candidates rows"]  # free, and dropped by the guide
    positive_guide: Float[Tensor, " rows"]
    positive_encoder: Float[Tensor, " rows"]
    row_id: Int64[Tensor, " rows"]
    candidate_id: Int64[Tensor, " candidates"]


def positive_sims(plan: Plan) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Each row's similarity to its positive, to the guide and to the encoder."""
    first = plan.blocks[0]
    assert first.row_guide is not None
    assert first.candidate_guide is not None
    line = torch.arange(len(first.rows), device=first.rows.device)
    sides = (first.row_guide, first.candidate_guide), (first.rows, first.candidates)
    guide, encoder = (products(rows, others, line, plan.positive_column) for rows, others in sides)
    return guide, encoder


def views(plan: Plan) -> Iterator[View]:
    """The plan strip by strip and tile by tile; every block carries guide vectors and text ids."""
    positive_guide, positive_encoder = positive_sims(plan)
    dropper = Dropper(plan, ROWS_AT_ONCE)
    for strip in strips(len(positive_guide), ROWS_AT_ONCE):
        row, column, _ = dropper.by_id(strip)
        free = torch.ones(dropper.width, strip.stop - strip.start, dtype=torch.bool, device=row.device)
        free[column, row] = False
        for tile, found in dropper.find(strip):
            block = tile.block
            assert block.row_guide is not None
            assert block.candidate_guide is not None
            assert block.row_id is not None
            assert block.candidate_id is not None
            yield View(
                block.candidate_guide[tile.part] @ block.row_guide[strip].T,
                block.candidates[tile.part] @ block.rows[strip].T,
                free[tile.columns],
                found.dropped.bool() & free[tile.columns],
                positive_guide[strip],
                positive_encoder[strip],
                block.row_id[strip],
                block.candidate_id[tile.part],
            )


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


class Audit:
    """What the guide does to some batches of one data set.

    Args:
        rate: of the guide's drops, for which a margin is asked.
        candidates: how many there will be at most, so that the margin can be exact.
        dropped: where the pairs go that the guide drops, if anywhere.
        near: where those go that it keeps.

    Example::

        audit = Audit(rate=0.01, candidates=plan_candidates)
        audit.add(plan_of(anchor, positive, margin=0.05))
        audit.to_dict()["margin_for_rate"]
    """

    def __init__(
        self, *, rate: float, candidates: int, dropped: Pairs | None = None, near: Pairs | None = None
    ) -> None:
        self.rate = rate
        self._dropped, self._near = dropped, near
        self._drops: list[Drops] = []
        self._rows = 0
        self._histograms = {side: np.zeros(len(BINS) - 1, dtype=np.int64) for side in ("positives", "negatives")}
        self._curves = {strategy: MarginCurve(int(rate * candidates) + 1) for strategy in STRATEGIES}
        self._agreement = np.zeros(3, dtype=np.int64)  # dropped by the guide, by the encoder, by both
        self._random = torch.Generator().manual_seed(0)
        self._share = min(PAIRS_COMPARED / max(candidates, 1), 1.0)
        self._compared: list[Float[np.ndarray, "models some"]] = []

    def add(self, plan: Plan) -> None:
        """One batch."""
        with torch.no_grad():
            self._drops.append(contrast(plan)[1])
            self._rows += len(plan.positive_column)
            self._histograms["positives"] += _histogram(positive_sims(plan)[0])
            for view in views(plan):
                self._add(view, plan)

    def _add(self, view: View, plan: Plan) -> None:
        free, guide = view.free, view.guide
        self._histograms["negatives"] += _histogram(guide[free])
        for strategy, curve in self._curves.items():
            gap = gaps(guide, view.positive_guide, strategy)
            if strategy == plan.margin_strategy:  # where rounding could differ, training's own decision holds
                gap = torch.where(view.dropped, gap.clamp(max=_below(plan.margin, gap)), gap.clamp(min=plan.margin))
            curve.add(gap[free])
        limit = ceiling(view.positive_guide, plan.margin, plan.margin_strategy)
        encoder_drops = free & (view.encoder > ceiling(view.positive_encoder, plan.margin, plan.margin_strategy))
        counted = [view.dropped, encoder_drops, view.dropped & encoder_drops]
        self._agreement += np.array([int(mask.sum()) for mask in counted])
        picked = free & (torch.rand(free.shape, generator=self._random).to(free.device) < self._share)
        self._compared.append(np.stack([sim[picked].float().cpu().numpy() for sim in (guide, view.encoder)]))
        for pairs, mask in ((self._dropped, view.dropped), (self._near, free & ~view.dropped)):
            if pairs is not None:
                pairs.add(guide, limit, view.encoder, mask, view.row_id, view.candidate_id)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers: counts and rates of each rule, histograms, drop rate against margin, agreement."""
        drops = Drops.pool(self._drops)
        candidates = int(drops.candidates)
        by_guide, by_encoder, by_both = self._agreement.tolist()
        return {
            "batches": len(self._drops),
            "rows": self._rows,
            "candidates": candidates,
            "dropped": dict(zip(RULES, drops.counts.tolist(), strict=True)),
            "rates": drops.rates(),
            "partition": float(drops.removed),
            "histogram": {side: counts.tolist() for side, counts in self._histograms.items()},
            "rate_at_margin": {name: curve.rates(candidates) for name, curve in self._curves.items()},
            "margin_for_rate": {name: curve.margin_for(self.rate, candidates) for name, curve in self._curves.items()},
            "agreement": {
                "spearman": self._spearman(),
                "pairs": sum(each.shape[1] for each in self._compared),
                "encoder_drops_too": by_both / by_guide if by_guide else None,
                "guide_drops_too": by_both / by_encoder if by_encoder else None,
            },
        }

    def _spearman(self) -> float | None:
        guide, encoder = np.concatenate(self._compared, axis=1)
        if len(guide) < 2 or np.ptp(guide) == 0 or np.ptp(encoder) == 0:
            return None
        return float(spearmanr(guide, encoder).statistic)


def _histogram(sims: Float[Tensor, " some"]) -> Int64[np.ndarray, " bins"]:
    """Counts in `BINS`; what rounding put beyond ±1 belongs to the last bin."""
    return np.histogram(sims.clamp(-1, 1).float().cpu().numpy(), BINS)[0]


def _below(margin: float, like: Tensor) -> float:
    """The next number of this dtype below a margin."""
    return float(torch.nextafter(torch.tensor(margin, dtype=like.dtype), torch.tensor(-torch.inf, dtype=like.dtype)))
