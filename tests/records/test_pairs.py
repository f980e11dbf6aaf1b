"""Pairs drawn from labels, and pairs read from files."""

from collections import Counter
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import DataError
from tutelage.records.concepts import Label
from tutelage.records.pairs import MAX_PAIRS, column_names, concept_pairs, read_pairs

sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 7))  # concept -> its labels
seeds = st.integers(0, 99)


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
    assert pairs.column_names == ["anchor", "positive", "concept", "group"]


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
