"""Slow definitions in plain Python over float64 numbers: what every fast path must equal, value and gradients.

Written from the formulas alone, one candidate at a time, without masks, gathers or broadcasts.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Example:
    """What `guided_contrastive` is given, as lists of vectors and ids."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor | None = None
    guide_anchor: Tensor | None = None
    guide_positive: Tensor | None = None
    guide_negative: Tensor | None = None
    anchor_id: list[int] | None = None
    positive_id: list[int] | None = None
    negative_id: list[int] | None = None
    group: list[int] | None = None
    options: dict = field(default_factory=dict)


def cos(a: Tensor, b: Tensor) -> Tensor:
    return (a / a.norm()) @ (b / b.norm())


def guided_contrastive(
    given: Example,
    *,
    temperature: float = 0.01,
    margin: float = 0.0,
    margin_strategy: str = "absolute",
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
) -> tuple[Tensor, dict[str, int], int, Tensor]:
    """Mean over rows of logsumexp(kept logits) - positive's logit; drops by first rule; candidates; share lost."""
    n = len(given.anchor)
    guided = given.guide_anchor is not None
    drops = {"self": 0, "text": 0, "group": 0, "guide": 0}
    candidates = 0
    losses, shares = [], []
    for i in range(n):
        lost = []
        limit = None
        if guided:
            s = cos(given.guide_anchor[i], given.guide_positive[i])
            limit = s - margin if margin_strategy == "absolute" else s - abs(s) * margin
        kept = [cos(given.anchor[i], given.positive[i]) / temperature]

        blocks = [("AP", given.anchor[i], given.positive, given.positive_id, given.group)]
        guides = [(given.guide_anchor, given.guide_positive)]
        if contrast_anchors:
            blocks.append(("AA", given.anchor[i], given.anchor, given.anchor_id, given.group))
            guides.append((given.guide_anchor, given.guide_anchor))
        if contrast_positives:
            blocks.append(("PP", given.positive[i], given.positive, given.positive_id, given.group))
            guides.append((given.guide_positive, given.guide_positive))
        if given.negative is not None:
            blocks.append(("AN", given.anchor[i], given.negative, given.negative_id, None))
            guides.append((given.guide_anchor, given.guide_negative))

        for (block, row, others, ids, groups), (guide_rows, guide_others) in zip(blocks, guides, strict=True):
            for j in range(len(others)):
                if block == "AP" and j == i:
                    continue
                candidates += 1
                if block in ("AA", "PP") and j == i:
                    rule = "self"
                elif ids is not None and ids[j] in (given.anchor_id[i], given.positive_id[i]):
                    rule = "text"
                elif groups is not None and groups[j] == groups[i]:
                    rule = "group"
                elif guided and cos(guide_rows[i], guide_others[j]) > limit:
                    rule = "guide"
                else:
                    kept.append(cos(row, others[j]) / temperature)
                    continue
                drops[rule] += 1
                if rule != "self":
                    lost.append(cos(row, others[j]) / temperature)
        z_lost = sum(logit.exp() for logit in lost)
        shares.append(z_lost / (z_lost + sum(logit.exp() for logit in kept)))
        losses.append(torch.stack(kept).logsumexp(0) - kept[0])
    return torch.stack(losses).mean(), drops, candidates, sum(shares) / n
