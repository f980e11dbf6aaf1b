"""The guided contrastive loss: which texts compete, and the options that decide what is dropped."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.losses.directions import (
    Direction,
    HardnessMode,
    PartitionMode,
    chosen,
    hardness,
    listed,
    own_candidates,
    pairings,
    refuse,
    same,
)
from tutelage.losses.masks import Drops, Embedded, MarginStrategy
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
    directions: Sequence[Direction] | None = None,
    partition_mode: PartitionMode = "joint",
    hardness_mode: HardnessMode | None = None,
    hardness_strength: float = 0.0,
    drop_same_text: bool = True,
    drop_same_group: bool = True,
    never: Int[Tensor, "pairs 2"] | None = None,
    anchor_candidates: Embedded | None = None,
    positive_column: Int[Tensor, " rows"] | None = None,
    negative_row: Int[Tensor, " negatives"] | None = None,
    dims: Mapping[int, float] | None = None,
    guide_dims: Sequence[int] | None = None,
    chunk_size: int | None = None,
) -> tuple[Float[Tensor, ""], Drops]:
    """Contrastive loss over in-batch candidates, without those that are right answers too.

    With cosine similarity sim and temperature T, row i costs::

        loss_i = logsumexp over kept candidates c of sim(i, c) / T  -  sim(a_i, p_i) / T

    and the loss is the mean over rows. The candidates are AP (a_i·p_j), AA (a_i·a_j, if ``contrast_anchors``), PP
    (p_i·p_j, if ``contrast_positives``) and AN (a_i·n_j). Which of them are dropped: see `tutelage.losses.masks`;
    the guide's ceiling comes from cos(A_i, P_i) everywhere. Gradients reach the encoder's vectors only.

    ``directions`` names the candidates as sentence-transformers does, in place of the two switches: query_to_doc (AP
    and AN, always wanted), query_to_query (AA), doc_to_query (PA: p_i·a_j, the positive pair once more among them) and
    doc_to_doc (PP, and PN: p_i·n_j). With ``partition_mode="per_direction"`` each direction has a softmax of its own
    and their logarithms are averaged; that takes directions which hold the positive: query_to_doc, doc_to_query.

    Hardness adds ``hardness_strength`` x sim to logits of query_to_doc, without a gradient of its own, so that near
    misses weigh more: other rows' documents (``in_batch_negatives``, arXiv:2503.04812), the row's own negatives
    (``hard_negatives``, arXiv:2509.20354), or both (``all_negatives``).

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
        directions: which kinds of candidates there are, in place of the two switches above.
        partition_mode: one softmax over all candidates (``joint``), or one for each direction.
        hardness_mode: whose logits are raised; default: nobody's.
        hardness_strength: by how much of their sim (not divided by the temperature).
        drop_same_text: apply rule 2 where text ids are given.
        drop_same_group: apply rule 4 where group ids are given.
        never: pairs of text ids that are no negatives (rule 3), whichever of the two comes first.
        anchor_candidates: the anchors of every rank, in the order of ``positive``; default: ``anchor``.
        positive_column: where each row's positive stands in ``positive``; default: 0 ... N-1.
        negative_row: the position in ``positive`` of each negative's own positive, where that matters (hardness,
            doc_to_doc). Default: all rows' first negatives, then all rows' second ones, and so on.
        dims: Matryoshka: dimensions and the weight of each one's loss, as in ``{384: 1, 128: 1}``; the sum of the
            losses of those prefixes, renormalised, costs little more than one. Default: all dimensions.
        guide_dims: several guides: the widths of their vectors, which stand side by side in the guide's. The guide
            similarity of a pair, a row's positive included, is then the largest cosine of a slice. Default: one guide.
        chunk_size: rows whose logits are alive at a time; changes memory only. Default: by a memory budget.

    Returns:
        The loss and the counts of dropped candidates.

    Raises:
        ValueError: temperature <= 0, a dimension that the vectors do not have, slices that do not make up the guide's
            vectors, guide vectors of some columns only, directions that cannot be.

    Example::

        a, p = Embedded(encoder_anchor, guide_anchor), Embedded(encoder_positive, guide_positive)
        loss, drops = guided_contrastive(a, p, temperature=0.05, margin=0.02)
    """
    plan = plan_of(
        anchor, positive, negative,
        temperature=temperature,
        margin=margin,
        margin_strategy=margin_strategy,
        contrast_anchors=contrast_anchors,
        contrast_positives=contrast_positives,
        directions=directions,
        partition_mode=partition_mode,
        hardness_mode=hardness_mode,
        hardness_strength=hardness_strength,
        drop_same_text=drop_same_text,
        drop_same_group=drop_same_group,
        never=never,
        anchor_candidates=anchor_candidates,
        positive_column=positive_column,
        negative_row=negative_row,
        dims=dims,
        guide_dims=guide_dims,
        chunk_size=chunk_size,
    )  # fmt: skip
    if dims is None:
        return contrast(plan)
    ascending = sorted(dims)
    return contrast_prefixes(plan, Prefixes(ascending, [dims[dim] for dim in ascending]))


def plan_of(
    anchor: Embedded,
    positive: Embedded,
    negative: Embedded | None = None,
    *,
    temperature: float = 0.01,
    margin: float = 0.0,
    margin_strategy: MarginStrategy = "absolute",
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
    directions: Sequence[Direction] | None = None,
    partition_mode: PartitionMode = "joint",
    hardness_mode: HardnessMode | None = None,
    hardness_strength: float = 0.0,
    drop_same_text: bool = True,
    drop_same_group: bool = True,
    never: Int[Tensor, "pairs 2"] | None = None,
    anchor_candidates: Embedded | None = None,
    positive_column: Int[Tensor, " rows"] | None = None,
    negative_row: Int[Tensor, " negatives"] | None = None,
    dims: Mapping[int, float] | None = None,
    guide_dims: Sequence[int] | None = None,
    chunk_size: int | None = None,
) -> Plan:
    """Who competes and who leaves, before anything is summed: the arguments are those of `guided_contrastive`."""
    named = chosen(directions, contrast_anchors, contrast_positives)
    refuse(named, partition_mode, hardness_mode, hardness_strength, temperature, margin_strategy)
    sides = (anchor, positive, negative, anchor_candidates)
    if len({side.guide is None for side in sides if side is not None}) > 1:
        raise ValueError("guide vectors of some columns, none of others. Give all of them, or none.")
    width = anchor.vectors.shape[1]
    if dims is not None and not (dims and all(0 < dim <= width for dim in dims)):
        raise ValueError(f"dims are {list(dims)}; wanted dimensions from 1 to {width}.")
    # Prefixes have lengths of their own; otherwise the whole vector's length is all there is.
    ready = partial(Embedded.normalised if dims is None else Embedded.widened, guide_dims=guide_dims)
    anchor, positive = ready(anchor), ready(positive)
    anchors = anchor if anchor_candidates is None else ready(anchor_candidates)
    line = torch.arange(len(anchor.vectors), device=anchor.vectors.device)
    column = line if positive_column is None else positive_column
    if {"query_to_query", "doc_to_query"} & {*named} and len(anchors.vectors) != len(positive.vectors):
        raise ValueError(
            f"{len(anchors.vectors)} anchors compete beside {len(positive.vectors)} positives; wanted one for each. "
            "Give anchor_candidates, or leave anchors out."
        )
    mine = positive if positive_column is None and len(positive.vectors) == len(line) else positive.take(column)
    if negative is not None:
        negative = ready(negative)
        if negative_row is None:
            negative_row = torch.arange(len(negative.vectors), device=line.device) % len(positive.vectors)
    pairs = pairings(
        anchor, positive, negative, anchors, mine, negative_row, named,
        negatives_among_documents=directions is not None,
    )  # fmt: skip

    harder = hardness(pairs, hardness_mode, 1 + temperature * hardness_strength, column)
    partition = {direction: number for number, direction in enumerate(dict.fromkeys(p.direction for p in pairs))}
    return Plan(
        blocks=[
            Block(
                pair.row.vectors,
                pair.other.vectors,
                pair.row.guide,
                pair.other.guide,
                factor,
                partition[pair.direction] if partition_mode == "per_direction" else 0,
                pair.row.text_id,
                pair.other.text_id,
            )
            for pair, factor in zip(pairs, harder.factors, strict=True)
        ],
        positive_column=column,
        by_id=(
            own_candidates(pairs, ("positive",), column),
            own_candidates(pairs, ("self",), column),
            same(pairs, "text_id", anchor.text_id, mine.text_id) if drop_same_text else None,
            None if never is None else listed(pairs, never, anchor.text_id, mine.text_id),
            same(pairs, "group_id", anchor.group_id) if drop_same_group else None,
        ),
        rescaled=harder.rescaled,
        rescaling=harder.rescaling,
        temperature=temperature,
        margin=margin,
        margin_strategy=margin_strategy,
        chunk_size=chunk_size,
        guide_dims=guide_dims,
    )
