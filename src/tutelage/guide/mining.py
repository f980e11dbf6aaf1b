"""Hard negatives: for each query the nearest texts of a corpus that are not right answers, as far as can be told.

The filters and their names are those of sentence-transformers' ``mine_hard_negatives``, on strips of queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tutelage.errors import ConfigError
from tutelage.losses.rules import Listed, Match
from tutelage.losses.screen import products, similarities
from tutelage.losses.tiled import strips

SCORES_AT_ONCE = 16 * 1024 * 1024  # elements of a queries x corpus strip


@dataclass(frozen=True)
class MiningRules:
    """Which candidates a query takes as negatives; q+ is the score of its worst positive.

    Args:
        num_negatives: of each query at most.
        range_min: so many of the nearest that pass the filters are skipped.
        range_max: and no more than so many of them are looked at.
        max_score: nearer candidates are left out.
        min_score: so are farther ones.
        absolute_margin: m; left out above q+ - m.
        relative_margin: m; left out above q+ - |q+| m. 0.05 is the 95 % rule (TopK-PercPos, arXiv:2407.15831).

    Raises:
        ConfigError: no room for the negatives between the two ranges.
    """

    num_negatives: int = 3
    range_min: int = 0
    range_max: int = 100
    max_score: float | None = None
    min_score: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = 0.05

    def __post_init__(self) -> None:
        if self.num_negatives < 1 or self.range_min < 0:
            raise ConfigError(
                f"mining: {self.num_negatives} negatives from rank {self.range_min}; wanted 1 or more, from 0 or later."
            )
        if self.range_max - self.range_min < self.num_negatives:
            raise ConfigError(
                f"mining: {self.range_max - self.range_min} candidates from range_min {self.range_min} to range_max "
                f"{self.range_max} hold no {self.num_negatives} negatives. Widen the range or ask for fewer."
            )

    def refuses(
        self, scores: Float[Tensor, "queries window"], worst_positive: Float[Tensor, " queries"]
    ) -> Bool[Tensor, "queries window"]:
        """Whether a candidate of this score is left out."""
        refused, worst = torch.zeros_like(scores, dtype=torch.bool), worst_positive[:, None]
        if self.absolute_margin is not None:
            refused |= scores + self.absolute_margin > worst
        if self.relative_margin is not None:
            refused |= scores > worst - worst.abs() * self.relative_margin
        if self.max_score is not None:
            refused |= scores > self.max_score
        if self.min_score is not None:
            refused |= scores < self.min_score
        return refused


class Mined(NamedTuple):
    """Triplets as positions, by pair; ``rank`` counts the candidates that could have been negatives, from 1."""

    pair: Int64[Tensor, " triplets"]
    negative: Int64[Tensor, " triplets"]
    positive_score: Float[Tensor, " triplets"]
    negative_score: Float[Tensor, " triplets"]
    rank: Int64[Tensor, " triplets"]


def mine(
    queries: Float[Tensor, "queries dim"],
    corpus: Float[Tensor, "corpus dim"],
    pairs: Int64[Tensor, "pairs 2"],
    rules: MiningRules,
    forbidden: Sequence[Match | Listed] = (),
    guide_dims: Sequence[int] | None = None,
) -> Mined:
    """Triplets of every pair: (query, positive, negative).

    Of a query the ``range_max`` + p nearest are looked at, p being the most positives that any query has, as
    sentence-transformers does. Its positives and what is forbidden are no candidates; what is forbidden takes no place
    among the nearest either.

    Args:
        queries: unit vectors; every query has a pair.
        corpus: unit vectors.
        pairs: (query, position in the corpus) of every positive, each once.
        rules: the filters.
        forbidden: candidates that are never a negative of a query, such as those of its concept.
        guide_dims: widths of slices that are unit vectors each; the largest of their similarities counts.
    """
    query, positive = pairs.T
    positive_score = products(queries, corpus, query, positive, guide_dims)
    worst = positive_score.new_full((len(queries),), torch.inf).scatter_reduce(0, query, positive_score, "amin")
    most = int(query.bincount().max())
    own = query * len(corpus) + positive
    found = []
    for strip in strips(len(queries), max(SCORES_AT_ONCE // len(corpus), 1)):
        scores = similarities(corpus, queries[strip], guide_dims)
        _forbid(scores, strip, own, forbidden)
        window, column = scores.topk(min(rules.range_max + most, len(corpus)), dim=1)
        row = torch.arange(strip.start, strip.stop, device=column.device)[:, None]
        candidate = ~torch.isin(row * len(corpus) + column, own) & window.isfinite()
        rank = candidate.cumsum(1)
        window = window.masked_fill(~candidate | rules.refuses(window, worst[strip]), -torch.inf)
        best, order = window.topk(min(rules.range_max, window.shape[1]), dim=1)
        cut = slice(rules.range_min, rules.range_min + rules.num_negatives)
        best, order = best[:, cut], order[:, cut]
        found.append(torch.stack([column.gather(1, order), rank.gather(1, order)]).where(best.isfinite(), -1))
    negative, rank = torch.cat(found, dim=1)
    pair, place = (negative[query] >= 0).nonzero(as_tuple=True)
    negative, rank = negative[query[pair], place], rank[query[pair], place]
    negative_score = products(queries, corpus, query[pair], negative, guide_dims)
    return Mined(pair, negative, positive_score[pair], negative_score, rank)


def _forbid(
    scores: Float[Tensor, "strip corpus"],
    strip: slice,
    own: Int64[Tensor, " pairs"],
    forbidden: Sequence[Match | Listed],
) -> None:
    """In place: -inf where a candidate is forbidden and not the query's own positive."""
    flat, begin = scores.view(-1), strip.start * scores.shape[1]
    mine = own[(own >= begin) & (own < begin + len(flat))] - begin
    kept = flat[mine]
    for rule in forbidden:
        row, column = rule.find(strip)
        scores[row, column] = -torch.inf
    flat[mine] = kept
