"""Splits by concept: nothing that a model is judged on was learned from."""

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import DataError
from tutelage.records.concepts import Label
from tutelage.records.splits import comparable, is_held_out, refuse_leak, split_by_concept, split_rows

# Few concepts and few texts that differ in case, accents and blanks only, so that most lists hold a leak.
texts = st.sampled_from(["RN", "rn", " rn", "r  n", "r n", "Straße", "STRASSE", "é", "e\u0301", "É", "İ", "welder"])
labels = st.lists(st.builds(Label, texts, st.sampled_from([f"c{i}" for i in range(8)]), st.just(""), st.just("en")))
seeds = st.integers(0, 30)


def folded(side):
    return {comparable(label.text) for label in side}


@given(labels, seeds)
def test_no_text_stands_on_both_sides_after_case_folding(labels, seed):
    train, held_out = split_by_concept(labels, 0.5, seed)
    assert not folded(train) & folded(held_out)
    assert not {label.concept for label in train} & {label.concept for label in held_out}


@given(labels, seeds)
def test_only_shared_texts_are_lost(labels, seed):
    train, held_out = split_by_concept(labels, 0.5, seed)
    assert held_out == [label for label in labels if is_held_out(label.concept, 0.5, seed)]
    assert folded(label for label in labels if label not in train) <= folded(held_out)


@given(labels, seeds, st.randoms())
def test_order_changes_nothing(labels, seed, random):
    shuffled = random.sample(labels, len(labels))
    for side, again in zip(split_by_concept(labels, 0.5, seed), split_by_concept(shuffled, 0.5, seed), strict=True):
        assert sorted(side) == sorted(again)


def test_a_text_of_a_held_out_concept_leaves_training():
    assert is_held_out("c1", 0.5)
    assert not is_held_out("c2", 0.5)
    labels = [Label("Nurse", "c2", "", "en"), Label("carer", "c2", "", "en"), Label("nurse", "c1", "", "en")]
    assert split_by_concept(labels, 0.5) == ([labels[1]], [labels[2]])


def test_rows_of_a_held_out_concept_leave_and_so_do_rows_with_its_texts():
    assert is_held_out("c1", 0.5)
    rows = Dataset.from_dict(
        {
            "anchor": ["Nurse", "carer", "cook", "chef", "welder", "fitter"],
            "positive": ["RN", "rn", "chef", "kitchen chef", "arc welder", "pipe fitter"],
            "negative": ["cook", "x", "NURSE ", "y", "z", "Secret"],
            "concept": ["c1", *["c2"] * 5],
        }
    )
    kept, held_out = split_rows(rows, ("anchor", "positive", "negative"), {"secret"}, 0.5)
    assert held_out == {"nurse", "rn"}
    assert kept["anchor"] == ["chef", "welder"]
    assert split_rows(rows, ("anchor", "positive", "negative"), set(), 0.0)[0].to_dict() == rows.to_dict()


def test_every_language_of_a_concept_falls_on_one_side():
    labels = [Label(f"{language}{i}", f"c{i}", "", language) for i in range(50) for language in ("en", "de")]
    _, held_out = split_by_concept(labels, 0.3)
    assert held_out
    assert {x.concept for x in held_out if x.language == "en"} == {x.concept for x in held_out if x.language == "de"}


def test_who_is_held_out_is_the_same_on_every_machine():
    assert [i for i in range(60) if is_held_out(f"c{i}")] == [33, 36, 40]
    assert [i for i in range(60) if is_held_out(f"c{i}", seed=1)] == [10, 12, 33, 36, 46, 48]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.9])
def test_the_share_is_met(share):
    count = sum(is_held_out(f"c{i}", share) for i in range(10_000))
    assert abs(count / 10_000 - share) <= 4 * (share * (1 - share) / 10_000) ** 0.5


@given(st.text(max_size=8), seeds, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_all_that_a_smaller_one_does(concept, seed, one, other):
    assert is_held_out(concept, min(one, other), seed) <= is_held_out(concept, max(one, other), seed)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Data  Engineer ", "data engineer"), ("STRASSE", "Straße"), ("E\u0301leveuse", "éleveuse"), ("a\tb", "A\u00a0b")],
)
def test_what_differs_in_case_blanks_or_spelling_is_one_text(one, other):
    assert one != other
    assert comparable(one) == comparable(other)


@pytest.mark.parametrize(("one", "other"), [("RN", "R N"), ("resume", "résumé")])
def test_other_texts_stay_apart(one, other):
    assert comparable(one) != comparable(other)


@pytest.mark.parametrize(
    ("train", "held_out", "message"),
    [
        (["Nurse", "a"], ["nurse ", "b"], "1 text stands in training and held-out data (first: 'nurse')"),
        (["D", "a", "A", "c", "b"], list("abcd"), "4 texts stand in training and held-out data (first: 'a', 'b', 'c')"),
    ],
)
def test_a_leak_is_refused_with_its_texts(train, held_out, message):
    with pytest.raises(DataError) as fault:
        refuse_leak(train, held_out)
    assert str(fault.value).startswith(f"the split leaks: {message}. ")


def test_what_does_not_leak_passes():
    refuse_leak(["nurse"], ["welder"])
    refuse_leak([], ["welder"])
