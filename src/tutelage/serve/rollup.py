"""From labels to concepts: each concept stands where its best label stands."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from tutelage.serve.contract import ConceptHit, Hit, Searched

LABELS_EACH = 4  # fetched for each concept at first
LABELS_AT_ONCE = 65_536  # held at once, of all queries together


def nearest_concepts(
    index: Searched,
    vectors: Float[np.ndarray, "queries dim"],
    k: int,
    *,
    languages: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> list[list[ConceptHit]]:
    """The k nearest concepts of each query, by their best labels.

    Labels are fetched until k concepts came out: of a concept with hundreds of them many, so of few queries at once.
    """
    found: list[list[ConceptHit]] = [[] for _ in vectors]
    left, wanted = list(range(len(vectors))), LABELS_EACH * k
    while left:
        size, open_still = max(LABELS_AT_ONCE // wanted, 1), []
        for some in (left[start : start + size] for start in range(0, len(left), size)):
            rows = index.search(vectors[some], wanted, languages=languages, groups=groups)
            for query, hits in zip(some, rows, strict=True):
                found[query] = roll_up(hits)[:k]
                if len(found[query]) < k and len(hits) == wanted:  # a shorter row is all that there is
                    open_still.append(query)
        left, wanted = open_still, 4 * wanted
    return found


def roll_up(hits: Iterable[Hit]) -> list[ConceptHit]:
    """The concepts of labels that stand best first, in the order of each one's first label."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.entry.concept, hit)
    return [
        ConceptHit(concept, entry.code, entry.preferred or entry.text, entry.group, entry, score)
        for concept, (entry, score) in best.items()
    ]
