"""Which candidates leave a strip of rows: the five rules at work, tile by tile.

Equal ids come from sorted indexes, so no pair of ids is compared in vain; what the guide objects to is a mask of one
tile. A tile stands with its candidates down and the strip's rows across, the order in which products, maxima and sums
of a long narrow matrix are fastest.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.losses.masks import RULES, Drops, IdIndex, MarginStrategy, ceiling
from tutelage.losses.screen import excess, products

TILE = 1024  # candidates of a tile on a CPU, small enough for its caches; a GPU takes a block whole


class Block(NamedTuple):
    """One kind of candidate: who is compared with what, in vectors of both models."""

    rows: Float[Tensor, "rows dim"]
    candidates: Float[Tensor, "candidates dim"]
    row_guide: Float[Tensor, "rows guide_dim"] | None
    candidate_guide: Float[Tensor, "candidates guide_dim"] | None
    hardness: float = 1.0  # factor of the logits that the gradient does not see
    partition: int = 0  # whose softmax these candidates belong to
    row_id: Int[Tensor, " rows"] | None = None  # text ids of both sides: no rule reads them here, an audit does
    candidate_id: Int[Tensor, " candidates"] | None = None


class Match(NamedTuple):
    """Candidates that carry one of a row's ids."""

    candidates: IdIndex
    ids: tuple[Int[Tensor, " rows"], ...]

    def find(self, strip: slice) -> tuple[Int[Tensor, " found"], Int[Tensor, " found"]]:
        """Rows (within the strip) and columns of equal id."""
        found = [self.candidates.find(each[strip]) for each in self.ids]
        return torch.cat([row for row, _ in found]), torch.cat([column for _, column in found])


class Listed(NamedTuple):
    """Candidates that stand beside one of a row's ids in a list of pairs.

    ``partners`` holds the list in both directions: by one id of a pair (``ids``), the other (``column``).
    """

    candidates: IdIndex
    ids: tuple[Int[Tensor, " rows"], ...]
    partners: IdIndex

    def find(self, strip: slice) -> tuple[Int[Tensor, " found"], Int[Tensor, " found"]]:
        """Rows (within the strip) and columns that a pair of the list names."""
        found = []
        for each in self.ids:
            row, partner = self.partners.find(each[strip])
            which, column = self.candidates.find(partner)
            found.append((row[which], column))
        return torch.cat([row for row, _ in found]), torch.cat([column for _, column in found])


class Plan(NamedTuple):
    """All of a loss but what it sums. The first block is AP; ``positive_column`` points into it."""

    blocks: Sequence[Block]
    positive_column: Int[Tensor, " rows"]
    by_id: Sequence[Match | Listed | None]  # the row's own positive, which no rule may drop; then `RULES` but the last
    rescaled: Match | None  # candidates whose logits are multiplied by ``rescaling``, after their block's hardness
    rescaling: float
    temperature: float
    margin: float
    margin_strategy: MarginStrategy
    chunk_size: int | None
    guide_dims: Sequence[int] | None = None  # widths of several guides' slices, of which the nearest decides

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
    """What the rules say of one tile: positions in its flat logits, and a mask."""

    own: Int[Tensor, " own"]  # the rows' own positives
    own_row: Int[Tensor, " own"]
    itself: Int[Tensor, " itself"]
    rescaled: Int[Tensor, " rescaled"]
    dropped: Float[Tensor, "tile rows"]  # 1 where a rule but the first drops the candidate, else 0

    def correct_(self, flat: Float[Tensor, " all"], positive_logit: Float[Tensor, " rows"], rescaling: float) -> None:
        """Make logits of a tile's products: rescale some, one number for a row's positive, -inf for itself."""
        if len(self.rescaled):
            flat[self.rescaled] *= rescaling
        flat[self.own] = positive_logit[self.own_row]
        flat[self.itself] = -torch.inf


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
        widest: candidates of the largest tile.
    """

    def __init__(self, plan: Plan, chunk_size: int) -> None:
        first = plan.blocks[0].rows
        self.plan = plan
        self.tiles = list(_tiles(plan.blocks, TILE if first.device.type == "cpu" else None))
        self.width = self.tiles[-1].columns.stop
        self.counts = torch.zeros(len(RULES), dtype=torch.int64, device=first.device)
        self.candidates = torch.zeros((), dtype=torch.int64, device=first.device)
        self._ceiling = None
        guide, others = plan.blocks[0].row_guide, plan.blocks[0].candidate_guide
        if guide is not None and others is not None:
            line = torch.arange(len(first), device=first.device)
            own = products(guide, others, line, plan.positive_column, plan.guide_dims)
            self._ceiling = ceiling(own, plan.margin, plan.margin_strategy)
        self.widest = max(tile.part.stop - tile.part.start for tile in self.tiles)
        # Guide vectors may have a dtype of their own.
        kind = first if guide is None else guide
        self._dropped, self._work = (kind.new_empty(self.widest * chunk_size) for _ in range(2))
        self._starts = torch.tensor([tile.columns.start for tile in self.tiles] + [self.width], device=first.device)

    def find(self, strip: slice) -> Iterator[tuple[Tile, Found]]:
        """What leaves these rows, tile by tile; the mask of one tile is gone when the next is asked for."""
        row, column, rank = self.by_id(strip)
        rows = strip.stop - strip.start
        count = rank.bincount(minlength=len(RULES))
        self.counts[:-1] += count[1:]
        self.candidates += rows * self.width - count[0]
        odd_row, odd_column = self._sorted(self.plan.rescaled, strip)
        bounds = zip(self._bounds(column), self._bounds(odd_column), strict=True)
        for tile, (named, odd) in zip(self.tiles, bounds, strict=True):
            flat, why = (column[named] - tile.columns.start) * rows + row[named], rank[named]
            dropped = self.by_guide(tile, strip)
            dropped.view(-1)[flat] = 0
            self.counts[-1] += dropped.sum(0).sum(dtype=torch.float64).long()
            dropped.view(-1)[flat[why > 1]] = 1
            rescaled = (odd_column[odd] - tile.columns.start) * rows + odd_row[odd]
            yield tile, Found(flat[why == 0], row[named][why == 0], flat[why == 1], rescaled, dropped)

    def by_id(self, strip: slice) -> tuple[Int[Tensor, " named"], Int[Tensor, " named"], Int[Tensor, " named"]]:
        """Rows, columns (ascending) and the first rule that names them: 0 the own positive, 1 self, 2 text ..."""
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

    def by_guide(self, tile: Tile, strip: slice) -> Float[Tensor, "tile rows"]:
        """1 where the guide's similarity is above the row's ceiling, else 0."""
        row, other = tile.block.row_guide, tile.block.candidate_guide
        dropped, work = (_shaped(each, tile, strip) for each in (self._dropped, self._work))
        if row is None or other is None or self._ceiling is None:
            return dropped.zero_()
        excess(row[strip], other[tile.part], self._ceiling[strip], dropped, work, self.plan.guide_dims)
        # Signs and sums of floats: on a CPU several times faster than comparing, and positions are not needed.
        return dropped.clamp_(min=0).sign_()

    def drops(self, removed: Float[Tensor, ""]) -> Drops:
        """The counts of all rows, beside the share of the partition function that they removed."""
        return Drops(self.counts, self.candidates, removed)

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


def _shaped(space: Float[Tensor, " space"], tile: Tile, strip: slice) -> Float[Tensor, "tile rows"]:
    """The beginning of a buffer as a tile's candidates x rows."""
    count, rows = tile.part.stop - tile.part.start, strip.stop - strip.start
    return space[: count * rows].view(count, rows)


def _tiles(blocks: Sequence[Block], width: int | None) -> Iterator[Tile]:
    start = 0
    for number, block in enumerate(blocks):
        size = len(block.candidates)
        step = width or max(size, 1)
        for low in range(0, size, step):
            high = min(low + step, size)
            yield Tile(block, number, slice(start + low, start + high), slice(low, high))
        start += size
