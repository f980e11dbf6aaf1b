"""From labels to concepts: each concept stands where its best label stands."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from tutelage.serve.contract import ConceptHit, Hit, Searched

LABELS_EACH = 4  # fetched for each concept at first


def nearest_concepts(
    index: Searched,
    vectors: Float[np.ndarray, "queries dim"],
    k: int,
    *,
    languages: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> list[list[ConceptHit]]:
    """The k nearest concepts of each query, by their best labels; labels are fetched until k concepts came out."""
    found: list[list[ConceptHit]] = [[] for _ in vectors]
    left, wanted = list(range(len(vectors))), LABELS_EACH * k
    while left:
        rows = index.search(vectors[left], wanted, languages=languages, groups=groups)
        for query, hits in zip(left, rows, strict=True):
            found[query] = roll_up(hits)[:k]
        # A row shorter than asked for is all that there is.
        left = [q for q, hits in zip(left, rows, strict=True) if len(found[q]) < k and len(hits) == wanted]
        wanted *= 4
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
