"""Which candidates leave a strip of rows: the four rules at work, with positions instead of masks.

What is dropped is few, so it is held as flat positions in the strip. Equal ids come from a sorted index; what the guide
objects to is read off its similarities, strip by strip. Nothing of size rows x candidates outlives a strip.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.losses.masks import RULES, Drops, IdIndex, MarginStrategy, ceiling


class Block(NamedTuple):
    """One kind of candidate: who is compared with what. Vectors have length 1."""

    rows: Float[Tensor, "rows dim"]
    candidates: Float[Tensor, "candidates dim"]
    row_guide: Float[Tensor, "rows guide_dim"] | None
    candidate_guide: Float[Tensor, "candidates guide_dim"] | None
    own_is_self: bool = False  # the candidate at `positive_column` is the row itself (AA, PP), not its positive


class Plan(NamedTuple):
    """All of a loss but the encoder's vectors. The first block is AP; `positive_column` points into it."""

    blocks: Sequence[Block]
    positive_column: Int[Tensor, " rows"]
    texts: IdIndex | None  # of all candidates, block after block
    groups: IdIndex | None
    row_texts: tuple[Int[Tensor, " rows"], ...]  # ids of the row's anchor and of its positive
    row_groups: tuple[Int[Tensor, " rows"], ...]
    temperature: float
    margin: float
    margin_strategy: MarginStrategy
    chunk_size: int | None


class Dropper:
    """Finds, strip by strip, what the rules drop, and keeps the count.

    Args:
        plan: the loss.
        chunk_size: rows of a strip at most.

    Attributes:
        starts: where each block's candidates begin among all.
        width: candidates of all blocks.
        counts: dropped so far by each of `RULES`, under the first that holds.
        removed: sum over the rows so far of the share of their partition function that was dropped.
    """

    def __init__(self, plan: Plan, chunk_size: int) -> None:
        first, sizes = plan.blocks[0].rows, [len(block.candidates) for block in plan.blocks]
        self.plan = plan
        self.starts = [sum(sizes[:block]) for block in range(len(sizes))]
        self.width = sum(sizes)
        self.counts = torch.zeros(len(RULES), dtype=torch.int64, device=first.device)
        self.removed = first.new_zeros((), dtype=torch.float64)
        self._seen = torch.zeros(chunk_size * self.width, dtype=torch.bool, device=first.device)  # clean between strips
        self._guide: Tensor | None = None
        self._chunk_size = chunk_size

    def columns(self) -> list[tuple[Block, slice]]:
        """Each block with the columns of its candidates."""
        return [
            (block, slice(start, start + len(block.candidates)))
            for block, start in zip(self.plan.blocks, self.starts, strict=True)
        ]

    def find(self, strip: slice) -> tuple[Int[Tensor, " itself"], Int[Tensor, " others"]]:
        """Flat positions in the strip: the rows' own entries, and what the other rules drop."""
        line = torch.arange(strip.stop - strip.start, device=self.counts.device) * self.width
        own = line + self.plan.positive_column[strip]
        self._seen[own] = True  # the positive stays, whatever a rule says
        found = []
        for rule, positions in enumerate(self.rules(strip, line)):
            new = positions[~self._seen[positions]].unique()
            self._seen[new] = True
            self.counts[rule] += len(new)
            found.append(new)
        by_self, by_rule = found[0], torch.cat(found[1:])
        for positions in (own, by_self, by_rule):
            self._seen[positions] = False
        return by_self, by_rule

    def rules(self, strip: slice, line: Int[Tensor, " strip"]) -> list[Int[Tensor, " found"]]:
        """What each of `RULES` would drop; ``line`` is where the strip's rows begin."""
        plan, own = self.plan, line + self.plan.positive_column[strip]
        by_self = [own + start for start, block in zip(self.starts, plan.blocks, strict=True) if block.own_is_self]
        return [
            torch.cat([own[:0], *by_self]),
            _equal(plan.texts, plan.row_texts, strip, line),
            _equal(plan.groups, plan.row_groups, strip, line),
            self._above_ceiling(strip, line),
        ]

    def _above_ceiling(self, strip: slice, line: Int[Tensor, " strip"]) -> Int[Tensor, " found"]:
        """Candidates whose guide similarity exceeds the row's ceiling."""
        plan, found, limit = self.plan, [line[:0]], None
        for block, start in zip(plan.blocks, self.starts, strict=True):
            if block.row_guide is None or block.candidate_guide is None:
                continue
            if self._guide is None:
                most = max(len(each.candidates) for each in plan.blocks)
                self._guide = block.row_guide.new_empty(self._chunk_size * most)
            sim = self._guide[: len(line) * len(block.candidate_guide)].view(len(line), -1)
            torch.mm(block.row_guide[strip], block.candidate_guide.T, out=sim)
            if limit is None:
                # Read from the same product as the candidates' similarities, so that an equal text is level with it.
                positive_sim = sim.gather(1, plan.positive_column[strip, None])[:, 0]
                limit = ceiling(positive_sim, plan.margin, plan.margin_strategy)
            row, column = (sim > limit[:, None]).nonzero(as_tuple=True)
            found.append(line[row] + start + column)
        return torch.cat(found)

    def note_removed(
        self, lost: Float[Tensor, " found"], positions: Int[Tensor, " found"], partition: Float[Tensor, " strip"]
    ) -> None:
        """Add up Z_dropped / (Z_dropped + Z_kept) of the strip's rows, in float64: exponents reach 2 / T."""
        row = positions // self.width
        ratio = (lost.double() - partition.double()[row]).exp()
        ratio = torch.zeros_like(partition, dtype=torch.float64).index_add_(0, row, ratio)
        self.removed += (ratio / (1 + ratio)).nan_to_num(1.0).sum()

    def drops(self) -> Drops:
        """The counts of all rows."""
        rows = len(self.plan.positive_column)
        candidates = torch.tensor(rows * self.width - rows, device=self.counts.device)
        return Drops(self.counts, candidates, self.removed / rows)


def _equal(
    index: IdIndex | None, ids: tuple[Int[Tensor, " rows"], ...], strip: slice, line: Int[Tensor, " strip"]
) -> Int[Tensor, " found"]:
    """Positions of the candidates that carry one of the row's ids."""
    if index is None:
        return line[:0]
    found = [index.find(each[strip]) for each in ids]
    return torch.cat([line[row] + column for row, column in found])
