"""Exact search: the nearest labels of each query, by cosine similarity."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import distinct_rows, encode
from tutelage.records.concepts import Label


class Hit(NamedTuple):
    """A label and its cosine similarity to the query."""

    label: Label
    score: float


@dataclass(frozen=True)
class LabelIndex:
    """Labels with their unit vectors, held in memory.

    Example::

        index = LabelIndex.build(model, labels("esco:en", data_folder()))
        index.search(model, ["senior java dev"], k=5)[0]
    """

    labels: Sequence[Label]
    vectors: Float[np.ndarray, "labels dim"]

    @cached_property
    def _distinct(self) -> tuple[np.ndarray, np.ndarray]:
        first, again = distinct_rows(self.vectors)
        return self.vectors[first], again

    @classmethod
    def build(cls, model: SentenceTransformer, labels: Sequence[Label], *, progress: bool = True) -> "LabelIndex":
        """Embed the labels; equal texts of one concept stand once."""
        labels = list({(label.text, label.concept): label for label in labels}.values())
        return cls(labels, encode(model, [label.text for label in labels], progress="corpus" if progress else None))

    def search(self, model: SentenceTransformer, queries: Sequence[str], k: int = 5) -> list[list[Hit]]:
        """The k labels nearest to each query, best first; equal scores stand in the order of the labels."""
        vectors, rows = self._distinct
        scores = (encode(model, queries) @ vectors.T)[:, rows]
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [
            [Hit(self.labels[column], float(row[column])) for column in columns]
            for row, columns in zip(scores, best.tolist(), strict=True)
        ]
