"""A concept and its labels: what ESCO, the sample and every other taxonomy come down to."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from tutelage.records.texts import distinct


@dataclass(frozen=True, slots=True)
class Concept:
    """One meaning in one language: a preferred label, other labels, and its place in the taxonomy.

    ``uri`` is the same in every language; ``group`` is the coarser class (ISCO unit group, 4 digits).
    """

    uri: str
    group: str
    code: str
    language: str
    preferred: str
    alternatives: tuple[str, ...] = ()
    description: str = ""

    @property
    def labels(self) -> list[str]:
        """Distinct labels, the preferred one first."""
        return distinct([self.preferred, *self.alternatives])


class Label(NamedTuple):
    """One label of one concept."""

    text: str
    concept: str
    group: str
    language: str


def with_groups(concepts: Iterable[Concept], others: Iterable[Concept]) -> list[Concept]:
    """The concepts; where one has no group, it is given that of the same concept among the others.

    >>> english, chinese = Concept("c1", "2221", "", "en", "nurse"), Concept("c1", "", "", "zh", "护士")
    >>> with_groups([chinese], [english])[0].group
    '2221'
    """
    groups = {concept.uri: concept.group for concept in others}
    return [concept if concept.group else replace(concept, group=groups.get(concept.uri, "")) for concept in concepts]


def labels_of(concepts: Iterable[Concept]) -> list[Label]:
    """Every label of every concept, in order.

    >>> nurse = Concept("c1", "2221", "2221.1", "en", "nurse", ("registered nurse",))
    >>> [label.text for label in labels_of([nurse])]
    ['nurse', 'registered nurse']
    """
    return [
        Label(text, concept.uri, concept.group, concept.language) for concept in concepts for text in concept.labels
    ]
