"""Accepted pairs on their way into the training data: each joins the concept that its anchor stands under."""

from collections.abc import Iterable, Mapping

from datasets import Dataset, concatenate_datasets

from tutelage.records.pairs import CONCEPT, GROUP, IDENTITY_COLUMNS
from tutelage.records.splits import comparable
from tutelage.records.verdicts import POSITIVE, Verdict

OWN = "verdicts"  # the source of accepted pairs that belong to no other
PAIR = ("anchor", "positive")
Row = dict[str, str]


def join_accepted(sources: Mapping[str, Dataset], verdicts: Iterable[Verdict], hidden: set[str]) -> dict[str, Dataset]:
    """The sources with every accepted pair that touches no hidden text, and that is not among their rows already.

    A pair joins the first source of pairs that holds its anchor, else its candidate, under that text's concept: the
    concept has gained a label, and the concept sampler weighs it as one. A pair of which no source knows a text makes
    up a source of its own, ``verdicts``, with its anchor for a concept.

    Args:
        sources: name -> rows with ``anchor`` and ``positive``; those with negatives are left as they are.
        verdicts: read from the recipe's files.
        hidden: what a model is judged on, `comparable`.
    """
    homes = {name: rows for name, rows in sources.items() if {*rows.column_names} - {*IDENTITY_COLUMNS} == {*PAIR}}
    known = {name: _rows_by_text(rows) for name, rows in homes.items()}
    held = {frozenset(pair) for rows in homes.values() for pair in zip(*(rows[side] for side in PAIR), strict=True)}
    joined: dict[str, list[Row]] = {}
    for verdict in verdicts:
        pair = frozenset(verdict[:2])
        if verdict.verdict != POSITIVE or pair in held or any(comparable(text) in hidden for text in pair):
            continue
        held.add(pair)
        places = [(name, by[text]) for text in verdict[:2] for name, by in known.items() if text in by]
        home, identity = OWN, {CONCEPT: verdict.anchor, GROUP: ""}
        if places:
            home, row = places[0]
            identity = {name: value for name, value in homes[home][row].items() if name in IDENTITY_COLUMNS}
        joined.setdefault(home, []).append({"anchor": verdict.anchor, "positive": verdict.candidate, **identity})
    result = dict(sources)
    for home, rows in joined.items():
        added = Dataset.from_list(rows)
        if home in homes:
            added = concatenate_datasets([homes[home], added.cast(homes[home].features)])
        result[home] = added
    return result


def _rows_by_text(rows: Dataset) -> dict[str, int]:
    """The first row in which each text stands."""
    first: dict[str, int] = {}
    for side in PAIR:
        for number, text in enumerate(rows[side]):
            first.setdefault(text, number)
    return first
