"""Splits by concept: what a model is judged on shares no concept and no label text with what it learned from."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import chain

from datasets import Dataset

from tutelage.errors import DataError
from tutelage.records.concepts import Label
from tutelage.records.pairs import CONCEPT
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.scored import ScoredPairs
from tutelage.records.texts import canonical
from tutelage.records.triplets import TripletSet

HELD_OUT_SHARE = 0.1


def is_held_out(concept: str, share: float = HELD_OUT_SHARE, seed: int = 0) -> bool:
    """Whether a concept is held out: decided by its own name, so languages, releases and runs agree.

    The concept's keyed hash, read as a number in [0, 1), lies below ``share``.
    """
    digest = blake2b(concept.encode(), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") / 2**64 < share


def split_by_concept(
    labels: Iterable[Label], share: float = HELD_OUT_SHARE, seed: int = 0
) -> tuple[list[Label], list[Label]]:
    """Labels to train on, labels held out.

    A text that also names a held-out concept leaves the training side, whatever concept it stands under there:
    about one ESCO label in a hundred is shared by several concepts.
    """
    labels = list(labels)
    held_out = [label for label in labels if is_held_out(label.concept, share, seed)]
    secret = {comparable(label.text) for label in held_out}
    train = [
        label
        for label in labels
        if not is_held_out(label.concept, share, seed) and comparable(label.text) not in secret
    ]
    refuse_leak((label.text for label in train), (label.text for label in held_out))
    return train, held_out


def split_rows(
    pairs: Dataset, columns: Sequence[str], secret: set[str], share: float = HELD_OUT_SHARE, seed: int = 0
) -> tuple[Dataset, set[str]]:
    """Of rows that name their concept those to train on, and the texts of the concepts held out.

    As in `split_by_concept`, a row leaves too if one of its texts stands under a held-out concept elsewhere.

    Args:
        pairs: with a column ``concept``.
        columns: those that hold text: anchor, positive, then any negatives.
        secret: other texts that may not be trained on, `comparable`.
        share: of the concepts that is held out.
        seed: of the split.
    """
    anchors_and_positives = zip(pairs[CONCEPT], *(pairs[name] for name in columns[:2]), strict=True)
    held_out = {
        comparable(text)
        for concept, *texts in anchors_and_positives
        if is_held_out(concept, share, seed)
        for text in texts
    }
    return rows_without(pairs, columns, secret | held_out), held_out


def rows_without(pairs: Dataset, columns: Sequence[str], secret: set[str]) -> Dataset:
    """The rows that hold none of these texts, `comparable`, in any of the columns."""
    texts = zip(*(pairs[name] for name in columns), strict=True)
    return pairs.select([number for number, row in enumerate(texts) if secret.isdisjoint(map(comparable, row))])


def comparable(text: str) -> str:
    """The form in which a leak is looked for: canonical, case folded, inner white space as one blank."""
    return " ".join(canonical(text).casefold().split())


def judged_texts(found: TripletSet | ScoredPairs | RetrievalSet) -> Iterable[str]:
    """What a set asks, and what it calls right, wrong or alike.

    Of a retrieval set's corpus these are the right entries; the others only fill it, and may be anybody's.
    """
    if isinstance(found, TripletSet):
        return chain(found.anchors, found.positives, found.negatives)
    if isinstance(found, ScoredPairs):
        return chain(found.left, found.right)
    right = frozenset().union(*found.relevance.values())
    return chain(found.queries.values(), (found.corpus[entry] for entry in right))


def refuse_leak(train: Iterable[str], held_out: Iterable[str]) -> None:
    """Raise when a text stands on both sides.

    Raises:
        DataError: the count of shared texts and the first few of them.
    """
    shared: Sequence[str] = sorted({comparable(t) for t in train} & {comparable(t) for t in held_out})
    if shared:
        shown = ", ".join(f"'{text}'" for text in shared[:3])
        raise DataError(
            f"the split leaks: {len(shared)} {'texts stand' if len(shared) > 1 else 'text stands'} "
            f"in training and held-out data (first: {shown}). Remove them from one side or split by concept."
        )
