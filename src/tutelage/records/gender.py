"""Masculine and feminine forms of one title, from preferred labels that hold both: "Koch/Köchin"."""

from collections.abc import Iterable
from dataclasses import dataclass

from tutelage.errors import DataError
from tutelage.records.concepts import Concept, Label
from tutelage.records.texts import canonical


@dataclass(frozen=True)
class GenderedTitles:
    """Titles in two forms, the concept of each, and the labels that both forms are to rank alike."""

    name: str
    forms: list[tuple[str, str]]
    concepts: list[str]
    corpus: list[str]


def both_forms(label: str) -> tuple[str, str] | None:
    """The two forms of a label that one "/" splits into two whole, different titles of as many words; else None.

    ESCO also writes "vendedor/vendedora de calzado" and "Schichtleiter/in Bergbau", where a form is not whole: it
    would have to be guessed, so such labels are passed over.

    >>> both_forms("técnico en obras/técnica en obras")
    ('técnico en obras', 'técnica en obras')
    >>> both_forms("vendeur/vendeuse en articles de sport") is None
    True
    """
    halves = [canonical(half) for half in label.split("/")]
    if len(halves) != 2 or not all(halves) or halves[0].casefold() == halves[1].casefold():
        return None
    if len(halves[0].split()) != len(halves[1].split()) or any(half.startswith("-") for half in halves):
        return None
    return halves[0], halves[1]


def with_forms_apart(labels: Iterable[Label]) -> list[Label]:
    """The labels; one that joins two whole forms gives way to both.

    >>> [label.text for label in with_forms_apart([Label("Koch/Köchin", "c1", "5120", "de")])]
    ['Koch', 'Köchin']
    """
    return [label._replace(text=form) for label in labels for form in both_forms(label.text) or (label.text,)]


def gendered_titles(name: str, concepts: Iterable[Concept]) -> GenderedTitles:
    """Every concept whose preferred label holds both forms; the corpus is every distinct preferred label.

    The corpus holds both forms in one entry, so a ranking that is blind to gender is possible.

    Raises:
        DataError: no label holds both forms.
    """
    concepts = list(concepts)
    found = [(forms, concept.uri) for concept in concepts if (forms := both_forms(concept.preferred))]
    if not found:
        raise DataError(f"{name}: no preferred label holds two forms joined by '/'. ESCO's de, es and fr do.")
    corpus = list(dict.fromkeys(concept.preferred for concept in concepts))
    return GenderedTitles(name, [forms for forms, _ in found], [uri for _, uri in found], corpus)
