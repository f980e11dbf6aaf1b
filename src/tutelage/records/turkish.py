"""Turkish sets, to judge by and to learn from: TQuAD (question -> passage), CNLI-TR (premise, what follows, what does
not), and STSb-TR's scored pairs, which `read_scored` reads."""

from pathlib import Path

from datasets import Dataset

from tutelage.errors import DataError
from tutelage.records.pairs import column_names
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.scored import ScoredPairs
from tutelage.records.splits import comparable
from tutelage.records.tables import Row, read_rows
from tutelage.records.texts import canonical
from tutelage.records.triplets import TripletSet

# Of STSb's 0 to 5: 4 is "mostly equivalent, some unimportant details differ" in its annotators' guide, 3 no longer is.
ALIKE = 4.0


def read_tquad(home: str | Path, split: str, name: str = "") -> RetrievalSet:
    """Each question of ``{split}.tsv``, its passage among all of ``contexts.tsv.gz`` (the other split's too).

    Questions on one passage rise and fall together: the passage is their cluster.

    Raises:
        DataError: a file or a column is missing, or a question's passage is.
    """
    home = Path(home)
    passages = {row["c_id"]: canonical(row["context"]) for row in _rows(home / "contexts.tsv.gz", "c_id", "context")}
    questions = _rows(home / f"{split}.tsv", "q_id", "question", "c_id")
    return RetrievalSet(
        name or f"tquad:{split}",
        queries={row["q_id"]: canonical(row["question"]) for row in questions},
        corpus=passages,
        relevance={row["q_id"]: frozenset({row["c_id"]}) for row in questions},
        cluster={row["q_id"]: row["c_id"] for row in questions},
    )


def read_cnli(path: str | Path, name: str = "") -> TripletSet:
    """For each premise every hypothesis that follows (label 1) with every one that does not (label 0).

    Premises with one kind only make no triplet.

    Raises:
        DataError: the file or a column is missing, a label is neither 1 nor 0, or no premise has both kinds.
    """
    hypotheses: dict[str, dict[str, list[str]]] = {}
    for row in _rows(Path(path), "premise", "hypothesis", "gold_label"):
        kinds = hypotheses.setdefault(canonical(row["premise"]), {"1": [], "0": []})
        if row["gold_label"] not in kinds:
            raise DataError(f"{path}: gold_label '{row['gold_label']}'. Wanted 1 (follows) or 0 (does not).")
        kinds[row["gold_label"]].append(canonical(row["hypothesis"]))
    triplets = [
        (premise, follows, not_so)
        for premise, kinds in hypotheses.items()
        for follows in kinds["1"]
        for not_so in kinds["0"]
    ]
    if not triplets:
        raise DataError(f"{path}: no premise has a hypothesis of either label, so there is no triplet.")
    return TripletSet(name or "cnli-tr", *map(list, zip(*triplets, strict=True)))


def training_rows(found: TripletSet | RetrievalSet | ScoredPairs) -> Dataset:
    """A split as rows to learn from, each once.

    Triplets are rows as they are; of a retrieval set each query makes one with each of its right entries; of scored
    pairs those make one that score 4 of 5 or more. A row that holds one text twice is left out: a pair of it teaches
    nothing, and in 28 triplets of CNLI-TR the same hypothesis follows and does not.

    Raises:
        DataError: no row is left.

    >>> training_rows(ScoredPairs("", ["a", "b"], ["A b", "c"], [4.2, 1.0]))[:]
    {'anchor': ['a'], 'positive': ['A b']}
    """
    rows: list[tuple[str, ...]]
    if isinstance(found, TripletSet):
        rows = list(zip(found.anchors, found.positives, found.negatives, strict=True))
    elif isinstance(found, RetrievalSet):
        rows = [(found.queries[q], found.corpus[c]) for q, right in found.relevance.items() for c in sorted(right)]
    else:
        scored = zip(found.left, found.right, found.scores, strict=True)
        rows = [(one, other) for one, other, score in scored if score >= ALIKE]
    rows = [row for row in rows if len({comparable(text) for text in row}) == len(row)]
    if not rows:
        raise DataError(
            f"{found.name}: no row of different texts to learn from. (Scored pairs count from {ALIKE:g} of 5 on.)"
        )
    columns = zip(*dict.fromkeys(rows), strict=True)
    return Dataset.from_dict(dict(zip(column_names(len(rows[0])), map(list, columns), strict=True)))


def _rows(path: Path, *columns: str) -> list[Row]:
    where, rows = read_rows(path)
    found = []
    for number, row in rows:
        if missing := [column for column in columns if column not in row]:
            raise DataError(f"{where} row {number}: no column '{missing[0]}'. Columns: {', '.join(row)}.")
        found.append(row)
    return found
