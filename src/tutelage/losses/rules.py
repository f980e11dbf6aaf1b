"""Which candidates leave a strip of rows: the four rules at work.

Equal ids come from a sorted index, so no pair of ids is compared in vain; what the guide objects to is read off its
similarities. Nothing of size rows x candidates outlives a strip.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
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


class Found(NamedTuple):
    """What leaves one strip: a few flat positions, and for each guided block a mask of the strip."""

    by_self: Int[Tensor, " itself"]
    by_id: Int[Tensor, " others"]  # by text or group
    by_guide: list[tuple[slice, Bool[Tensor, "strip candidates"]]]

    def take_out_(self, logits: Float[Tensor, "strip all"]) -> tuple[Float[Tensor, " lost"], Int[Tensor, " lost"]]:
        """Set what leaves to -inf; returns the logits that the rules other than ``self`` took, and their rows."""
        flat, line = logits.view(-1), torch.arange(len(logits), device=logits.device)
        lost, row = [flat[self.by_id]], [self.by_id // logits.shape[1]]
        flat[self.by_id] = -torch.inf
        flat[self.by_self] = -torch.inf
        for columns, hit in self.by_guide:
            lost.append(logits[:, columns][hit])
            row.append(line.repeat_interleave(hit.sum(1)))
            logits[:, columns].masked_fill_(hit, -torch.inf)
        return torch.cat(lost), torch.cat(row)


class Dropper:
    """Finds, strip by strip, what the rules drop, and keeps the count.

    Args:
        plan: the loss.

    Attributes:
        starts: where each block's candidates begin among all.
        width: candidates of all blocks.
        counts: dropped so far by each of `RULES`, under the first that holds.
        removed: sum over the rows so far of the share of their partition function that was dropped.
    """

    def __init__(self, plan: Plan) -> None:
        first, sizes = plan.blocks[0].rows, [len(block.candidates) for block in plan.blocks]
        self.plan = plan
        self.starts = [sum(sizes[:block]) for block in range(len(sizes))]
        self.width = sum(sizes)
        self.counts = torch.zeros(len(RULES), dtype=torch.int64, device=first.device)
        self.removed = first.new_zeros((), dtype=torch.float64)

    def columns(self) -> list[tuple[Block, slice]]:
        """Each block with the columns of its candidates."""
        return [
            (block, slice(start, start + len(block.candidates)))
            for block, start in zip(self.plan.blocks, self.starts, strict=True)
        ]

    def find(self, strip: slice) -> Found:
        """What leaves these rows, each candidate under the first rule that drops it."""
        line = torch.arange(strip.stop - strip.start, device=self.counts.device) * self.width
        own = line + self.plan.positive_column[strip]
        # Own positives stand first, so that no rule may claim them; then the rules in their order.
        lists = [own, *self.rules_by_id(strip, line)]
        ranked = torch.cat([positions * len(lists) + rank for rank, positions in enumerate(lists)]).unique()
        position, rank = ranked // len(lists), ranked % len(lists)
        first = torch.ones_like(position, dtype=torch.bool)
        first[1:] = position[1:] != position[:-1]
        by_self, by_text, by_group = (position[first & (rank == rule)] for rule in (1, 2, 3))
        by_guide = self.by_guide(strip, position)
        found = [len(by_self), len(by_text), len(by_group), sum(hit.sum() for _, hit in by_guide)]
        self.counts += torch.stack([torch.as_tensor(count, device=self.counts.device) for count in found])
        return Found(by_self, torch.cat([by_text, by_group]), by_guide)

    def rules_by_id(self, strip: slice, line: Int[Tensor, " strip"]) -> list[Int[Tensor, " _"]]:
        """Positions that the rules self, text and group name; ``line`` is where the strip's rows begin."""
        plan, own = self.plan, line + self.plan.positive_column[strip]
        by_self = [own + start for start, block in zip(self.starts, plan.blocks, strict=True) if block.own_is_self]
        return [
            torch.cat([own[:0], *by_self]),
            _equal(plan.texts, plan.row_texts, strip, line),
            _equal(plan.groups, plan.row_groups, strip, line),
        ]

    def by_guide(
        self, strip: slice, taken: Int[Tensor, " taken"]
    ) -> list[tuple[slice, Bool[Tensor, "strip candidates"]]]:
        """Masks of the candidates above the row's ceiling, without the positions already taken."""
        plan, masks, limit = self.plan, [], None
        row, column = taken // self.width, taken % self.width
        for block, columns in self.columns():
            if block.row_guide is None or block.candidate_guide is None:
                continue
            sim = block.row_guide[strip] @ block.candidate_guide.T
            if limit is None:
                # Read from the same product as the candidates' similarities, so that an equal text is level with it.
                positive_sim = sim.gather(1, plan.positive_column[strip, None])[:, 0]
                limit = ceiling(positive_sim, plan.margin, plan.margin_strategy)
            here = (column >= columns.start) & (column < columns.stop)
            sim[row[here], column[here] - columns.start] = -torch.inf
            masks.append((columns, sim > limit[:, None]))
        return masks

    def note_removed(
        self, lost: Float[Tensor, " lost"], row: Int[Tensor, " lost"], partition: Float[Tensor, " strip"]
    ) -> None:
        """Add up Z_dropped / (Z_dropped + Z_kept) of the strip's rows; beyond the exponent's range that is 1."""
        ratio = torch.zeros_like(partition).index_add_(0, row, (lost - partition[row]).exp())
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
