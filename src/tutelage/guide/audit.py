"""What a guide does to a batch, pair by pair: the plan of the loss is read, so an audit and training cannot disagree.

A candidate is *free* when no rule of ids names it and it is not the row's own positive, so that the guide decides.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy.stats import spearmanr
from torch import Tensor

from tutelage.guide.margins import STRATEGIES, MarginCurve, as_decided, gaps
from tutelage.guide.seen_pairs import Pairs
from tutelage.losses.masks import RULES, Drops, ceiling
from tutelage.losses.rules import Dropper, Plan
from tutelage.losses.screen import products, similarities
from tutelage.losses.tiled import contrast, strips

ROWS_AT_ONCE = 256
BINS = np.round(np.linspace(-1, 1, 101), 2)  # of the histograms
PAIRS_COMPARED = 100_000  # about as many, for the rank correlation of guide and encoder


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
    guide = products(first.row_guide, first.candidate_guide, line, plan.positive_column, plan.guide_dims)
    return guide, products(first.rows, first.candidates, line, plan.positive_column)


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
                similarities(block.row_guide[strip], block.candidate_guide[tile.part], plan.guide_dims),
                block.candidates[tile.part] @ block.rows[strip].T,
                free[tile.columns],
                found.dropped.bool() & free[tile.columns],
                positive_guide[strip],
                positive_encoder[strip],
                block.row_id[strip],
                block.candidate_id[tile.part],
            )


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
            if strategy == plan.margin_strategy:
                gap = as_decided(gap, view.dropped, plan.margin)
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
