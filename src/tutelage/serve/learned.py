"""What a model learned from: its training pairs, the nearest to a query first. Evidence beside a match."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tutelage.serve.engine import Engine
from tutelage.serve.nearest import nearest


class LearnedPair(NamedTuple):
    """A training pair; ``score`` is the query's cosine similarity to ``anchor``."""

    anchor: str
    positive: str
    score: float


class Learned:
    """Training pairs by their anchors; a pair counts both ways, since the loss pulls both sides together.

    Example::

        learned = Learned(engine, [("nurse", "RN"), ("coder", "software developer")])
        learned.nearest(engine.encode(["programmer"]), k=1)[0][0].positive
    """

    def __init__(self, engine: Engine, pairs: Iterable[tuple[str, str]], progress: str | None = None):
        partners: dict[str, dict[str, None]] = {}  # in order, each once
        for one, other in pairs:
            partners.setdefault(one, {})[other] = None
            partners.setdefault(other, {})[one] = None
        self._anchors = list(partners)
        self._partners = [list(each) for each in partners.values()]
        self._vectors = engine.encode(self._anchors, progress=progress)

    def __len__(self) -> int:
        """How many distinct texts there are."""
        return len(self._anchors)

    def nearest(self, vectors: Float[np.ndarray, "queries dim"], k: int) -> list[list[LearnedPair]]:
        """Of each query the k nearest anchors, best first, each with the first of its partners not shown yet."""
        scores, rows = nearest(vectors, self._vectors, k, [slice(0, len(self))])
        return [self._pairs(*each) for each in zip(rows.tolist(), scores.tolist(), strict=True)]

    def _pairs(self, rows: list[int], scores: list[float]) -> list[LearnedPair]:
        found: list[LearnedPair] = []
        shown: set[frozenset[str]] = set()
        for row, score in zip(rows, scores, strict=True):
            anchor = self._anchors[row]
            new = [other for other in self._partners[row] if frozenset((anchor, other)) not in shown]
            if new:
                shown.add(frozenset((anchor, new[0])))
                found.append(LearnedPair(anchor, new[0], score))
        return found
