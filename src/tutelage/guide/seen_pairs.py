"""Pairs of texts over many batches: those dropped most often, and the kept ones nearest to their ceiling."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

MOST_HELD = 2**20  # distinct pairs; beyond, the rarest of the dropped ones are let go and begin anew when met again

SEEN = np.dtype(
    [("row", "i8"), ("candidate", "i8"), ("score", "f4"), ("ceiling", "f4"), ("encoder", "f4"), ("times", "i8")]
)


class Pair(NamedTuple):
    """Two texts by id, at the occurrence where the score exceeded the ceiling most; how often they were so met."""

    anchor: int
    candidate: int
    guide_score: float
    ceiling: float
    encoder_score: float
    times: int


def merged(seen: np.ndarray) -> np.ndarray:
    """Each unordered pair once: ``times`` added up, the rest from the occurrence of largest score - ceiling."""
    low, high = np.minimum(seen["row"], seen["candidate"]), np.maximum(seen["row"], seen["candidate"])
    order = np.lexsort((seen["row"], seen["ceiling"] - seen["score"], high, low))
    seen, low, high = seen[order], low[order], high[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(low) != 0) | (np.diff(high) != 0)][: len(seen)])
    once = seen[starts]
    once["times"] = np.add.reduceat(seen["times"], starts) if len(starts) else 0
    return once


class Pairs:
    """Pairs of a stream of tiles, each unordered pair once, the important ones first.

    Args:
        nearest: keep the pairs nearest to the ceiling, of any tile only so many. Default: all pairs, by times x score:
            what was met most often, each time counted for as much as the guide makes of it.
    """

    def __init__(self, nearest: int | None = None) -> None:
        self.nearest = nearest
        self._seen = np.empty(0, dtype=SEEN)
        self._parts: list[np.ndarray] = []
        self._waiting = 0

    def add(
        self,
        guide: Float[Tensor, "candidates rows"],
        ceiling: Float[Tensor, " rows"],
        encoder: Float[Tensor, "candidates rows"],
        mask: Bool[Tensor, "candidates rows"],
        row_id: Int64[Tensor, " rows"],
        candidate_id: Int64[Tensor, " candidates"],
    ) -> None:
        """Those pairs of a tile that the mask names."""
        candidate, row = mask.nonzero(as_tuple=True)
        if self.nearest is not None:
            distance = (ceiling[row] - guide[candidate, row]).abs()
            first = torch.topk(distance, min(self.nearest, len(distance)), largest=False).indices
            candidate, row = candidate[first], row[first]
        columns = row_id[row], candidate_id[candidate], guide[candidate, row], ceiling[row], encoder[candidate, row]
        part = np.ones(len(row), dtype=SEEN)  # met once
        for name, values in zip(SEEN.names or (), columns, strict=False):
            part[name] = values.cpu().numpy()
        self._parts.append(part)
        self._waiting += len(part)
        if self._waiting > MOST_HELD:
            self._merge()

    def top(self, count: int) -> list[Pair]:
        """The first so many, in an order that depends on nothing but what was seen."""
        self._merge()
        return [Pair(*row) for row in self._seen[:count].tolist()]

    def _merge(self) -> None:
        seen = merged(np.concatenate([self._seen, *self._parts]))
        # By times alone, pairs lead that met by chance under rows whose own positive the guide hardly knows.
        importance = [-seen["times"] * seen["score"]]
        if self.nearest is not None:
            importance = [np.abs(seen["score"] - seen["ceiling"])]
        self._seen = seen[np.lexsort((seen["candidate"], seen["row"], *importance))][:MOST_HELD]
        self._parts, self._waiting = [], 0
