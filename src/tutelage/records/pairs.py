"""Pairs of texts that mean the same: from a taxonomy's labels, or from any table with two text columns."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from random import Random

from datasets import Dataset

from tutelage.errors import DataError
from tutelage.records.concepts import Label
from tutelage.records.tables import text_columns

# Columns that say what a row belongs to; every other column of a training row is text.
CONCEPT, GROUP, LANGUAGE = "concept", "group", "language"
IDENTITY_COLUMNS = (CONCEPT, GROUP, LANGUAGE)
# A concept with n labels has n(n-1)/2 pairs: 64 is every pair of a concept with 11 labels or fewer (83 % of ESCO's).
MAX_PAIRS = 64


def concept_pairs(
    labels: Iterable[Label], *, max_pairs: int = MAX_PAIRS, seed: int = 0, across: bool = False
) -> Dataset:
    """Up to ``max_pairs`` distinct unordered label pairs of each concept, each in a random order.

    Labels of several languages under one concept pair within and across languages; with ``across``, only across.
    Equal texts never pair.

    Returns:
        Columns ``anchor``, ``positive``, ``concept``, ``group``, ``language`` ("en", or "en-de" where the positive is
        of another one); rows stand by concept.

    >>> labels = [Label("nurse", "c1", "2221", "en"), Label("RN", "c1", "2221", "en")]
    >>> concept_pairs(labels).num_rows, concept_pairs(labels, across=True).num_rows
    (1, 0)
    """
    random = Random(seed)
    by_concept: dict[str, list[Label]] = {}
    for label in labels:
        by_concept.setdefault(label.concept, []).append(label)
    rows = []
    for concept, members in by_concept.items():
        pairs = _possible(members, across)
        for pair in random.sample(pairs, min(max_pairs, len(pairs))):
            anchor, positive = random.sample(pair, 2)
            languages = dict.fromkeys((anchor.language, positive.language))
            rows.append((anchor.text, positive.text, concept, anchor.group, "-".join(languages)))
    return _table(rows)


def _possible(members: Sequence[Label], across: bool) -> list[tuple[Label, Label]]:
    """Every unordered pair of distinct texts once, ``across``: of those in two languages."""
    found: dict[frozenset[str], tuple[Label, Label]] = {}
    for one, other in combinations(members, 2):
        if one.text != other.text and not (across and one.language == other.language):
            found.setdefault(frozenset((one.text, other.text)), (one, other))
    return list(found.values())


def described_pairs(
    labels: Iterable[Label], descriptions: Mapping[tuple[str, str], str], *, max_pairs: int = MAX_PAIRS, seed: int = 0
) -> Dataset:
    """Labels, each with its concept's description in its own language; up to ``max_pairs`` of a concept and language.

    Returns:
        Columns as of `concept_pairs`: the label is the anchor, the description the positive.
    """
    random = Random(seed)
    by_concept: dict[tuple[str, str], list[Label]] = {}
    for label in labels:
        by_concept.setdefault((label.concept, label.language), []).append(label)
    rows = [
        (label.text, descriptions[key], label.concept, label.group, label.language)
        for key, members in by_concept.items()
        if key in descriptions
        for label in random.sample(members, min(max_pairs, len(members)))
    ]
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> Dataset:
    names = ("anchor", "positive", *IDENTITY_COLUMNS)
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return Dataset.from_dict(dict(zip(names, map(list, columns), strict=True)))


def language_of(row: str, column: str) -> str:
    """The language of one text of a row, as far as the row's ``language`` tells it.

    >>> language_of("en", "negative"), language_of("en-de", "positive"), language_of("en-de", "negative")
    ('en', 'de', '')
    """
    anchor, _, positive = row.partition("-")
    return {"anchor": anchor, "positive": positive}.get(column, "") if positive else anchor


def read_pairs(source: str | Path, columns: Sequence[str] = ("anchor", "positive"), *, lower: bool = False) -> Dataset:
    """Pairs or triplets from JSONL, CSV, TSV, Parquet or a hub dataset (``owner/name#split``).

    Columns ``concept``, ``group`` and ``language`` are kept for what they are, not as text. One that is empty in every
    row is left out; where only some rows name no concept, each of these stands under its anchor.

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
    identity = [name for name in IDENTITY_COLUMNS if name not in columns]
    rows = list(text_columns(source, columns, identity, lower=lower))
    if not rows:
        raise DataError(f"{source}: no rows. At least one is wanted.")
    table = dict(zip([*names, *identity], map(list, zip(*rows, strict=True)), strict=True))
    table = {name: values for name, values in table.items() if name in names or any(values)}
    if CONCEPT in table:
        table[CONCEPT] = [concept or row[0] for concept, row in zip(table[CONCEPT], rows, strict=True)]
    return Dataset.from_dict(table)


def column_names(count: int) -> list[str]:
    """The names of a row's text columns: anchor, positive, then negative, or negative_1, negative_2 ...

    Raises:
        DataError: fewer than two columns.
    """
    if count < 2:
        raise DataError(f"columns: {count} given; an anchor and a positive at least are wanted.")
    negatives = ["negative"] if count == 3 else [f"negative_{k}" for k in range(1, count - 1)]
    return ["anchor", "positive", *negatives]
