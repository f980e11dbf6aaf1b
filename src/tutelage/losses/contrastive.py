"""The guided contrastive loss in its dense form: every block is made whole, so memory grows with rows x candidates."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.losses.masks import RULES, Drops, Embedded, MarginStrategy, at, ceiling, same
from tutelage.losses.similarity import cosine


class Block(NamedTuple):
    """One kind of candidate: who is compared with what, and where a row's own entry stands."""

    rows: Embedded  # the side of the row: its anchor, or its positive in PP
    candidates: Embedded
    own: Int[Tensor, " rows"] | None  # the row's own entry among the candidates
    own_is_positive: bool = False  # that entry is the answer (AP), not the row itself (AA, PP)


def guided_contrastive(
    anchor: Embedded,
    positive: Embedded,
    negative: Embedded | None = None,
    *,
    temperature: float = 0.01,
    margin: float = 0.0,
    margin_strategy: MarginStrategy = "absolute",
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
    drop_same_text: bool = True,
    drop_same_group: bool = True,
    anchor_candidates: Embedded | None = None,
    positive_column: Int[Tensor, " rows"] | None = None,
) -> tuple[Float[Tensor, ""], Drops]:
    """Contrastive loss over in-batch candidates, without those that are right answers too.

    With cosine similarity sim and temperature T, row i costs::

        loss_i = logsumexp over kept candidates c of sim(i, c) / T  -  sim(a_i, p_i) / T

    and the loss is the mean over rows. The candidates are AP (a_i·p_j), AA (a_i·a_j, if ``contrast_anchors``), PP
    (p_i·p_j, if ``contrast_positives``) and AN (a_i·n_j). Which of them are dropped: see `tutelage.losses.masks`;
    the guide's ceiling comes from cos(A_i, P_i), also in PP. Gradients reach the encoder's vectors only.

    With the text and group rules off this is GISTEmbed (arXiv:2402.16829) as sentence-transformers computes it
    wherever no row competes with itself there; without guide vectors it is InfoNCE with in-batch negatives.

    Args:
        anchor: the rows (N). Their group ids are the rows' groups.
        positive: positives of all rows (N, or those of every rank).
        negative: hard negatives of all rows, any number; every row sees all of them.
        temperature: T > 0.
        margin: m; > 0 drops more candidates.
        margin_strategy: ``absolute`` (ceiling s - m) or ``relative`` (s - |s| m).
        contrast_anchors: let anchors compete (AA).
        contrast_positives: let positives compete with each other (PP).
        drop_same_text: apply rule 2 where text ids are given.
        drop_same_group: apply rule 3 where group ids are given.
        anchor_candidates: the anchors of every rank, in the order of ``positive``; default: ``anchor``.
        positive_column: where each row's positive stands in ``positive``; default: 0 ... N-1.

    Returns:
        The loss and the counts of dropped candidates.

    Raises:
        ValueError: temperature <= 0.

    Example::

        a, p = Embedded(encoder_anchor, guide_anchor), Embedded(encoder_positive, guide_positive)
        loss, drops = guided_contrastive(a, p, temperature=0.05, margin=0.02)
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it divides similarities and must be above 0.")
    anchor, positive = anchor.normalised(), positive.normalised()
    anchors = anchor if anchor_candidates is None else anchor_candidates.normalised()
    if positive_column is None:
        positive_column = torch.arange(len(anchor.vectors), device=anchor.vectors.device)
    mine = positive.take(positive_column)

    blocks = [Block(anchor, positive, positive_column, own_is_positive=True)]
    if contrast_anchors:
        blocks.append(Block(anchor, anchors, positive_column))
    if contrast_positives:
        blocks.append(Block(mine, positive, positive_column))
    if negative is not None:
        blocks.append(Block(anchor, negative.normalised(), None))

    limit = None
    if anchor.guide is not None and positive.guide is not None:
        # Read from the same product as the candidates' similarities, so that an equal text is exactly level with it.
        positive_sim = cosine(anchor.guide, positive.guide).gather(1, positive_column[:, None])[:, 0]
        limit = ceiling(positive_sim, margin, margin_strategy)

    sims, counts, candidates = [], [], 0
    for block in blocks:
        rules = _rules(block, anchor, mine, limit, drop_same_text=drop_same_text, drop_same_group=drop_same_group)
        dropped, count = _first_rule(rules)
        sims.append(cosine(block.rows.vectors, block.candidates.vectors).masked_fill(dropped, -torch.inf))
        counts.append(count)
        candidates += dropped.numel()
    logits = torch.cat(sims, dim=1) / temperature
    loss = torch.nn.functional.cross_entropy(logits, positive_column)
    total = torch.tensor(candidates - len(positive_column), device=logits.device)
    return loss, Drops(torch.stack(counts).sum(0), total)


def _rules(
    block: Block,
    anchor: Embedded,
    mine: Embedded,
    limit: Float[Tensor, " rows"] | None,
    *,
    drop_same_text: bool,
    drop_same_group: bool,
) -> list[Bool[Tensor, "rows candidates"]]:
    """One mask for each of `RULES`; the row's own positive is in none of them."""
    size = len(block.candidates.vectors)
    nothing = torch.zeros(len(anchor.vectors), size, dtype=torch.bool, device=anchor.vectors.device)
    own = nothing if block.own is None else at(block.own, size)
    by_self = nothing if block.own_is_positive else own
    by_text = by_group = by_guide = nothing
    ids = block.candidates.text_id
    if drop_same_text and ids is not None and anchor.text_id is not None and mine.text_id is not None:
        by_text = same(anchor.text_id, ids) | same(mine.text_id, ids)
    groups = block.candidates.group_id
    if drop_same_group and groups is not None and anchor.group_id is not None:
        by_group = same(anchor.group_id, groups)
    if limit is not None and block.rows.guide is not None and block.candidates.guide is not None:
        by_guide = cosine(block.rows.guide, block.candidates.guide) > limit[:, None]
    rules = [by_self, by_text, by_group, by_guide]
    return [rule & ~own for rule in rules] if block.own_is_positive else rules


def _first_rule(
    rules: list[Bool[Tensor, "rows candidates"]],
) -> tuple[Bool[Tensor, "rows candidates"], Int[Tensor, " rules"]]:
    """What any rule drops, and how many each drops that none before it did."""
    assert len(rules) == len(RULES)
    dropped, counts = torch.zeros_like(rules[0]), []
    for rule in rules:
        counts.append((rule & ~dropped).sum())
        dropped = dropped | rule
    return dropped, torch.stack(counts)
