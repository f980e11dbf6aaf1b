"""Intervals and p-values: where they must lie, worked by hand, against SciPy's own, and that they can be had again."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, permutation_test

from tutelage.evaluate.significance import Difference, corrected, holm, paired_differences, sign_flip_test


def paired_difference(before: np.ndarray, after: np.ndarray, cluster: list[str], **options: int) -> Difference:
    return paired_differences({"map": before}, {"map": after}, cluster, **options)["map"]


def random_values(queries: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.random.default_rng(seed).uniform(size=(2, queries))
    return before, after


def names(numbers: np.ndarray | range) -> list[str]:
    return [f"concept {number:03}" for number in numbers]


@settings(deadline=None, max_examples=40)
@given(queries=st.integers(1, 50), clusters=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_the_interval_holds_the_mean_and_every_query_is_counted(queries: int, clusters: int, seed: int) -> None:
    before, after = random_values(queries, seed)
    after = np.where(after < 0.3, before, after)
    cluster = names(np.random.default_rng(seed).integers(0, clusters, queries))
    found = paired_difference(before, after, cluster, draws=500)
    if found.low is not None:
        assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx((after - before).mean())
    assert found.wins + found.ties + found.losses == queries
    assert found.ties == (before == after).sum()
    assert found.wins == (after > before).sum()


def test_no_difference_is_an_interval_of_zero_width_and_all_ties() -> None:
    before, _ = random_values(20)
    assert paired_difference(before, before, names(range(20))) == Difference(
        0.0, 0.0, 0.0, wins=0, ties=20, losses=0, p=1.0
    )


def test_an_equal_gain_everywhere_is_known_exactly() -> None:
    zeros = np.zeros(20)
    assert paired_difference(zeros, zeros + 0.25, names(range(20))) == Difference(
        0.25, 0.25, 0.25, wins=20, ties=0, losses=0, p=2 / 10_001
    )


def test_one_cluster_cannot_be_resampled() -> None:
    before, after = random_values(20)
    found = paired_difference(before, after, ["one"] * 20)
    assert found.low is None
    assert found.high is None
    assert found.p == 1


def test_the_interval_is_wider_where_clusters_rise_and_fall_together() -> None:
    difference = np.repeat(np.random.default_rng(1).normal(size=25), 16)
    zeros = np.zeros(len(difference))
    together = paired_difference(zeros, difference, names(np.repeat(np.arange(25), 16)))
    apart = paired_difference(zeros, difference, names(range(400)))
    assert together.mean == apart.mean
    # The standard error of 25 independent values is four times that of 400.
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(4, rel=0.15)


def test_the_interval_is_that_of_the_normal_distribution_for_many_queries() -> None:
    difference = np.random.default_rng(2).normal(0.1, 1, size=2000)
    found = paired_difference(np.zeros(2000), difference, names(range(2000)))
    half = 1.96 * difference.std() / np.sqrt(2000)
    assert (found.low, found.high) == pytest.approx((difference.mean() - half, difference.mean() + half), abs=0.004)


def test_a_draw_weighs_clusters_by_their_queries() -> None:
    after = np.array([1.0, 0, 0, 0])
    found = paired_difference(np.zeros(4), after, ["a", "b", "b", "b"])
    assert (found.low, found.mean, found.high) == (0, 0.25, 1)


def test_cluster_names_do_not_matter_only_who_shares_them() -> None:
    before, after = random_values(30)
    a = paired_difference(before, after, [str(i // 3) for i in range(30)])
    b = paired_difference(before, after, [f"concept {i // 3:03}" for i in range(30)])
    assert (a.low, a.high) == pytest.approx((b.low, b.high), abs=0.03)


def test_the_seed_decides_the_interval() -> None:
    before, after = random_values(30)
    first, again, other = (paired_difference(before, after, names(range(30)), seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_swapping_the_models_turns_the_difference_round() -> None:
    before, after = random_values(30)
    there, back = (paired_difference(*pair, names(range(30))) for pair in ((before, after), (after, before)))
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low), abs=0.01)
    assert (back.wins, back.losses) == (there.losses, there.wins)


def test_a_difference_goes_into_a_report_as_plain_numbers() -> None:
    before, after = random_values(9)
    found = paired_difference(before, after, names(range(9))).to_dict()
    assert {key: type(number) for key, number in found.items()} == {
        "mean": float, "low": float, "high": float, "wins": int, "ties": int, "losses": int, "p": float,
        "p_holm": type(None),
    }  # fmt: skip


def test_each_metric_of_many_has_the_interval_and_p_value_it_has_alone() -> None:
    before = {metric: random_values(60, seed)[0] for seed, metric in enumerate(["map", "mrr", "ndcg"])}
    after = {metric: random_values(60, seed)[1] for seed, metric in enumerate(["map", "mrr", "ndcg"])}
    cluster = names(np.arange(60) // 3)
    together = paired_differences(before, after, cluster)
    assert list(together) == ["map", "mrr", "ndcg"]
    for metric, found in together.items():
        alone = paired_difference(before[metric], after[metric], cluster)
        assert (found.mean, found.wins, found.losses, found.p) == (alone.mean, alone.wins, alone.losses, alone.p)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_the_interval_is_the_one_of_scipys_own_bootstrap_over_clusters() -> None:
    random = np.random.default_rng(3)
    difference, member = random.normal(size=80), random.permutation(np.arange(80) % 25)
    totals, sizes = np.bincount(member, weights=difference), np.bincount(member)

    def mean(totals: np.ndarray, sizes: np.ndarray, axis: int) -> np.ndarray:
        return totals.sum(axis) / sizes.sum(axis)

    want = bootstrap(
        (totals, sizes), mean, paired=True, n_resamples=10_000, batch=1000, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = paired_difference(np.zeros(80), difference, names(member))
    assert (found.low, found.high) == pytest.approx((want.low, want.high), abs=1e-12)


@pytest.mark.parametrize("clusters", [9, 40])
def test_the_p_value_is_the_one_of_scipys_own_permutation_test_over_clusters(clusters: int) -> None:
    totals = np.random.default_rng(4).normal(0.2, 1, size=(clusters, 3))
    want = [
        permutation_test(
            (column,), lambda flipped, axis: flipped.sum(axis), permutation_type="samples", n_resamples=10_000,
            rng=np.random.default_rng(0), batch=1000,
        ).pvalue
        for column in totals.T
    ]  # fmt: skip
    assert sign_flip_test(totals) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(
    ("difference", "p"),
    [
        ([1.0, 1.0], 2 / 4),  # sums 2, 0, 0, -2: one of four is as high
        ([1.0, -1.0], 1.0),
        ([1.0, 0.0], 1.0),  # the second flip changes nothing: sums 1, 1, -1, -1
        ([0.1, 0.2, 0.3], 2 / 8),
        ([0.3, 0.2, -0.1], 4 / 8),  # .6, .4 and their like: two of eight are .4 or more
        ([0.1, 0.2, -0.3, 0.0001], 1.0),  # rounding must not tell .1 + .2 - .3 from .3 - .2 - .1
    ],
)
def test_p_values_worked_by_hand(difference: list[float], p: float) -> None:
    assert paired_difference(np.zeros(len(difference)), np.array(difference), names(range(len(difference)))).p == p


def test_few_clusters_are_counted_out_as_a_plain_loop_does() -> None:
    totals = np.random.default_rng(6).normal(0.3, 1, size=(11, 1))
    sums = np.array([np.dot(signs, totals[:, 0]) for signs in product([-1, 1], repeat=11)])
    want = (np.abs(sums) >= abs(totals.sum()) - 1e-12).mean()
    assert sign_flip_test(totals)[0] == pytest.approx(want, abs=1e-12)


def test_a_cluster_is_flipped_whole() -> None:
    gain = np.ones(20)
    assert paired_difference(0 * gain, gain, names(np.arange(20) // 10)).p == 0.5
    assert paired_difference(0 * gain, gain, names(range(20))).p < 0.001


def test_p_values_of_no_difference_are_spread_evenly() -> None:
    difference = np.random.default_rng(7).normal(size=(50, 400))
    p = sign_flip_test(difference, draws=999)
    assert [(p < level).mean() for level in (0.1, 0.3, 0.5)] == pytest.approx([0.1, 0.3, 0.5], abs=0.07)


def test_holm_worked_by_hand() -> None:
    # .005 x 4, .01 x 3, .03 x 2; .04 x 1 lies below its forerunner's .06
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.6])) == pytest.approx([1, 1])
    assert holm(np.array([0.03])) == pytest.approx([0.03])
    assert holm(np.array([])).size == 0


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12), level=st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_the_step_down_procedure_rejects(p: list[float], level: float) -> None:
    rejected = set()
    for left, test in zip(range(len(p), 0, -1), np.argsort(p, kind="stable"), strict=True):
        if p[test] * left > level:
            break
        rejected.add(int(test))
    assert set(np.flatnonzero(holm(np.array(p)) <= level)) == rejected


def test_the_correction_counts_every_set_and_metric() -> None:
    def of(p: float) -> Difference:
        return Difference(0.1, 0.0, 0.2, wins=1, ties=0, losses=0, p=p)

    found = corrected({"en": {"map": of(0.01), "mrr": of(0.2)}, "de": {"map": of(0.02)}})
    assert {(name, metric): d.p_holm for name, row in found.items() for metric, d in row.items()} == pytest.approx(
        {("en", "map"): 0.03, ("en", "mrr"): 0.2, ("de", "map"): 0.04}
    )
    assert found["de"]["map"].p == 0.02
    assert corrected({}) == {}
