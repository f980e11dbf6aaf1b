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
    never: list[tuple[int, int]] = field(default_factory=list)
    negative_row: list[int] | None = None
    options: dict = field(default_factory=dict)


def cos(a: Tensor, b: Tensor) -> Tensor:
    return (a / a.norm()) @ (b / b.norm())


def guide_similarity(a: Tensor, b: Tensor, guide_dims: list[int] | None) -> Tensor:
    """The cosine, or of several guides side by side the largest of their cosines."""
    if guide_dims is None:
        return cos(a, b)
    cosines, start = [], 0
    for width in guide_dims:
        cosines.append(cos(a[start : start + width], b[start : start + width]))
        start += width
    return max(cosines)


def guided_contrastive(
    given: Example,
    *,
    temperature: float = 0.01,
    margin: float = 0.0,
    margin_strategy: str = "absolute",
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
    directions: list[str] | None = None,
    partition_mode: str = "joint",
    hardness_mode: str | None = None,
    hardness_strength: float = 0.0,
    guide_dims: list[int] | None = None,
) -> tuple[Tensor, dict[str, int], int, Tensor]:
    """Mean over rows of the mean over softmaxes of logsumexp(kept logits), less the positive's logit.

    Also: drops by first rule; candidates; the share of the partition functions that was lost.
    """
    n = len(given.anchor)
    guided = given.guide_anchor is not None
    drops = {"self": 0, "text": 0, "never": 0, "group": 0, "guide": 0}
    never = {frozenset(pair) for pair in given.never}
    candidates = 0
    losses, shares = [], []
    for i in range(n):
        limit = None
        if guided:
            s = guide_similarity(given.guide_anchor[i], given.guide_positive[i], guide_dims)
            limit = s - margin if margin_strategy == "absolute" else s - abs(s) * margin
        softmaxes = {}
        for direction, block, row, others in compared(given, contrast_anchors, contrast_positives, directions):
            softmax = softmaxes.setdefault(direction if partition_mode == "per_direction" else "", ([], []))
            kept, lost = softmax
            for j in range(len(others.vectors)):
                own = others.owner[j] == i
                sim = cos(row.vectors[i], others.vectors[j])
                logit = sim / temperature
                if hardness_mode and direction == "query_to_doc" and hard(hardness_mode, own, block):
                    logit = logit + hardness_strength * sim.detach()
                if own and block in ("AP", "PA"):
                    kept.append(logit)
                    continue
                candidates += 1
                if own and block in ("AA", "PP", "PN"):
                    rule = "self"
                elif others.ids is not None and others.ids[j] in (given.anchor_id[i], given.positive_id[i]):
                    rule = "text"
                elif others.ids is not None and never & {
                    frozenset((given.anchor_id[i], others.ids[j])),
                    frozenset((given.positive_id[i], others.ids[j])),
                }:
                    rule = "never"
                elif others.groups is not None and others.groups[j] == given.group[i]:
                    rule = "group"
                elif guided and guide_similarity(row.guide[i], others.guide[j], guide_dims) > limit:
                    rule = "guide"
                else:
                    kept.append(logit)
                    continue
                drops[rule] += 1
                if rule != "self":
                    lost.append(logit)
        log_z = torch.stack([torch.stack(kept).logsumexp(0) for kept, _ in softmaxes.values()]).mean()
        losses.append(log_z - cos(given.anchor[i], given.positive[i]) / temperature)
        for kept, lost in softmaxes.values():
            z_lost = sum(logit.exp() for logit in lost)
            shares.append(z_lost / (z_lost + sum(logit.exp() for logit in kept)))
    return torch.stack(losses).mean(), drops, candidates, sum(shares) / len(shares)


@dataclass
class Side:
    """Texts of one role, and the row that each belongs to."""

    vectors: Tensor
    guide: Tensor | None
    ids: list[int] | None
    groups: list[int] | None
    owner: list[int]


def compared(given, contrast_anchors, contrast_positives, directions):
    """(direction, block, rows, others) of everything that competes."""
    n = len(given.anchor)
    anchors = Side(given.anchor, given.guide_anchor, given.anchor_id, given.group, list(range(n)))
    positives = Side(given.positive, given.guide_positive, given.positive_id, given.group, list(range(n)))
    negatives = None
    if given.negative is not None:
        owner = given.negative_row or [k % n for k in range(len(given.negative))]
        negatives = Side(given.negative, given.guide_negative, given.negative_id, None, owner)
    chosen = directions or []
    yield "query_to_doc", "AP", anchors, positives
    if negatives is not None:
        yield "query_to_doc", "AN", anchors, negatives
    if "query_to_query" in chosen or (directions is None and contrast_anchors):
        yield "query_to_query", "AA", anchors, anchors
    if "doc_to_query" in chosen:
        yield "doc_to_query", "PA", positives, anchors
    if "doc_to_doc" in chosen or (directions is None and contrast_positives):
        yield "doc_to_doc", "PP", positives, positives
    if "doc_to_doc" in chosen and negatives is not None:
        yield "doc_to_doc", "PN", positives, negatives


def hard(mode: str, own: bool, block: str) -> bool:
    """Whether a logit of query_to_doc is raised."""
    if own:
        return block == "AN" and mode in ("hard_negatives", "all_negatives")
    return mode in ("in_batch_negatives", "all_negatives")
