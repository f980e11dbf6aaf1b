"""The five rules by which a candidate is dropped from a row's softmax, each counted apart.

A candidate is any text that an anchor is scored against. Row i's own positive is never dropped. Otherwise a candidate
leaves row i when one of these holds:

1. ``self``: it is row i's own text, by index (its anchor in AA; its positive or negative among documents);
2. ``text``: its text is row i's anchor or positive, by text id;
3. ``never``: somebody listed it, beside row i's anchor or positive, as a pair that is no negative, by text ids;
4. ``group``: its group (ESCO concept, cluster ...) is row i's, by group id;
5. ``guide``: its guide similarity to row i exceeds row i's ceiling, strictly. Several guides may stand side by side in
   the guide's vectors, slice by slice (``guide_dims``): the similarity is then the largest of theirs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.losses.similarity import unit, unit_slices, widen

RULES = ("self", "text", "never", "group", "guide")
MarginStrategy = Literal["absolute", "relative"]


@dataclass(frozen=True)
class Embedded:
    """Some texts as the loss sees them: vectors of two models, and identities.

    Args:
        vectors: the encoder's vectors, of any length (they are normalised inside).
        guide: the guide's vectors of the same texts; none: no guide rule.
        text_id: identity of the text; none: no text rule.
        group_id: identity of the group (concept, family, cluster); none: no group rule.
    """

    vectors: Float[Tensor, "texts dim"]
    guide: Float[Tensor, "texts guide_dim"] | None = None
    text_id: Int[Tensor, " texts"] | None = None
    group_id: Int[Tensor, " texts"] | None = None

    def normalised(self, guide_dims: Sequence[int] | None = None) -> "Embedded":
        """The same with unit vectors of both models."""
        return replace(self.widened(guide_dims), vectors=unit(self.vectors))

    def widened(self, guide_dims: Sequence[int] | None = None) -> "Embedded":
        """The same in at least float32, with unit vectors of the guide only: whole ones, or slices of these widths."""
        guide = self.guide
        if guide is not None:
            guide = unit(guide) if guide_dims is None else unit_slices(guide, guide_dims)
        return replace(self, vectors=widen(self.vectors), guide=guide)

    def take(self, index: Int[Tensor, " picked"]) -> "Embedded":
        """The texts at these positions."""
        others = (None if part is None else part[index] for part in (self.guide, self.text_id, self.group_id))
        return Embedded(self.vectors[index], *others)


class Drops(NamedTuple):
    """How many candidates each rule dropped in a batch.

    A candidate that several rules would drop is counted under the first of them, so the counts add up.
    ``counts`` follows `RULES`; ``candidates`` counts all but the rows' own positives. Both are int64 tensors.
    ``removed`` is the mean share of a row's partition function that its dropped candidates would have made up (the
    row's own entries, which are no candidates by any reading, left aside).
    """

    counts: Int[Tensor, " rules"]
    candidates: Int[Tensor, ""]
    removed: Float[Tensor, ""]

    def rates(self) -> dict[str, float]:
        """Share of the candidates that each rule dropped."""
        total = max(int(self.candidates), 1)
        return {rule: count / total for rule, count in zip(RULES, self.counts.tolist(), strict=True)}

    @classmethod
    def pool(cls, batches: Sequence["Drops"]) -> "Drops":
        """Several batches as one."""
        counts, candidates, removed = (torch.stack(parts) for parts in zip(*batches, strict=True))
        return cls(counts.sum(0), candidates.sum(), removed.mean())


def ceiling(positive_sim: Float[Tensor, " rows"], margin: float, strategy: MarginStrategy) -> Float[Tensor, " rows"]:
    """The guide similarity above which a candidate counts as right.

    ``absolute``: t = s - m.  ``relative``: t = s - |s| m, so that a margin means the same on both sides of zero.
    """
    return positive_sim - margin if strategy == "absolute" else positive_sim - positive_sim.abs() * margin


class IdIndex(NamedTuple):
    """Candidates by id, sorted once, so that equal ids are found without comparing every pair."""

    ids: Int[Tensor, " known"]  # ascending
    column: Int[Tensor, " known"]  # where the candidate stands

    @classmethod
    def of(cls, blocks: Iterable[Int[Tensor, " candidates"] | int]) -> "IdIndex | None":
        """Index candidates block after block; a block without ids is given by its size. None where no block has any."""
        ids, columns, start = [], [], 0
        for block in blocks:
            size = block if isinstance(block, int) else len(block)
            if not isinstance(block, int):
                ids.append(block)
                columns.append(torch.arange(start, start + size, device=block.device))
            start += size
        if not ids:
            return None
        known, order = torch.cat(ids).sort()
        return cls(known, torch.cat(columns)[order])

    def find(self, ids: Int[Tensor, " rows"]) -> tuple[Int[Tensor, " found"], Int[Tensor, " found"]]:
        """Every (row, candidate) of equal id."""
        left = torch.searchsorted(self.ids, ids)
        count = torch.searchsorted(self.ids, ids, right=True) - left
        row = torch.arange(len(ids), device=ids.device).repeat_interleave(count)
        before = count.cumsum(0) - count
        within = torch.arange(len(row), device=ids.device) - before[row]
        return row, self.column[left[row] + within]
