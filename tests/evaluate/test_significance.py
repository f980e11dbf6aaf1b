"""The paired interval: where it must lie, when it is wide, and that it can be had again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.evaluate.significance import Difference, paired_difference


def random_values(queries: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.random.default_rng(seed).uniform(size=(2, queries))
    return before, after


def names(numbers: np.ndarray | range) -> list[str]:
    return [f"concept {number}" for number in numbers]


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
    assert paired_difference(before, before, names(range(20))) == Difference(0.0, 0.0, 0.0, wins=0, ties=20, losses=0)


def test_an_equal_gain_everywhere_is_known_exactly() -> None:
    zeros = np.zeros(20)
    assert paired_difference(zeros, zeros + 0.25, names(range(20))) == Difference(
        0.25, 0.25, 0.25, wins=20, ties=0, losses=0
    )


def test_one_cluster_cannot_be_resampled() -> None:
    before, after = random_values(20)
    found = paired_difference(before, after, ["one"] * 20)
    assert found.low is None
    assert found.high is None


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
        "mean": float, "low": float, "high": float, "wins": int, "ties": int, "losses": int
    }  # fmt: skip
