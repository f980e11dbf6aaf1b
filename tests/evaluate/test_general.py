"""What a general set's score is, when its change is a fall, and what is said then."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

from tutelage.evaluate.general import (
    GeneralEvaluator,
    GeneralResult,
    evaluate_general,
    fell,
    retained,
    spearman,
    warnings_of,
)
from tutelage.evaluate.retrieval import evaluate_retrieval
from tutelage.evaluate.significance import paired_differences
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.scored import ScoredPairs


def scored(noise: float, seed: int = 0, rows: int = 200) -> GeneralResult:
    random = np.random.default_rng(7)
    gold = random.integers(0, 6, rows).astype(float)
    values = gold + random.normal(0, 1, rows) + noise * np.random.default_rng(seed).normal(0, 1, rows)
    return GeneralResult("sts", "spearman", values, gold, [str(row) for row in range(rows)])


def queries(values: list[float], cluster: list[str] | None = None) -> GeneralResult:
    return GeneralResult("qa", "map", np.array(values), None, cluster or [str(row) for row in range(len(values))])


@pytest.mark.parametrize("seed", range(4))
def test_spearman_is_scipys_with_ties_along_the_last_axis(seed: int) -> None:
    one, other = np.random.default_rng(seed).integers(0, 5, (2, 3, 25)).astype(float)
    want = [spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(spearman(one, other), want, atol=1e-12)


def test_spearman_of_a_constant_is_nothing() -> None:
    assert float(spearman(np.ones(4), np.arange(4.0))) == 0


def test_scored_pairs_give_the_spearman_of_sentence_transformers(tiny: SentenceTransformer) -> None:
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abcde "), 10)) + "x" for _ in range(60)]
    pairs = ScoredPairs("sts", texts[:30], texts[30:], random.integers(0, 6, 30).astype(float).tolist())
    stock = EmbeddingSimilarityEvaluator(pairs.left, pairs.right, pairs.scores, main_similarity="cosine")
    assert evaluate_general(tiny, pairs).score == pytest.approx(stock(tiny)["spearman_cosine"], abs=1e-6)
    stock.name = "sts"
    evaluator = GeneralEvaluator(pairs)
    assert evaluator(tiny) == {"sts_spearman_cosine": evaluate_general(tiny, pairs).score}
    assert evaluator.primary_metric in stock(tiny)


def test_a_retrieval_set_gives_its_map_and_keeps_its_clusters(tiny: SentenceTransformer) -> None:
    texts = {f"c{i}": text for i, text in enumerate(["abc", "bcd", "cde", "xyz"])}
    relevance = {"q1": frozenset({"c2"}), "q2": frozenset({"c3"})}
    retrieval = RetrievalSet("qa", {"q1": "ab", "q2": "xz"}, texts, relevance, cluster={"q1": "p", "q2": "p"})
    found = evaluate_general(tiny, retrieval)
    assert (found.metric, found.cluster) == ("map", ["p", "p"])
    assert found.score == evaluate_retrieval(tiny, retrieval).means["map"]
    assert GeneralEvaluator(retrieval)(tiny) == {"qa_cosine_map": found.score}


def test_a_fall_beyond_its_interval_warns_and_a_rise_does_not() -> None:
    good, bad = scored(0), scored(2)
    down, up = retained(good, bad), retained(bad, good)
    assert down.low <= down.after - down.before <= down.high < 0
    assert down.warn
    assert up.low > 0
    assert not up.warn


def test_noise_is_no_fall() -> None:
    other = scored(0.02, seed=1)
    change = retained(scored(0), replace(other, values=other.values))
    assert change.low < 0 < change.high
    assert not change.warn


def test_the_interval_resamples_rows_as_a_plain_loop_does() -> None:
    before, after = scored(0, rows=40), scored(1, rows=40)
    random = np.random.default_rng(3)
    drawn = []
    for _ in range(2000):
        rows = random.integers(0, 40, 40)
        gold = before.gold[rows]
        drawn.append(spearmanr(after.values[rows], gold).statistic - spearmanr(before.values[rows], gold).statistic)
    change = retained(before, after)
    assert (change.low, change.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.02)


def test_queries_of_one_passage_are_resampled_together() -> None:
    values = np.random.default_rng(0).uniform(size=40).tolist()
    before, after = (queries(v, [f"p{i // 4}" for i in range(40)]) for v in ([0.5] * 40, values))
    change = retained(before, after)
    want = paired_differences({"m": before.values}, {"m": after.values}, before.cluster, draws=2000)["m"]
    assert (change.low, change.high, change.after) == (want.low, want.high, after.score)


def test_no_change_at_all_is_an_interval_of_zero_width() -> None:
    for same in (scored(0), queries([0.1, 0.9])):
        change = retained(same, same)
        assert (change.low, change.high, change.warn) == (0, 0, False)


def test_one_passage_alone_tells_nothing_of_the_spread_so_nothing_is_warned_of() -> None:
    change = retained(queries([1.0, 0.5], ["p", "p"]), queries([0.5, 0.5], ["p", "p"]))
    assert (change.before, change.after) == (0.75, 0.5)
    assert (change.low, change.high, change.warn) == (None, None, False)


def test_what_fell_is_said_in_one_line_each() -> None:
    rows = {
        "stsb-tr:dev": {"metric": "spearman", "before": 0.8, "after": 0.7, "low": -0.12, "high": -0.08, "warn": True},
        "tquad:dev": {"metric": "map", "before": 0.8, "after": 0.79, "low": -0.02, "high": 0.01, "warn": False},
    }
    assert warnings_of(rows) == [
        "forgotten: stsb-tr:dev fell from 0.8000 to 0.7000 (spearman; 95 % interval of the change -0.1200 -0.0800)"
    ]


def test_any_set_that_fell_counts() -> None:
    good, bad, other = scored(0), scored(2), queries([0.1, 0.9])
    assert fell([other, good], [other, bad])
    assert not fell([other, bad], [other, good])
