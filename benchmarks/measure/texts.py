"""Texts of every benchmark: English ESCO's labels and descriptions, or the sample's where no data is at hand.

Rows whose two texts differ in case, accents or punctuation alone are left out: an uncased tokenizer may see one text
there, and sentence-transformers then lets the row compete with itself, which would be another loss.
"""

import unicodedata
from collections.abc import Iterable
from itertools import islice

import numpy as np
from datasets import Dataset

from tutelage.records.concepts import Concept
from tutelage.records.data_folder import data_folder
from tutelage.records.pairs import concept_pairs
from tutelage.records.sources import pairs
from tutelage.records.taxonomy import concepts, labels
from tutelage.sampling import ConceptBatches

Row = dict[str, str]


def source() -> str:
    """The name of the labels at hand."""
    return "sample:en" if data_folder() is None else "esco:en"


def every_text(*, descriptions: bool = False) -> list[str]:
    """All labels, and all descriptions where wished: what a whole training run would touch."""
    found = [label.text for label in labels(source(), data_folder())]
    return found + [each.description for each in _described()] * descriptions


def training_pairs(most: int) -> tuple[str, Dataset]:
    """The name and up to ``most`` pairs, in random order, of TalentCLEF's English training set, or of the sample."""
    folder = data_folder()
    name = "sample:en" if folder is None else "talentclef:en"
    found = concept_pairs(labels(name)) if folder is None else pairs(name, folder)
    found = _distinct_rows(found).select_columns(["anchor", "positive"])
    return name, found.shuffle(seed=0).select(range(min(most, len(found))))


def label_batches(rows: int, count: int) -> list[list[Row]]:
    """``count`` batches of label pairs, in each of which no concept and no text stands twice."""
    return _batches(_distinct_rows(concept_pairs(labels(source(), data_folder()), max_pairs=4)), rows, count)


def description_batches(rows: int, count: int) -> list[list[Row]]:
    """``count`` batches of (preferred label, description), in each of which no concept stands twice."""
    found = [(each.preferred, each.description, each.uri) for each in _described()]
    columns = dict(zip(("anchor", "positive", "concept"), map(list, zip(*found, strict=True)), strict=True))
    return _batches(Dataset.from_dict(columns), rows, count)


def triplets(rows: int) -> list[Row]:
    """One batch of (preferred label, its description, another occupation's description), every text once."""
    order = np.random.default_rng(0).permutation(np.array(_described(), dtype=object))
    if len(order) < 2 * rows:
        raise SystemExit(f"{source()}: {len(order)} descriptions make no batch of {rows} triplets. Give fewer rows.")
    columns = (
        [each.preferred for each in order[:rows]],
        [each.description for each in order[:rows]],
        [each.description for each in order[rows : 2 * rows]],
    )
    return [dict(zip(("anchor", "positive", "negative"), texts, strict=True)) for texts in zip(*columns, strict=True)]


def _described() -> list[Concept]:
    first = {each.description: each for each in concepts(source(), data_folder()) if each.description}
    return list({each.preferred: each for each in first.values()}.values())


def _batches(found: Dataset, rows: int, count: int) -> list[list[Row]]:
    sampler = ConceptBatches(found, batch_size=rows, drop_last=True)
    if not len(sampler):
        raise SystemExit(f"{source()}: {len(set(found['concept']))} concepts make no batch of {rows}. Give fewer rows.")
    texts = found.select_columns(["anchor", "positive"])
    return [texts.select(each).to_list() for each in islice(_over_epochs(sampler), count)]


def _over_epochs(sampler: ConceptBatches) -> Iterable[list[int]]:
    epoch = 0
    while True:
        sampler.set_epoch(epoch)
        yield from sampler
        epoch += 1


def _distinct_rows(found: Dataset) -> Dataset:
    both = zip(found["anchor"], found["positive"], strict=True)
    return found.select([row for row, (one, other) in enumerate(both) if _letters(one) != _letters(other)])


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text.casefold())))
