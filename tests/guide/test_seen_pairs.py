"""Pairs over batches: counted without their order, and in an order of importance that nothing else decides."""

import numpy as np
import pytest
import torch

from tutelage.guide import seen_pairs as tables
from tutelage.guide.seen_pairs import Pairs

ROWS, CANDIDATES = torch.tensor([1, 2]), torch.tensor([2, 1, 3])
GUIDE = torch.tensor([[0.9, 0.0], [0.0, 0.9], [0.4, 0.6]])  # candidates x rows


def seen(mask, *, nearest=None, batches=1):
    found = Pairs(nearest)
    for _ in range(batches):
        found.add(GUIDE, torch.tensor([0.5, 0.55]), GUIDE / 2, torch.tensor(mask).bool(), ROWS, CANDIDATES)
    return found


def test_both_orders_of_a_pair_are_one_and_the_larger_excess_speaks_for_it():
    (pair,) = seen([[1, 0], [0, 1], [0, 0]], batches=3).top(10)
    assert (pair.anchor, pair.candidate, pair.times) == (1, 2, 6)
    assert (pair.guide_score, pair.ceiling, pair.encoder_score) == pytest.approx((0.9, 0.5, 0.45))


def test_the_most_often_met_come_first_each_time_for_its_score():
    found = seen([[1, 0], [0, 0], [1, 1]])
    assert [(p.anchor, p.candidate) for p in found.top(9)] == [(1, 2), (2, 3), (1, 3)]
    for times, first in ((2, (1, 2)), (3, (1, 3))):  # 2 x .4 < .9 < 3 x .4
        found.add(GUIDE, torch.zeros(2), GUIDE, torch.tensor([[0, 0], [0, 0], [1, 0]]).bool(), ROWS, CANDIDATES)
        assert found.top(1)[0][:2] == first, times


def test_the_nearest_come_first_and_only_so_many_of_a_tile_are_kept():
    everything = [[1, 0], [0, 0], [1, 1]]
    assert [(p.anchor, p.candidate) for p in seen(everything, nearest=9).top(9)] == [(2, 3), (1, 3), (1, 2)]
    assert [(p.anchor, p.candidate) for p in seen(everything, nearest=2).top(9)] == [(2, 3), (1, 3)]


def test_nothing_seen_is_an_empty_list():
    assert seen(np.zeros((3, 2))).top(3) == []
    assert Pairs().top(3) == []


def test_batches_in_another_order_give_the_same_list(monkeypatch):
    monkeypatch.setattr(tables, "MOST_HELD", 10**6)
    random = np.random.default_rng(0)
    parts = [(torch.rand(5, 4), torch.from_numpy(random.integers(0, 6, 4)), torch.from_numpy(random.integers(6, 12, 5)))
             for _ in range(6)]  # fmt: skip

    def listed(order):
        found = Pairs()
        for number in order:
            guide, rows, candidates = parts[number]
            found.add(guide, torch.full((4,), 0.5), guide, guide > 0.5, rows, candidates)
        return found.top(100)

    assert listed(range(6)) == listed(reversed(range(6)))


def test_when_too_many_are_held_the_often_met_stay(monkeypatch):
    monkeypatch.setattr(tables, "MOST_HELD", 2)
    found = seen([[1, 0], [0, 1], [1, 1]], batches=4)
    assert (found.top(1)[0].anchor, found.top(1)[0].candidate, found.top(1)[0].times) == (1, 2, 8)
    assert len(found.top(9)) == 2
