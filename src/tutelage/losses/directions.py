"""Which texts compete: the kinds of candidates of a row, and whose own they are."""

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Int
from torch import Tensor

from tutelage.losses.masks import Embedded, IdIndex, MarginStrategy
from tutelage.losses.rules import Listed, Match

Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
PartitionMode = Literal["joint", "per_direction"]
HardnessMode = Literal["in_batch_negatives", "hard_negatives", "all_negatives"]
Own = Literal["positive", "negative", "self"]


class Pairing(NamedTuple):
    """One kind of candidate, and what a row's own candidates of that kind are to it.

    Its positive is never dropped (AP, PA), its negatives are candidates like others (AN), itself is none (AA, PP, PN).
    """

    direction: Direction
    row: Embedded
    other: Embedded
    owner: Int[Tensor, " others"]  # position of the candidate's own positive among the positives
    own: Own


def pairings(
    anchor: Embedded,
    positive: Embedded,
    negative: Embedded | None,
    anchors: Embedded,
    mine: Embedded,
    negative_row: Int[Tensor, " negatives"] | None,
    directions: Collection[str],
    *,
    negatives_among_documents: bool,
) -> list[Pairing]:
    """The candidates of these directions, AP first.

    Args:
        anchor: the rows.
        positive: positives of all rows.
        negative: negatives of all rows.
        anchors: anchors of all rows.
        mine: the rows' own positives.
        negative_row: each negative's positive.
        directions: which kinds are wanted.
        negatives_among_documents: whether doc_to_doc holds negatives too (PN), or positives only (PP).
    """
    each = torch.arange(len(positive.vectors), device=positive.vectors.device)
    found = [Pairing("query_to_doc", anchor, positive, each, "positive")]
    if negative is not None and negative_row is not None:
        found.append(Pairing("query_to_doc", anchor, negative, negative_row, "negative"))
    if "query_to_query" in directions:
        found.append(Pairing("query_to_query", anchor, anchors, each, "self"))
    if "doc_to_query" in directions:
        found.append(Pairing("doc_to_query", mine, anchors, each, "positive"))
    if "doc_to_doc" in directions:
        found.append(Pairing("doc_to_doc", mine, positive, each, "self"))
        if negative is not None and negative_row is not None and negatives_among_documents:
            found.append(Pairing("doc_to_doc", mine, negative, negative_row, "self"))
    return found


def own_candidates(
    pairs: Sequence[Pairing],
    kinds: Collection[str],
    positive_column: Int[Tensor, " rows"],
    directions: Collection[str] = get_args(Direction),
) -> Match | None:
    """A row's own candidates of these kinds and directions; None where there are none."""
    index = IdIndex.of(
        pair.owner if pair.own in kinds and pair.direction in directions else len(pair.owner) for pair in pairs
    )
    return None if index is None else Match(index, (positive_column,))


def same(
    pairs: Sequence[Pairing], name: Literal["text_id", "group_id"], *row_ids: Int[Tensor, " rows"] | None
) -> Match | None:
    """Candidates that share one of a row's ids, which all must be known; a kind without ids shares none."""
    known = [getattr(pair.other, name) for pair in pairs]
    index = IdIndex.of(len(pair.owner) if ids is None else ids for ids, pair in zip(known, pairs, strict=True))
    ids = tuple(each for each in row_ids if each is not None)
    return Match(index, ids) if index is not None and len(ids) == len(row_ids) else None


def listed(
    pairs: Sequence[Pairing], never: Int[Tensor, "pairs 2"], *row_ids: Int[Tensor, " rows"] | None
) -> Listed | None:
    """Candidates whose text stands beside one of a row's texts in ``never``; the order within a pair is nothing."""
    match = same(pairs, "text_id", *row_ids)
    if match is None or not len(never):
        return None
    known, order = torch.cat([never[:, 0], never[:, 1]]).sort()
    return Listed(*match, IdIndex(known, torch.cat([never[:, 1], never[:, 0]])[order]))


class Hardness(NamedTuple):
    """Factors of logits that no gradient sees."""

    factors: list[float]  # of every candidate of a pairing
    rescaled: Match | None  # candidates that have another factor on top,
    rescaling: float  # this one


# A row's own negatives differ from the others of query_to_doc: raised alone, or spared. Its positive is never raised.
EXCEPTIONS: dict[HardnessMode, tuple[Own, ...]] = {
    "hard_negatives": ("negative",),
    "in_batch_negatives": ("negative",),
    "all_negatives": (),
}


def hardness(
    pairs: Sequence[Pairing], mode: HardnessMode | None, factor: float, positive_column: Int[Tensor, " rows"]
) -> Hardness:
    """Whose logits are multiplied by ``factor``: sim / T + strength x sim = sim / T x (1 + T x strength)."""
    if mode is None:
        return Hardness([1.0] * len(pairs), None, 1.0)
    exceptions = own_candidates(pairs, EXCEPTIONS[mode], positive_column, ("query_to_doc",))
    if mode == "hard_negatives":
        return Hardness([1.0] * len(pairs), exceptions, factor)
    return Hardness([factor if pair.direction == "query_to_doc" else 1.0 for pair in pairs], exceptions, 1 / factor)


def chosen(directions: Sequence[str] | None, contrast_anchors: bool, contrast_positives: bool) -> list[str]:
    """The directions that are given, or else those that GISTEmbed's two switches mean."""
    if directions is not None:
        return list(directions)
    return ["query_to_doc"] + ["query_to_query"] * contrast_anchors + ["doc_to_doc"] * contrast_positives


def refuse(
    directions: Collection[str],
    partition_mode: str,
    hardness_mode: str | None,
    strength: float,
    temperature: float,
    margin_strategy: str,
) -> None:
    """Raise for a choice that cannot be.

    Raises:
        ValueError: an unknown name, no query_to_doc, a direction without a positive in a softmax of its own, a
            negative strength, a temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it divides similarities and must be above 0.")
    if unknown := set(directions) - set(get_args(Direction)):
        raise ValueError(f"directions: unknown '{min(unknown)}'. Options: {', '.join(get_args(Direction))}.")
    if "query_to_doc" not in directions:
        raise ValueError("directions: 'query_to_doc' is missing; it holds the positive. Add it.")
    if partition_mode not in get_args(PartitionMode):
        raise ValueError(f"partition_mode is '{partition_mode}'. Options: {', '.join(get_args(PartitionMode))}.")
    if partition_mode == "per_direction" and (alone := set(directions) & {"query_to_query", "doc_to_doc"}):
        raise ValueError(f"partition_mode 'per_direction': '{min(alone)}' holds no positive. Use 'joint', or drop it.")
    if hardness_mode not in (None, *get_args(HardnessMode)):
        raise ValueError(f"hardness_mode is '{hardness_mode}'. Options: {', '.join(get_args(HardnessMode))}.")
    if margin_strategy not in get_args(MarginStrategy):
        raise ValueError(f"margin_strategy is '{margin_strategy}'. Options: {', '.join(get_args(MarginStrategy))}.")
    if not 0 <= strength < float("inf"):
        raise ValueError(f"hardness_strength is {strength}; wanted 0 or more.")
