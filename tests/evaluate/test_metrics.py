"""Hand-worked values, the perfect ranking, and names that are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import ConfigError
from tutelage.evaluate.metrics import DEFAULT_METRICS, METRICS, parse, per_query

INF = float("inf")
LOG3, LOG5 = np.log2(3), np.log2(5)


def value(name: str, ranks: list[float], relevant: int) -> float:
    return float(per_query([name], np.array([ranks], dtype=float), np.array([float(relevant)]))[name][0])


@pytest.mark.parametrize(
    ("name", "ranks", "relevant", "want"),
    [
        ("map", [1, 4], 2, (1 / 1 + 2 / 4) / 2),
        ("map", [1, INF], 2, (1 / 1) / 2),
        ("map", [3, INF], 1, 1 / 3),
        ("map@3", [1, 4], 2, (1 / 1) / 2),
        ("map@2", [1, 2, 3, 4], 4, 1.0),
        ("map@1", [2, 3], 2, 0.0),
        ("mrr", [20, 30], 2, 1 / 20),
        ("mrr@10", [4, 5], 2, 1 / 4),
        ("mrr@10", [11, 12], 2, 0.0),
        ("mrr", [INF], 1, 0.0),
        ("ndcg@10", [1, 4], 2, (1 + 1 / LOG5) / (1 + 1 / LOG3)),
        ("ndcg@3", [1, 4], 2, 1 / (1 + 1 / LOG3)),
        ("ndcg@1", [2, 3], 2, 0.0),
        ("ndcg@1", [1, 9], 2, 1.0),
        ("accuracy@1", [1, 9], 2, 1.0),
        ("accuracy@4", [5, 6], 2, 0.0),
        ("accuracy@5", [5, 6], 2, 1.0),
        ("precision@5", [1, 5, 6], 3, 2 / 5),
        ("precision@100", [1, 2], 2, 2 / 100),
        ("recall@5", [1, 5, 6], 3, 2 / 3),
        ("recall@1", [1, 2, 3, 4], 4, 1 / 4),
        ("recall@9", [1, INF], 2, 1 / 2),
    ],
)
def test_hand_worked(name: str, ranks: list[float], relevant: int, want: float) -> None:
    assert value(name, ranks, relevant) == pytest.approx(want, abs=1e-12)


@given(relevant=st.integers(1, 30), k=st.integers(1, 40))
def test_a_perfect_ranking_is_one(relevant: int, k: int) -> None:
    ranks = [float(rank) for rank in range(1, relevant + 1)]
    for name in ("map", "mrr", f"map@{k}", f"mrr@{k}", f"ndcg@{k}", f"accuracy@{k}", f"recall@{max(k, relevant)}"):
        assert value(name, ranks, relevant) == pytest.approx(1, abs=1e-12)
    assert value(f"precision@{k}", ranks, relevant) == pytest.approx(min(k, relevant) / k)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12, unique=True), st.integers(1, 60), st.data())
def test_a_better_rank_never_costs_and_values_stay_between_0_and_1(
    found: list[int], k: int, data: st.DataObject
) -> None:
    better = set(found)
    moved = data.draw(st.sampled_from(found))
    better.discard(moved)
    better.add(data.draw(st.sampled_from([rank for rank in range(1, moved + 1) if rank not in better])))
    for name in (*(f"{metric}@{k}" for metric in METRICS), "map", "mrr"):
        worse_value, better_value = (value(name, sorted(map(float, r)), len(found)) for r in (found, better))
        assert 0 <= worse_value <= better_value + 1e-12
        assert better_value <= 1 + 1e-12


def test_queries_are_measured_each_by_their_own_number_of_right_entries() -> None:
    values = per_query(["recall@2", "ndcg@2"], np.array([[1.0, INF, INF], [1.0, 2.0, 3.0]]), np.array([1.0, 3.0]))
    np.testing.assert_allclose(values["recall@2"], [1, 2 / 3])
    np.testing.assert_allclose(values["ndcg@2"], [1, 1])


@pytest.mark.parametrize("name", [*DEFAULT_METRICS, "map", "mrr", "ndcg@1", "recall@100000"])
def test_names_that_can_be_asked(name: str) -> None:
    function, k = parse(name)
    assert function is METRICS[name.split("@")[0]]
    assert k == (float(name.split("@")[1]) if "@" in name else INF)


@pytest.mark.parametrize(
    "name",
    ["", "@10", "ndgc@10", "NDCG@10", "ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "ndcg@ten", "map@", "recall",
     "accuracy", "precision", "mrr@0", "ndcg@10@20", "ndcg@²", " map"],
)  # fmt: skip
def test_other_names_are_refused_with_the_names_that_exist(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(name)
    assert str(caught.value) == (
        f"metric '{name}': unknown. Wanted one of accuracy, precision, recall, mrr, ndcg, map with a cut-off, "
        "as in ndcg@10; map and mrr may go without."
    )
