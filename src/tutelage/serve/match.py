"""What texts mean: the nearest concepts, and whether the first is to be believed."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from tutelage.records.texts import canonical, canonical_texts
from tutelage.serve.calibration import THRESHOLD, Calibration
from tutelage.serve.contract import ConceptHit, Index, Match
from tutelage.serve.engine import Engine
from tutelage.serve.places import pair
from tutelage.serve.rollup import nearest_concepts

LEAST_CONCEPTS = 2  # looked at for each text: confidence asks how far the second lies behind


class Matcher:
    """An engine and an index that belong together.

    Without a calibration in the index (too few labels to learn it from) a confidence is the score itself, no less
    than 0; ``calibrated`` tells.

    Example::

        matcher = Matcher(load_engine("runs/demo/model"), open_index("esco"))
        matcher.match(["senior java dev"], k=3)[0].concepts[0].label

    Raises:
        CacheMismatch: the index was built with another model.
    """

    def __init__(self, engine: Engine, index: Index, threshold: float = THRESHOLD) -> None:
        held = pair(engine, index)
        self.engine, self.index, self.threshold = engine, index, threshold
        learned = held.notes.get("calibration")
        self._calibration = Calibration(**learned) if learned else None

    @property
    def calibrated(self) -> bool:
        """Whether confidences are chances."""
        return self._calibration is not None

    def match(
        self,
        texts: Sequence[str],
        k: int = 3,
        languages: Sequence[str] = (),
        groups: Sequence[str] = (),
        *,
        threshold: float | None = None,
    ) -> list[Match]:
        """What each text means, in order; equal texts are looked up once, an empty one means nothing.

        Args:
            texts: any number; vectors and candidates of all of them are held at once.
            k: concepts of each.
            languages: of the labels to find; none: all.
            groups: prefixes of the groups to find; none: all.
            threshold: of this call.
        """
        once = canonical_texts(texts)
        vectors = dict(zip(once, self.engine.encode(once), strict=True))
        return self.judge(texts, vectors, k, languages, groups, threshold=threshold)

    def judge(
        self,
        texts: Sequence[str],
        vectors: Mapping[str, Float[np.ndarray, " dim"]],
        k: int = 3,
        languages: Sequence[str] = (),
        groups: Sequence[str] = (),
        *,
        threshold: float | None = None,
    ) -> list[Match]:
        """As `match`, where the vectors of `tutelage.records.texts.canonical_texts` are had already."""
        found = self._found(vectors, k, languages, groups)
        least = self.threshold if threshold is None else threshold
        return [self._judged(text, *found.get(canonical(text), ([], 0.0)), k, least) for text in texts]

    def _found(
        self, vectors: Mapping[str, Float[np.ndarray, " dim"]], k: int, languages: Sequence[str], groups: Sequence[str]
    ) -> dict[str, tuple[list[ConceptHit], float]]:
        """Of each text its nearest concepts, and how much the first is to be believed."""
        if not vectors:
            return {}
        stacked = np.stack([*vectors.values()])
        rows = nearest_concepts(self.index, stacked, max(k, LEAST_CONCEPTS), languages=languages, groups=groups)
        # A filter by group hides the concepts that the curve compares the first one with.
        wider = (
            nearest_concepts(self.index, stacked, LEAST_CONCEPTS, languages=languages)
            if groups and self.calibrated
            else rows
        )
        judged = zip(vectors, rows, wider, strict=True)
        return {text: (concepts, self._confidence(concepts, among)) for text, concepts, among in judged}

    def _judged(self, text: str, concepts: list[ConceptHit], confidence: float, k: int, threshold: float) -> Match:
        return Match(text, bool(concepts) and confidence >= threshold, confidence, concepts[:k])

    def _confidence(self, concepts: list[ConceptHit], among: list[ConceptHit]) -> float:
        if not concepts:
            return 0.0
        return self._calibration.confidence(concepts, among) if self._calibration else max(concepts[0].score, 0.0)
