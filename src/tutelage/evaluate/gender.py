"""Whether the masculine and the feminine form of a title find the same: rank-biased overlap of their rankings."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import encode
from tutelage.evaluate.retrieval import refuse_nan
from tutelage.records.gender import GenderedTitles

PERSISTENCE = 0.9  # the first ten ranks weigh 86 %
ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class GenderResult:
    """Rank-biased overlap for each title that has both forms."""

    name: str
    cluster: list[str]
    overlap: Float[np.ndarray, " titles"]

    @property
    def mean(self) -> float:
        """Over the titles; 1 is a model that does not tell the forms apart."""
        return float(self.overlap.mean())


def rank_biased_overlap(
    one: Integer[np.ndarray, "pairs entries"], other: Integer[np.ndarray, "pairs entries"], p: float = PERSISTENCE
) -> Float[np.ndarray, " pairs"]:
    """RBO = (1 - p) Σ_d p^(d-1) |first d of one ∩ first d of other| / d over all depths d (Webber et al. 2010, eq. 4).

    Both rank the same n entries, so from depth n on the agreement is 1 for certain and the rest of the sum is pⁿ:
    the value is exact, neither cut off nor extrapolated. An entry is in both from its worse rank on.

    Args:
        one: the rank (from 1) of each entry in the first ranking of each pair.
        other: the same in the second ranking.
        p: how likely a reader goes on to the next rank.

    >>> rank_biased_overlap(np.array([[1, 2]]), np.array([[2, 1]]))  # (1 - .9) (0 + .9) + .81
    array([0.9])
    """
    depth = np.arange(1, one.shape[1] + 1)
    weight = (1 - p) * p ** (depth - 1.0) / depth
    from_depth_on = np.cumsum(weight[::-1])[::-1]
    return from_depth_on[np.maximum(one, other) - 1].sum(1) + p ** one.shape[1]


def ranks(scores: Float[np.ndarray, "queries entries"]) -> Integer[np.ndarray, "queries entries"]:
    """The rank (from 1) of each entry by descending score; equal scores stand in corpus order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(1, scores.shape[1] + 1)[None, :], axis=1)
    return rank


def evaluate_gender(model: SentenceTransformer, titles: GenderedTitles, *, progress: bool = True) -> GenderResult:
    """Rank the whole corpus for both forms of each title and compare the rankings.

    Example::

        evaluate_gender(model, gendered("esco-gender:de", data_folder())).mean
    """
    texts = list(dict.fromkeys([form for forms in titles.forms for form in forms] + titles.corpus))
    vectors = encode(model, texts, progress=titles.name if progress else None)
    refuse_nan(vectors, texts, titles.name)
    place = {text: row for row, text in enumerate(texts)}
    corpus = vectors[[place[text] for text in titles.corpus]]
    one, other = (vectors[[place[forms[side]] for forms in titles.forms]] for side in (0, 1))
    overlap = []
    for start in range(0, len(one), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        overlap.append(rank_biased_overlap(ranks(one[rows] @ corpus.T), ranks(other[rows] @ corpus.T)))
    return GenderResult(titles.name, titles.concepts, np.concatenate(overlap))
