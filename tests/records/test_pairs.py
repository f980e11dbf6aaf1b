"""Pairs drawn from labels, and pairs read from files."""

import json
from collections import Counter
from itertools import combinations
from math import comb
from random import Random

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import DataError
from tutelage.records.concepts import Label
from tutelage.records.pairs import IDENTITY_COLUMNS, MAX_PAIRS, column_names, concept_pairs, read_pairs

sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 7))  # concept -> its labels
seeds = st.integers(0, 99)
# Few texts, so that languages and concepts share some.
multilingual = st.lists(
    st.builds(
        lambda text, concept, language: Label(text, concept, concept.upper(), language),
        *map(st.sampled_from, ("uvwxyz", "ab", ("en", "de", "es"))),
    ),
    max_size=14,
    unique=True,
)


def labelled(sizes):
    return [Label(f"{concept}{i}", concept, concept.upper(), "en") for concept, n in sizes.items() for i in range(n)]


def unordered(pairs):
    return [frozenset(pair) for pair in zip(pairs["anchor"], pairs["positive"], strict=True)]


@settings(deadline=None)
@given(sizes, st.integers(1, 25), seeds)
def test_a_concept_gives_all_its_pairs_or_as_many_as_asked(sizes, max_pairs, seed):
    drawn = Counter(concept_pairs(labelled(sizes), max_pairs=max_pairs, seed=seed)["concept"])
    assert drawn == {concept: min(max_pairs, comb(n, 2)) for concept, n in sizes.items() if n > 1}


@settings(deadline=None)
@given(sizes, st.integers(1, 25), seeds)
def test_pairs_are_distinct_and_of_one_concept(sizes, max_pairs, seed):
    pairs = concept_pairs(labelled(sizes), max_pairs=max_pairs, seed=seed)
    assert len(set(unordered(pairs))) == pairs.num_rows
    for row in pairs:
        assert row["anchor"] != row["positive"]
        assert row["anchor"][0] == row["positive"][0] == row["concept"]
        assert row["group"] == row["concept"].upper()


def test_eleven_labels_give_every_pair_by_default():
    assert comb(11, 2) <= MAX_PAIRS < comb(12, 2)
    assert concept_pairs(labelled({"a": 11})).num_rows == 55


def test_the_seed_decides():
    draws = [concept_pairs(labelled({"a": 9}), max_pairs=5, seed=seed).to_dict() for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


def test_either_label_may_be_the_anchor():
    anchors = {concept_pairs(labelled({"a": 2}), seed=seed)["anchor"][0] for seed in range(20)}
    assert anchors == {"a0", "a1"}


def test_languages_pair_with_each_other():
    labels = [Label("nurse", "c", "2221", "en"), Label("hemşire", "c", "2221", "tr")]
    assert unordered(concept_pairs(labels)) == [{"nurse", "hemşire"}]


def test_a_text_that_two_languages_share_pairs_once_with_each_other_text():
    labels = [Label(text, "c", "8322", language) for text, language in [("taxi", "en"), ("cab", "en"), ("taxi", "de")]]
    assert unordered(concept_pairs(labels)) == [{"taxi", "cab"}]


def test_concepts_with_one_label_give_none():
    pairs = concept_pairs(labelled({"a": 1, "b": 1}))
    assert pairs.num_rows == 0
    assert pairs.column_names == ["anchor", "positive", "concept", "group", "language"]


@settings(deadline=None)
@given(multilingual, st.integers(1, 9), seeds)
def test_draws_are_those_of_earlier_results(labels, max_pairs, seed):
    """Kept figures rest on these draws: of each concept's distinct texts, pairs in their order, one generator."""
    random, want, concepts = Random(seed), [], {}
    for label in labels:
        concepts.setdefault(label.concept, {})[label.text] = None
    for texts in concepts.values():
        pairs = list(combinations(texts, 2))
        want += [tuple(random.sample(pair, 2)) for pair in random.sample(pairs, min(max_pairs, len(pairs)))]
    pairs = concept_pairs(labels, max_pairs=max_pairs, seed=seed)
    assert list(zip(pairs["anchor"], pairs["positive"], strict=True)) == want


@settings(deadline=None)
@given(multilingual, st.integers(1, 9), seeds)
def test_across_languages_every_pair_is_of_two_and_as_many_as_there_are_or_as_asked(labels, max_pairs, seed):
    pairs = concept_pairs(labels, max_pairs=max_pairs, seed=seed, across=True)
    possible = {
        (one.concept, frozenset((one.text, other.text)))
        for one, other in combinations(labels, 2)
        if one.concept == other.concept and one.text != other.text and one.language != other.language
    }
    drawn = list(zip(pairs["concept"], unordered(pairs), strict=True))
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= possible
    most = Counter(concept for concept, _ in possible)
    assert Counter(pairs["concept"]) == {concept: min(max_pairs, count) for concept, count in most.items()}
    for row in pairs:
        anchor, positive = row["language"].split("-")
        for text, language in ((row["anchor"], anchor), (row["positive"], positive)):
            assert Label(text, row["concept"], row["group"], language) in labels


def test_a_row_tells_its_language_or_both_the_anchors_first():
    labels = [
        Label(text, "c", "2221", language) for text, language in (("nurse", "en"), ("RN", "en"), ("Pfleger", "de"))
    ]
    languages = {label.text: label.language for label in labels}
    rows = list(concept_pairs(labels))
    assert len(rows) == 3
    for row in rows:
        named = dict.fromkeys(languages[row[side]] for side in ("anchor", "positive"))
        assert row["language"] == "-".join(named)
    assert {row["language"] for row in rows} & {"en-de", "de-en"}


@pytest.mark.parametrize(
    ("count", "want"),
    [
        (2, ["anchor", "positive"]),
        (3, ["anchor", "positive", "negative"]),
        (5, ["anchor", "positive", "negative_1", "negative_2", "negative_3"]),
    ],
)
def test_columns_are_named_by_their_place(count, want):
    assert column_names(count) == want


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_columns_are_refused(count):
    with pytest.raises(DataError) as fault:
        column_names(count)
    assert str(fault.value) == f"columns: {count} given; an anchor and a positive at least are wanted."


def test_triplets_are_read_by_column_name(tmp_path):
    path = tmp_path / "support.csv"
    path.write_text("topic,wrong,question,answer\nbilling,Yes.,Why so high?,A fee.\n")
    assert list(read_pairs(path, ("question", "answer", "wrong"))) == [
        {"anchor": "Why so high?", "positive": "A fee.", "negative": "Yes."}
    ]


IDENTIFIED = [
    {"anchor": "nurse", "positive": "RN", "concept": "c1", "group": 2221, "language": "en"},
    {"anchor": "cook", "positive": "chef", "concept": "c2", "group": None, "language": " en "},
]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_what_a_row_belongs_to_comes_back_from_a_file(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(IDENTIFIED), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in IDENTIFIED))
    else:
        cells = [[str(cell or "") for cell in row.values()] for row in IDENTIFIED]
        path.write_text("\n".join(map(",".join, [list(IDENTIFIED[0]), *cells])))
    assert list(read_pairs(path)) == [
        {"anchor": "nurse", "positive": "RN", "concept": "c1", "group": "2221", "language": "en"},
        {"anchor": "cook", "positive": "chef", "concept": "c2", "group": "", "language": "en"},
    ]


def test_a_row_that_names_no_concept_stands_under_its_anchor_and_an_empty_column_for_nothing(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"anchor": "a", "positive": "b", "concept": "c1", "group": ""}\n{"anchor": "x", "positive": "y"}\n'
    )
    assert list(read_pairs(path)) == [
        {"anchor": "a", "positive": "b", "concept": "c1"},
        {"anchor": "x", "positive": "y", "concept": "x"},
    ]


@pytest.mark.parametrize("name", IDENTITY_COLUMNS)
def test_a_column_that_is_asked_for_is_text_whatever_its_name(tmp_path, name):
    path = tmp_path / "t.csv"
    path.write_text(f"{name},label\nnurse,RN\n")
    assert list(read_pairs(path, (name, "label"))) == [{"anchor": "nurse", "positive": "RN"}]


def test_lower_case_reaches_every_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("anchor,positive\nRN,Nurse\n")
    assert list(read_pairs(path, lower=True)) == [{"anchor": "rn", "positive": "nurse"}]


@pytest.mark.parametrize(("name", "content"), [("t.csv", "anchor,positive\n"), ("t.jsonl", "\n")])
def test_a_table_without_rows_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError) as fault:
        read_pairs(path)
    assert str(fault.value) == f"{path}: no rows. At least one is wanted."
