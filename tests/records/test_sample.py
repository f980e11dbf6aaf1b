"""The sample inside the package keeps what its readers count on."""

import csv
import json
import unicodedata
from collections import Counter

import pytest

from tutelage.records.data_folder import SAMPLE
from tutelage.records.esco import COLUMNS, read_esco
from tutelage.records.pairs import read_pairs
from tutelage.records.splits import comparable

LANGUAGES = ("en", "de", "es", "tr")
TELECOM = SAMPLE / "telecom_tr.jsonl"


def concepts(language):
    return read_esco(SAMPLE / f"{language}.csv", language)


def as_written(language):
    """Every label before any reader has touched it."""
    with (SAMPLE / f"{language}.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield from [row["preferredLabel"], *row["altLabels"].split("\n")]


def clean(text):
    return text and text == text.strip() and unicodedata.is_normalized("NFC", text)


def test_four_languages_are_shipped():
    assert {path.stem for path in SAMPLE.glob("*.csv")} == set(LANGUAGES)


@pytest.mark.parametrize(("language", "least"), [("en", 5), ("de", 2), ("es", 2), ("tr", 2)])
def test_every_occupation_has_names_enough(language, least):
    counts = [len(concept.labels) for concept in concepts(language)]
    assert len(counts) == 305
    assert min(counts) >= least


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages_share_concepts_groups_and_codes(language):
    places = [[(c.uri, c.group, c.code) for c in concepts(name)] for name in ("en", language)]
    assert places[0] == places[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_groups_are_isco_unit_groups(language):
    assert all(c.group.isdigit() and len(c.group) == 4 and c.code.startswith(f"{c.group}.") for c in concepts(language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_stands_under_one_concept(language):
    owners = Counter(name for c in concepts(language) for name in {comparable(label) for label in c.labels})
    assert [name for name, count in owners.items() if count > 1] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_are_distinct_within_a_concept(language):
    for concept in concepts(language):
        assert len({comparable(label) for label in concept.labels}) == 1 + len(concept.alternatives)


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_are_nfc_and_stripped_in_the_file_itself(language):
    assert [text for text in as_written(language) if not clean(text)] == []


def test_english_names_have_descriptions():
    assert all(concept.description for concept in concepts("en"))


def test_columns_are_those_of_esco():
    for language in LANGUAGES:
        header = (SAMPLE / f"{language}.csv").read_text(encoding="utf-8").partition("\n")[0].split(",")
        assert set(COLUMNS) <= set(header)


def test_telecom_triplets_are_distinct():
    triplets = [tuple(row.values()) for row in read_pairs(TELECOM, ("query", "positive", "negative"))]
    assert len(triplets) == len(set(triplets)) == 150
    assert all(len(set(map(comparable, triplet))) == 3 for triplet in triplets)
    assert len({comparable(query) for query, _, _ in triplets}) == 150


def test_telecom_texts_are_nfc_and_stripped_in_the_file_itself():
    rows = [json.loads(line) for line in TELECOM.read_text(encoding="utf-8").splitlines()]
    assert [text for row in rows for text in row.values() if not clean(text)] == []
