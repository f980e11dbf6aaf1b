"""Packing is a partition, longest first, and stays within the budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.encode.lengths import pack

lengths = st.lists(st.integers(0, 300), max_size=120).map(lambda sizes: np.array(sizes, dtype=np.int64))
budgets = st.integers(1, 2000)


@given(lengths, budgets)
def test_every_text_stands_in_one_mini_batch(lengths: np.ndarray, budget: int) -> None:
    placed = [row for batch in pack(lengths, budget) for row in batch.tolist()]
    assert sorted(placed) == list(range(len(lengths)))


@given(lengths, budgets)
def test_rows_times_width_stay_within_the_budget_or_a_text_stands_alone(lengths: np.ndarray, budget: int) -> None:
    for batch in pack(lengths, budget):
        assert len(batch) * lengths[batch].max() <= budget or len(batch) == 1


@given(lengths, budgets)
def test_texts_come_longest_first_and_in_order_where_equal(lengths: np.ndarray, budget: int) -> None:
    placed = [row for batch in pack(lengths, budget) for row in batch.tolist()]
    assert placed == sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))


@given(lengths, budgets)
def test_no_mini_batch_could_have_taken_the_next_text(lengths: np.ndarray, budget: int) -> None:
    batches = pack(lengths, budget)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * max(lengths[batch].max(), 1) > budget


@pytest.mark.parametrize(
    ("budget", "want"),
    [(1, [[1], [2], [3], [0]]), (9, [[1], [2, 3, 0]]), (18, [[1, 2], [3, 0]]), (36, [[1, 2, 3, 0]])],
)
def test_budget_below_at_and_above_the_longest_text(budget: int, want: list[list[int]]) -> None:
    assert [batch.tolist() for batch in pack(np.array([2, 9, 3, 3]), budget)] == want
