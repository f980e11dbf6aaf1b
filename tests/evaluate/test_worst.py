"""The worst queries come first, with their right entries' ranks and what stood before them."""

import numpy as np
import pytest

from tutelage.errors import ConfigError
from tutelage.evaluate.retrieval import RetrievalResult
from tutelage.evaluate.worst import GOLD_SHOWN, worst_queries
from tutelage.records.retrieval import RetrievalSet

SET = RetrievalSet(
    "mine",
    queries={"q1": "nurse", "q2": "cook", "q3": "clerk", "unasked": "nobody"},
    corpus={"a": "RN", "b": "chef", "c": "secretary", "d": "pilot"},
    relevance={"q1": frozenset({"a", "d"}), "q2": frozenset({"b"}), "q3": frozenset({"c"})},
)
ASKED = ["q1", "q2", "q3"]
TOP = [[("b", 0.9), ("a", 0.8)], [("c", 0.7), ("d", 0.6)], [("c", 0.5), ("b", 0.4)]]


def result(values: list[float], top: list[list[tuple[str, float]]] | None = None, queries: list[str] = ASKED):
    return RetrievalResult("mine", queries, queries, {"map": np.array(values, dtype=float)}, top=top or [])


def test_the_lowest_come_first_and_of_equals_the_one_that_fell_most():
    rows = worst_queries(result([0.9, 0.2, 0.3]), result([0.25, 0.25, 0.1], TOP), SET, "map")
    assert [(row["query"], row["before"], row["after"]) for row in rows] == [
        ("q3", 0.3, 0.1),
        ("q1", 0.9, 0.25),
        ("q2", 0.2, 0.25),
    ]


def test_gold_holds_ranks_and_predicted_says_what_is_right():
    (row,) = worst_queries(result([1, 1, 1]), result([0, 0.5, 1], TOP), SET, "map", count=1)
    assert row == {
        "query": "q1",
        "text": "nurse",
        "metric": "map",
        "before": 1.0,
        "after": 0.0,
        "gold": [{"id": "a", "text": "RN", "rank": 2}, {"id": "d", "text": "pilot", "rank": None}],
        "relevant": 2,
        "predicted": [
            {"id": "b", "text": "chef", "score": 0.9, "right": False},
            {"id": "a", "text": "RN", "score": 0.8, "right": True},
        ],
    }


def test_many_right_entries_are_cut_but_counted_and_the_found_one_is_kept():
    corpus = {f"c{number:03}": f"title {number}" for number in range(GOLD_SHOWN + 30)}
    many = RetrievalSet("mine", {"q": "any"}, corpus, {"q": frozenset(corpus)})
    after = result([0.5], [[("c045", 0.9)]], ["q"])
    (row,) = worst_queries(result([0.5], queries=["q"]), after, many, "map")
    assert len(row["gold"]) == GOLD_SHOWN
    assert row["relevant"] == GOLD_SHOWN + 30
    assert row["gold"][0] == {"id": "c045", "text": "title 45", "rank": 1}


def test_without_first_entries_there_is_nothing_to_show():
    assert worst_queries(result([0, 0, 0]), result([0, 0, 0]), SET, "map") == []


def test_a_metric_that_was_not_measured_is_named():
    with pytest.raises(ConfigError, match=r"worst queries: metric 'mrr' was not measured\. Measured: map\."):
        worst_queries(result([0, 0, 0]), result([0, 0, 0], TOP), SET, "mrr")


def test_results_of_different_queries_are_refused():
    other = result([0, 0], TOP[:2], ["q1", "q2"])
    with pytest.raises(ConfigError, match=r"worst queries of mine: before and after hold different queries"):
        worst_queries(result([0, 0, 0]), other, SET, "map")
