"""Rank-biased overlap worked by hand and by its definition, and titles whose forms find the same or not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import encode
from tutelage.errors import DataError
from tutelage.evaluate.gender import evaluate_gender, rank_biased_overlap, ranks
from tutelage.evaluate.general import evaluate_general
from tutelage.evaluate.triplet import evaluate_triplets
from tutelage.records.gender import GenderedTitles
from tutelage.records.scored import ScoredPairs
from tutelage.records.triplets import TripletSet


def defined(one: list[int], other: list[int], p: float, until: int = 2000) -> float:
    """The sum of the definition, over rankings written as lists of entries, until nothing is left to add."""
    total = 0.0
    for depth in range(1, until):
        both = len(set(one[:depth]) & set(other[:depth])) if depth < len(one) else depth
        total += (1 - p) * p ** (depth - 1) * both / depth
    return total


@pytest.mark.parametrize(
    ("one", "other", "p", "overlap"),
    [
        ([1, 2, 3], [1, 2, 3], 0.9, 1.0),
        ([1, 2], [2, 1], 0.9, 0.9),  # .1 (0/1 + .9 2/2) + .81
        ([1, 2, 3], [3, 2, 1], 0.5, 0.375),  # .5 (0 + .5 1/2 + .25 3/3) + .125
        ([1, 2, 3], [1, 3, 2], 0.5, 0.875),  # .5 (1 + .5 1/2 + .25) + .125
        ([1], [1], 0.9, 1.0),
    ],
)
def test_worked_by_hand(one: list[int], other: list[int], p: float, overlap: float) -> None:
    assert rank_biased_overlap(np.array([one]), np.array([other]), p)[0] == pytest.approx(overlap)


@given(entries=st.integers(1, 40), seed=st.integers(0, 2**32 - 1), p=st.sampled_from([0.5, 0.9, 0.98]))
def test_it_is_the_sum_that_defines_it(entries: int, seed: int, p: float) -> None:
    random = np.random.default_rng(seed)
    orders = [random.permutation(entries) for _ in range(2)]
    one, other = (np.argsort(order)[None] + 1 for order in orders)
    want = defined(*(order.tolist() for order in orders), p)
    found = rank_biased_overlap(one, other, p)[0]
    assert found == pytest.approx(want, abs=1e-9)
    assert found == pytest.approx(rank_biased_overlap(other, one, p)[0])
    assert found <= 1 + 1e-12


def test_a_change_at_the_top_weighs_more_than_one_below() -> None:
    rows = np.array([[2, 1, 3, 4, 5], [1, 2, 3, 5, 4]])
    top, below = rank_biased_overlap(np.tile(np.arange(1, 6), (2, 1)), rows)
    assert top < below < 1


def test_vectors_that_are_not_numbers_are_no_perfect_overlap(tiny: SentenceTransformer) -> None:
    next(tiny.parameters()).data.fill_(float("nan"))
    triplets = TripletSet("t", ["a"], ["b"], ["c"])
    for judge in (
        lambda: evaluate_gender(tiny, GenderedTitles("g", [("koch", "köchin")], ["koch", "arzt"], ["c"])),
        lambda: evaluate_general(tiny, ScoredPairs("s", ["a", "b"], ["c", "d"], [1.0, 2.0])),
        lambda: evaluate_triplets(tiny, triplets),
    ):
        with pytest.raises(DataError, match=r"^[gst]: the vectors of .* are not numbers"):
            judge()


def test_equal_scores_stand_in_corpus_order() -> None:
    assert ranks(np.array([[0.1, 0.9, 0.1, 0.5]])).tolist() == [[3, 1, 4, 2]]


def test_forms_that_are_one_text_overlap_wholly_and_others_as_their_scores_say(tiny: SentenceTransformer) -> None:
    corpus = ["koch", "arzt", "maler", "fahrer", "lehrer", "bauer", "händler"]
    titles = GenderedTitles("t", [("koch", "koch"), ("arzt", "ärztin"), ("maler", "xyz")], ["a", "b", "c"], corpus)
    found = evaluate_gender(tiny, titles)
    assert found.overlap[0] == pytest.approx(1)
    assert found.mean == pytest.approx(found.overlap.mean())
    vectors = {text: encode(tiny, [text])[0] for text in [*corpus, "ärztin", "xyz"]}
    for row, (one, other) in enumerate(titles.forms):
        orders = [sorted(range(7), key=lambda e, q=query: -(vectors[q] @ vectors[corpus[e]])) for query in (one, other)]
        assert found.overlap[row] == pytest.approx(defined(*orders, 0.9), abs=1e-9)
    assert found.overlap[2] < 1, "the rankings do not differ: the comparison would prove nothing"
