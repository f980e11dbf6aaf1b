"""Seeds are averaged query by query, whatever the order they were answered in; foreign queries are refused."""

import numpy as np
import pytest

from tutelage.errors import DataError
from tutelage.evaluate.retrieval import RetrievalResult
from tutelage.evaluate.seeds import mean_over_seeds, same_queries, spread


def result(queries: str, **values: list[float]) -> RetrievalResult:
    names = queries.split()
    columns = {metric: np.array(column) for metric, column in values.items()}
    return RetrievalResult("en", names, [f"c{name}" for name in names], columns)


def test_a_query_gets_its_mean_over_the_seeds_in_the_order_of_the_first() -> None:
    found = mean_over_seeds([result("a b", map=[0.0, 1.0]), result("b a", map=[0.5, 0.2])])
    assert (found.queries, found.cluster) == (["a", "b"], ["ca", "cb"])
    assert found.values["map"] == pytest.approx([0.1, 0.75])


def test_only_what_every_seed_was_measured_by_is_averaged() -> None:
    runs = [result("a", map=[0.0], mrr=[1.0]), result("a", map=[1.0], ndcg=[0.3]), result("a", mrr=[0.0], map=[0.5])]
    assert mean_over_seeds(runs).values == {"map": pytest.approx([0.5])}


def test_one_seed_is_itself_and_has_no_spread() -> None:
    only = result("a b", map=[0.25, 0.5])
    assert mean_over_seeds([only]).values["map"].tolist() == [0.25, 0.5]
    assert spread([only], "map") is None


def test_the_spread_is_the_standard_deviation_of_the_means() -> None:
    runs = [result("a b", map=[0.1, 0.3]), result("a b", map=[0.4, 0.4]), result("a b", map=[1.0, 0.2])]
    # means .2, .4, .6: squared distances .04, 0, .04 over 2
    assert spread(runs, "map") == pytest.approx(0.2)


def test_other_queries_are_refused() -> None:
    with pytest.raises(DataError) as fault:
        same_queries(result("a b", map=[0, 1.0]), result("a c d", map=[0, 1.0, 1.0]), "A and B")
    assert str(fault.value) == (
        "A and B: 'en' holds different queries (2 and 3; 'b' stands in one only). Evaluate both on the same set."
    )


def test_other_metrics_are_refused() -> None:
    with pytest.raises(DataError) as fault:
        same_queries(result("a", map=[1.0]), result("a", mrr=[1.0]), "seeds of A")
    assert str(fault.value) == "seeds of A: no metric of 'en' is in both. Evaluate both with the same metrics."
