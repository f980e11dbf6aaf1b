"""Pairs of texts that mean the same: from a taxonomy's labels, or from any table with two text columns."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from random import Random

from datasets import Dataset

from tutelage.errors import DataError
from tutelage.records.concepts import Label
from tutelage.records.tables import text_columns

# Columns that say what a row belongs to; every other column of a training row is text.
CONCEPT, GROUP = "concept", "group"
IDENTITY_COLUMNS = (CONCEPT, GROUP)
# A concept with n labels has n(n-1)/2 pairs: 64 is every pair of a concept with 11 labels or fewer (83 % of ESCO's).
MAX_PAIRS = 64


def concept_pairs(labels: Iterable[Label], *, max_pairs: int = MAX_PAIRS, seed: int = 0) -> Dataset:
    """Up to ``max_pairs`` distinct unordered label pairs of each concept, each in a random order.

    Labels of several languages under one concept pair across languages too. Equal texts never pair.

    Returns:
        Columns ``anchor``, ``positive``, ``concept``, ``group``; rows stand by concept.

    >>> labels = [Label("nurse", "c1", "2221", "en"), Label("RN", "c1", "2221", "en")]
    >>> concept_pairs(labels).num_rows
    1
    """
    random = Random(seed)
    by_concept: dict[str, list[Label]] = {}
    for label in labels:
        by_concept.setdefault(label.concept, []).append(label)
    rows = []
    for concept, members in by_concept.items():
        pairs = list(combinations({member.text: member for member in members}.values(), 2))
        for pair in random.sample(pairs, min(max_pairs, len(pairs))):
            anchor, positive = random.sample(pair, 2)
            rows.append((anchor.text, positive.text, concept, anchor.group))
    columns = zip(*rows, strict=True) if rows else ([], [], [], [])
    return Dataset.from_dict(dict(zip(("anchor", "positive", CONCEPT, GROUP), map(list, columns), strict=True)))


def read_pairs(source: str | Path, columns: Sequence[str] = ("anchor", "positive"), *, lower: bool = False) -> Dataset:
    """Pairs or triplets from JSONL, CSV, TSV, Parquet or a hub dataset (``owner/name#split``).

    Args:
        source: the file or the hub name.
        columns: the text columns in the order anchor, positive, then any negatives; they are renamed so.
        lower: lower-case every text.

    Raises:
        DataError: fewer than two columns, a missing column, an empty text, an unreadable row, no row at all.

    Example::

        read_pairs("support.csv", columns=("question", "answer", "near_miss"))
    """
    names = column_names(len(columns))
    rows = list(text_columns(source, columns, lower=lower))
    if not rows:
        raise DataError(f"{source}: no rows. At least one is wanted.")
    return Dataset.from_dict({name: [row[i] for row in rows] for i, name in enumerate(names)})


def column_names(count: int) -> list[str]:
    """The names of a row's text columns: anchor, positive, then negative, or negative_1, negative_2 ...

    Raises:
        DataError: fewer than two columns.
    """
    if count < 2:
        raise DataError(f"columns: {count} given; an anchor and a positive at least are wanted.")
    negatives = ["negative"] if count == 3 else [f"negative_{k}" for k in range(1, count - 1)]
    return ["anchor", "positive", *negatives]
