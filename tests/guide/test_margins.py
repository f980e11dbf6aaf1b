"""Gaps, curves and quantiles by hand; against the loss itself they stand in `test_audit`."""

import pytest
import torch

from tutelage.guide.margins import MARGINS, MarginCurve, Smallest, as_decided, gaps


def test_gaps_by_hand():
    sims, positive = torch.tensor([[0.5, 0.1, 0.2]]).T, torch.tensor([0.4])
    torch.testing.assert_close(gaps(sims, positive, "absolute")[:, 0], torch.tensor([-0.1, 0.3, 0.2]))
    torch.testing.assert_close(gaps(sims, positive, "relative")[:, 0], torch.tensor([-0.25, 0.75, 0.5]))
    torch.testing.assert_close(gaps(sims, -positive, "relative")[:, 0], torch.tensor([-2.25, -1.25, -1.5]))
    nothing = gaps(torch.tensor([[0.5], [0.0], [-0.5]]), torch.zeros(1), "relative")[:, 0]
    assert nothing.tolist() == [-torch.inf, torch.inf, torch.inf]


def test_a_rate_is_the_share_of_smaller_gaps_and_its_margin_the_next_gap():
    curve = MarginCurve(4)
    for part in ([0.3, 0.1], [0.2, 0.9, torch.inf], [0.1]):
        curve.add(torch.tensor(part))
    rates = dict(zip(MARGINS.tolist(), curve.rates(10), strict=True))
    assert [rates[m] for m in (0.1, 0.11, 0.2, 0.21, 0.5)] == [0.0, 0.2, 0.2, 0.3, 0.4]
    assert [curve.margin_for(rate, 10) for rate in (0.0, 0.1, 0.2, 0.3)] == pytest.approx([0.1, 0.1, 0.2, 0.3])


def test_rounding_never_moves_a_gap_across_the_margin_that_was_decided():
    gap, dropped = torch.tensor([[0.1, 0.0999, 0.1001, 0.5]]), torch.tensor([[True, False, True, False]])
    decided = as_decided(gap, dropped, 0.1)
    assert (decided < torch.tensor(0.1)).tolist() == dropped.tolist()
    assert decided[0, 3] == 0.5
    torch.testing.assert_close(decided, gap, atol=2e-4, rtol=0)


@pytest.mark.parametrize("count", [1, 5, 100])
def test_the_smallest_of_a_stream_are_its_sorted_beginning(count):
    numbers = torch.randn(60, generator=torch.Generator().manual_seed(1))
    smallest = Smallest(count)
    for part in numbers.split(7):
        smallest.add(part)
    torch.testing.assert_close(smallest.ascending(), numbers.sort().values[:count])
