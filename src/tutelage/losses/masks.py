"""The four rules by which a candidate is dropped from a row's softmax, each counted apart.

A candidate is any text that an anchor is scored against. Row i's own positive is never dropped. Otherwise a candidate
leaves row i when one of these holds:

1. ``self``: it is row i's own anchor or positive, by index (blocks AA and PP);
2. ``text``: its text is row i's anchor or positive, by text id;
3. ``group``: its group (ESCO concept, cluster ...) is row i's, by group id;
4. ``guide``: its guide similarity to row i exceeds row i's ceiling, strictly.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.losses.similarity import unit

RULES = ("self", "text", "group", "guide")
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

    def normalised(self) -> "Embedded":
        """The same with unit vectors."""
        guide = None if self.guide is None else unit(self.guide)
        return Embedded(unit(self.vectors), guide, self.text_id, self.group_id)

    def take(self, index: Int[Tensor, " picked"]) -> "Embedded":
        """The texts at these positions."""
        others = (None if part is None else part[index] for part in (self.guide, self.text_id, self.group_id))
        return Embedded(self.vectors[index], *others)


class Drops(NamedTuple):
    """How many candidates each rule dropped in a batch.

    A candidate that several rules would drop is counted under the first of them, so the counts add up.
    ``counts`` follows `RULES`; ``candidates`` counts all but the rows' own positives. Both are int64 tensors.
    """

    counts: Int[Tensor, " rules"]
    candidates: Int[Tensor, ""]

    def rates(self) -> dict[str, float]:
        """Share of the candidates that each rule dropped."""
        total = max(int(self.candidates), 1)
        return {rule: count / total for rule, count in zip(RULES, self.counts.tolist(), strict=True)}


def ceiling(positive_sim: Float[Tensor, " rows"], margin: float, strategy: MarginStrategy) -> Float[Tensor, " rows"]:
    """The guide similarity above which a candidate counts as right.

    ``absolute``: t = s - m.  ``relative``: t = s - |s| m, so that a margin means the same on both sides of zero.
    """
    return positive_sim - margin if strategy == "absolute" else positive_sim - positive_sim.abs() * margin


def same(ids: Int[Tensor, " rows"], candidates: Int[Tensor, " candidates"]) -> Bool[Tensor, "rows candidates"]:
    """Whether a row and a candidate carry the same id."""
    return ids[:, None] == candidates[None, :]


def at(column: Int[Tensor, " rows"], width: int) -> Bool[Tensor, "rows width"]:
    """True at each row's own column."""
    return column[:, None] == torch.arange(width, device=column.device)
