"""Which candidates leave a strip of rows: the four rules at work, tile by tile.

Equal ids come from sorted indexes, so no pair of ids is compared in vain; what the guide objects to is screened tile by
tile. Only positions are kept; nothing of size rows x candidates outlives a tile.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.losses.masks import RULES, Drops, IdIndex, MarginStrategy, ceiling
from tutelage.losses.screen import above, products

TILE = 4096  # candidates of a tile on a CPU, small enough for its caches; a GPU takes a block whole


class Block(NamedTuple):
    """One kind of candidate: who is compared with what, in vectors of both models."""

    rows: Float[Tensor, "rows dim"]
    candidates: Float[Tensor, "candidates dim"]
    row_guide: Float[Tensor, "rows guide_dim"] | None
    candidate_guide: Float[Tensor, "candidates guide_dim"] | None
    hardness: float = 1.0  # factor of the logits that the gradient does not see
    partition: int = 0  # whose softmax these candidates belong to


class Match(NamedTuple):
    """Candidates that carry one of a row's ids."""

    candidates: IdIndex
    ids: tuple[Int[Tensor, " rows"], ...]

    def find(self, strip: slice) -> tuple[Int[Tensor, " found"], Int[Tensor, " found"]]:
        """Rows (within the strip) and columns of equal id."""
        found = [self.candidates.find(each[strip]) for each in self.ids]
        return torch.cat([row for row, _ in found]), torch.cat([column for _, column in found])


class Plan(NamedTuple):
    """All of a loss but what it sums. The first block is AP; ``positive_column`` points into it."""

    blocks: Sequence[Block]
    positive_column: Int[Tensor, " rows"]
    by_id: Sequence[Match | None]  # the row's own positive, which no rule may drop; then the first three of `RULES`
    rescaled: Match | None  # candidates whose logits are multiplied by ``rescaling``, after their block's hardness
    rescaling: float
    temperature: float
    margin: float
    margin_strategy: MarginStrategy
    chunk_size: int | None

    @property
    def vectors(self) -> list[Tensor]:
        """Rows and candidates of all blocks, each tensor once: what gradients are formed for."""
        return list({id(side): side for block in self.blocks for side in block[:2]}.values())

    @property
    def partitions(self) -> int:
        """How many softmaxes a row has; its loss is their mean."""
        return 1 + max(block.partition for block in self.blocks)


class Tile(NamedTuple):
    """Some candidates of one block."""

    block: Block
    number: int  # of the block
    columns: slice  # among the candidates of all blocks
    part: slice  # among those of its block


class Found(NamedTuple):
    """What leaves one tile of a strip, as positions in the strip's flat logits."""

    by_self: Int[Tensor, " itself"]
    lost: Int[Tensor, " lost"]  # by the other rules
    rescaled: Int[Tensor, " rescaled"]

    def apply_(self, flat: Float[Tensor, " all"], rescaling: float) -> Float[Tensor, " lost"]:
        """Rescale, then set what leaves to -inf; returns the logits of ``lost``."""
        if len(self.rescaled):
            flat[self.rescaled] *= rescaling
        lost = flat[self.lost]
        flat[self.lost] = -torch.inf
        flat[self.by_self] = -torch.inf
        return lost


class Dropper:
    """Finds, strip by strip, what the rules drop, and keeps the count.

    Args:
        plan: the loss.
        chunk_size: rows of a strip at most.

    Attributes:
        tiles: all candidates, block after block.
        width: candidates of all blocks.
        counts: dropped so far by each of `RULES`, under the first that holds.
        candidates: met so far, without the rows' own positives.
        removed: sum over the rows so far of the share of their partition function that was dropped.
    """

    def __init__(self, plan: Plan, chunk_size: int) -> None:
        first = plan.blocks[0].rows
        self.plan = plan
        self.tiles = list(_tiles(plan.blocks, TILE if first.device.type == "cpu" else None))
        self.width = self.tiles[-1].columns.stop
        self.counts = torch.zeros(len(RULES), dtype=torch.int64, device=first.device)
        self.candidates = torch.zeros((), dtype=torch.int64, device=first.device)
        self.removed = first.new_zeros((), dtype=torch.float64)
        self._ceiling, self._space = None, first.new_empty(0)
        guide, others = plan.blocks[0].row_guide, plan.blocks[0].candidate_guide
        if guide is not None and others is not None:
            own = products(guide, others, torch.arange(len(first), device=first.device), plan.positive_column)
            self._ceiling = ceiling(own, plan.margin, plan.margin_strategy)
            self._space = guide.new_empty(chunk_size * max(tile.part.stop - tile.part.start for tile in self.tiles))
        self._starts = torch.tensor([tile.columns.start for tile in self.tiles] + [self.width], device=first.device)

    def tiles_of(self, number: int) -> list[Tile]:
        """The tiles of one block."""
        return [tile for tile in self.tiles if tile.number == number]

    def find(self, strip: slice) -> Iterator[tuple[Tile, Found]]:
        """What leaves these rows, tile by tile, each candidate under the first rule that drops it."""
        row, column, rank = self.by_id(strip)
        count = rank.bincount(minlength=len(RULES))
        self.counts[:-1] += count[1:]
        self.candidates += (strip.stop - strip.start) * self.width - count[0]
        odd_row, odd_column = self._sorted(self.plan.rescaled, strip)
        bounds = zip(self._bounds(column), self._bounds(odd_column), strict=True)
        for tile, (named, odd) in zip(self.tiles, bounds, strict=True):
            flat = row[named] * self.width + column[named]
            lost = [flat[rank[named] > 1]]
            by_row, by_column = self.by_guide(tile, strip, (row[named], column[named] - tile.columns.start))
            lost.append(by_row * self.width + by_column + tile.columns.start)
            self.counts[-1] += len(by_row)
            rescaled = odd_row[odd] * self.width + odd_column[odd]
            yield tile, Found(flat[rank[named] == 1], torch.cat(lost), rescaled)

    def by_id(self, strip: slice) -> tuple[Int[Tensor, " named"], Int[Tensor, " named"], Int[Tensor, " named"]]:
        """Rows, columns (ascending) and the first rule that names them: 0 the own positive, 1 self, 2 text, 3 group."""
        keys, rows = [], strip.stop - strip.start
        for rank, match in enumerate(self.plan.by_id):
            if match is not None:
                row, column = match.find(strip)
                keys.append((column * rows + row) * len(RULES) + rank)
        key = torch.cat(keys).unique()
        position, rank = key // len(RULES), key % len(RULES)
        first = torch.ones_like(position, dtype=torch.bool)
        first[1:] = position[1:] != position[:-1]
        return position[first] % rows, position[first] // rows, rank[first]

    def by_guide(
        self, tile: Tile, strip: slice, taken: tuple[Int[Tensor, " taken"], Int[Tensor, " taken"]]
    ) -> tuple[Int[Tensor, " found"], Int[Tensor, " found"]]:
        """Rows and columns (within the tile) above the row's ceiling, without those already taken."""
        row, other = tile.block.row_guide, tile.block.candidate_guide
        if row is None or other is None or self._ceiling is None:
            return taken[0][:0], taken[1][:0]
        return above(row[strip], other[tile.part], self._ceiling[strip], taken, self._space)

    def note_removed(
        self, lost: Float[Tensor, " lost"], row: Int[Tensor, " lost"], partition: Float[Tensor, " strip"]
    ) -> None:
        """Add up Z_dropped / (Z_dropped + Z_kept) of the strip's rows; beyond the exponent's range that is 1."""
        ratio = torch.zeros_like(partition).index_add_(0, row, (lost - partition[row]).exp())
        self.removed += (ratio / (1 + ratio)).nan_to_num(1.0).sum() / self.plan.partitions

    def drops(self) -> Drops:
        """The counts of all rows."""
        rows = len(self.plan.positive_column)
        return Drops(self.counts, self.candidates, self.removed / rows)

    def _sorted(self, match: Match | None, strip: slice) -> tuple[Tensor, Tensor]:
        """Rows and columns of a match, by ascending column."""
        if match is None:
            return self._starts[:0], self._starts[:0]
        row, column = match.find(strip)
        order = column.argsort()
        return row[order], column[order]

    def _bounds(self, column: Int[Tensor, " named"]) -> list[slice]:
        """Where each tile's columns lie in an ascending list."""
        bounds = torch.searchsorted(column, self._starts).tolist()
        return [slice(low, high) for low, high in pairwise(bounds)]


def _tiles(blocks: Sequence[Block], width: int | None) -> Iterator[Tile]:
    start = 0
    for number, block in enumerate(blocks):
        size = len(block.candidates)
        for low in range(0, size, width or size):
            high = min(low + (width or size), size)
            yield Tile(block, number, slice(start + low, start + high), slice(low, high))
        start += size
