"""What index, matcher, server and page hand each other: entries, hits, matches, and the five methods of an index.

Every kind of index (exact files, FAISS, Qdrant) answers the same questions in the same order; one test suite asks them
all. Vectors are unit float32, so a score is a cosine similarity.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

UNKNOWN = "Unknown"  # the concept of a text whose best match is not believed


class Entry(NamedTuple):
    """One label in an index.

    ``concept`` is its concept's URI, ``code`` its code, ``preferred`` that concept's preferred label in the label's own
    language, ``group`` the coarser class (ISCO unit group, 4 digits). Entries of one text, concept and language are
    one.
    """

    text: str
    concept: str
    code: str
    preferred: str
    group: str
    language: str


class Hit(NamedTuple):
    """An entry and its cosine similarity to the query."""

    entry: Entry
    score: float


class ConceptHit(NamedTuple):
    """A concept, found by the best of its labels: ``matched`` is that label, ``score`` its similarity."""

    concept: str
    code: str
    label: str
    group: str
    matched: Entry
    score: float


class Match(NamedTuple):
    """What a text means: concepts best first, and how much the first is to be believed.

    ``confidence`` is the chance, calibrated on held-out concepts, that the first is right; below a threshold
    ``known`` is false and the answer is `UNKNOWN`, with the concepts as suggestions.
    """

    text: str
    known: bool
    confidence: float
    concepts: list[ConceptHit]


class Stats(NamedTuple):
    """An index in figures. ``version`` names the state that a search sees; ``fingerprint`` the model of its vectors.

    ``notes`` are its builder's own, plain JSON: the model's name under ``model``, the figures of
    `tutelage.serve.calibration.Calibration` under ``calibration``.
    """

    kind: str
    version: str
    fingerprint: str
    dim: int
    entries: int
    concepts: int
    languages: Mapping[str, int]
    notes: Mapping[str, Any] = MappingProxyType({})


@runtime_checkable
class Searched(Protocol):
    """What finds labels: an index, or one state of it."""

    def search(
        self,
        vectors: Float[np.ndarray, "queries dim"],
        k: int,
        *,
        languages: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> list[list[Hit]]:
        """The k nearest entries of each query, best first, of these languages and ISCO groups (prefixes; none: all).

        Equal scores stand in the order of language, then text, then concept.
        """
        ...


@runtime_checkable
class Index(Searched, Protocol):
    """Five methods. An upsert or delete that has returned survives a crash; a search sees one version, whole."""

    def build(
        self,
        entries: Sequence[Entry],
        vectors: Float[np.ndarray, "entries dim"],
        fingerprint: str,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace everything by these entries."""
        ...

    def upsert(self, entries: Sequence[Entry], vectors: Float[np.ndarray, "entries dim"]) -> None:
        """Add entries; one of the same text, concept and language is replaced."""
        ...

    def delete(self, concepts: Sequence[str]) -> int:
        """Remove all entries of these concepts; how many entries there were."""
        ...

    def stats(self) -> Stats:
        """The index in figures."""
        ...
