"""The guided contrastive loss: which texts compete, and the options that decide what is dropped."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.losses.masks import Drops, Embedded, IdIndex, MarginStrategy
from tutelage.losses.matryoshka import Prefixes, contrast_prefixes
from tutelage.losses.rules import Block, Plan
from tutelage.losses.tiled import contrast


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
    dims: Mapping[int, float] | None = None,
    chunk_size: int | None = None,
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
        dims: Matryoshka: dimensions and the weight of each one's loss, as in ``{384: 1, 128: 1}``; the sum of the
            losses of those prefixes, renormalised, costs little more than one. Default: all dimensions.
        chunk_size: rows whose logits are alive at a time; changes memory only. Default: by a memory budget.

    Returns:
        The loss and the counts of dropped candidates.

    Raises:
        ValueError: temperature <= 0, or a dimension that the vectors do not have.

    Example::

        a, p = Embedded(encoder_anchor, guide_anchor), Embedded(encoder_positive, guide_positive)
        loss, drops = guided_contrastive(a, p, temperature=0.05, margin=0.02)
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it divides similarities and must be above 0.")
    width = anchor.vectors.shape[1]
    if dims is not None and not (dims and all(0 < dim <= width for dim in dims)):
        raise ValueError(f"dims are {list(dims)}; wanted dimensions from 1 to {width}.")
    # Prefixes have lengths of their own; otherwise the whole vector's length is all there is.
    ready = Embedded.normalised if dims is None else Embedded.widened
    anchor, positive = ready(anchor), ready(positive)
    anchors = anchor if anchor_candidates is None else ready(anchor_candidates)
    if positive_column is None:
        positive_column = torch.arange(len(anchor.vectors), device=anchor.vectors.device)
    mine = positive.take(positive_column)

    pairs = [(anchor, positive, False)]
    pairs += [(anchor, anchors, True)] * contrast_anchors
    pairs += [(mine, positive, True)] * contrast_positives
    if negative is not None:
        pairs.append((anchor, ready(negative), False))
    texts = drop_same_text and anchor.text_id is not None and mine.text_id is not None
    groups = drop_same_group and anchor.group_id is not None
    plan = Plan(
        blocks=[Block(row.vectors, other.vectors, row.guide, other.guide, own) for row, other, own in pairs],
        positive_column=positive_column,
        texts=IdIndex.of(_ids(other.text_id, other) for _, other, _ in pairs) if texts else None,
        groups=IdIndex.of(_ids(other.group_id, other) for _, other, _ in pairs) if groups else None,
        row_texts=tuple(ids for ids in (anchor.text_id, mine.text_id) if ids is not None),
        row_groups=() if anchor.group_id is None else (anchor.group_id,),
        temperature=temperature,
        margin=margin,
        margin_strategy=margin_strategy,
        chunk_size=chunk_size,
    )
    if dims is None:
        return contrast(plan)
    ascending = sorted(dims)
    return contrast_prefixes(plan, Prefixes(ascending, [dims[dim] for dim in ascending]))


def _ids(ids: Int[Tensor, " candidates"] | None, texts: Embedded) -> Int[Tensor, " candidates"] | int:
    return len(texts.vectors) if ids is None else ids
