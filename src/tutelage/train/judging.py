"""Pairs as a person judges them: with texts, concepts and languages, in a Parquet file whose last column is empty."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from tutelage.guide.seen_pairs import Pair
from tutelage.records.pairs import CONCEPT, LANGUAGE, language_of
from tutelage.records.texts import text_ids
from tutelage.train.build import text_columns

COLUMNS = pa.schema(
    [
        ("anchor", pa.string()),
        ("candidate", pa.string()),
        ("guide_score", pa.float32()),
        ("ceiling", pa.float32()),
        ("encoder_score", pa.float32()),
        ("times", pa.int64()),
        ("same_concept", pa.bool_()),
        ("concept_anchor", pa.string()),
        ("concept_candidate", pa.string()),
        ("language_anchor", pa.string()),
        ("language_candidate", pa.string()),
        ("verdict", pa.string()),
    ]
)


class Known:
    """Texts by id, with every concept and language that they stand under in the training data."""

    def __init__(self, wanted: set[int]) -> None:
        self.wanted = wanted
        self.text: dict[int, str] = {}
        self.concepts: dict[int, set[str]] = {each: set() for each in wanted}
        self.languages: dict[int, set[str]] = {each: set() for each in wanted}

    def read(self, rows: Dataset) -> None:
        """Note the wanted texts of some rows."""
        named = [rows[name] if name in rows.column_names else [""] * len(rows) for name in (CONCEPT, LANGUAGE)]
        for place, column in enumerate(text_columns(rows)):
            texts = rows[column]
            for each, text, concept, language in zip(text_ids(texts).tolist(), texts, *named, strict=True):
                if each in self.wanted:
                    self.text[each] = text
                    self.concepts[each] |= {concept} - {""} if place < 2 else set()  # a negative is of another one
                    self.languages[each] |= {language_of(language, column)} - {""}

    def row(self, pair: Pair) -> dict[str, Any]:
        """One pair, by the names of `COLUMNS`."""
        sides = pair.anchor, pair.candidate
        texts = [self.text[each] for each in sides]
        concepts, languages = ([known[each] for each in sides] for known in (self.concepts, self.languages))
        scores = (round(score, 4) for score in (pair.guide_score, pair.ceiling, pair.encoder_score))
        named = [" ".join(sorted(names)) for names in (*concepts, *languages)]
        values = [*texts, *scores, pair.times, bool(concepts[0] & concepts[1]), *named, ""]
        return dict(zip(COLUMNS.names, values, strict=True))


def described(pairs: Mapping[str, Sequence[Pair]], data: Sequence[Dataset]) -> dict[str, list[dict[str, Any]]]:
    """Each list of pairs as rows.

    Args:
        pairs: the lists.
        data: where their texts stand.
    """
    known = Known({each for found in pairs.values() for pair in found for each in pair[:2]})
    for rows in data:
        known.read(rows)
    return {kind: [known.row(pair) for pair in found] for kind, found in pairs.items()}


def write_pairs(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows as Parquet."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema=COLUMNS), path)
