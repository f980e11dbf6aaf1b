"""What exceeds a ceiling, however the product was rounded."""

import pytest
import torch
import torch.nn.functional as F

from tutelage.losses.screen import GROUP, excess, products, similarities, small


def above(rows, candidates, ceiling, dims=None):
    out, work = (torch.full((len(candidates), len(rows)), torch.nan) for _ in range(2))
    excess(rows, candidates, ceiling, out, work, dims)
    return out > 0


@pytest.mark.parametrize("count", [1, GROUP - 1, GROUP, 3 * GROUP, 3 * GROUP + 5])
def test_small_numbers_are_found_wherever_they_stand(count):
    numbers = torch.randn(count, 7, generator=torch.Generator().manual_seed(0)).abs()
    numbers[0, 0] = 0.1  # level with the bound
    found = torch.zeros_like(numbers, dtype=torch.bool)
    found[small(numbers, 0.1)] = True
    assert torch.equal(found, numbers <= 0.1)


@pytest.mark.parametrize("dims", [None, (1, 300, 82)])
def test_a_candidate_with_the_vector_of_the_positive_is_level_with_it(dims):
    """A matrix product rounds equal columns differently; a strict ceiling must not see that."""
    random = torch.Generator().manual_seed(0)
    rows, other = (F.normalize(torch.randn(count, 383, generator=random)) for count in (301, 1))
    candidates = other.expand(517, -1).contiguous()
    line = torch.arange(len(rows))
    ceiling = products(rows, candidates, line, line, dims)
    assert not above(rows, candidates, ceiling, dims).any()
    assert above(rows, candidates, ceiling.nextafter(torch.tensor(-2.0)), dims).all()


def test_only_what_exceeds_the_ceiling_is_above_it():
    rows = F.normalize(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(above(rows, rows, torch.full((5,), 0.999)), torch.eye(5, dtype=torch.bool))


def test_of_slices_the_largest_product_counts():
    random = torch.Generator().manual_seed(0)
    rows, candidates = (torch.randn(count, 5, generator=random) for count in (4, 7))
    want = torch.maximum(candidates[:, :2] @ rows[:, :2].T, candidates[:, 2:] @ rows[:, 2:].T)
    out, work = (torch.full((7, 4), torch.nan) for _ in range(2))
    similarities(rows, candidates, (2, 3), out=out, work=work)
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(similarities(rows, candidates, (2, 3)), want)
    row, column = torch.arange(4).repeat_interleave(7), torch.arange(7).repeat(4)
    torch.testing.assert_close(products(rows, candidates, row, column, (2, 3)), want.T.reshape(-1))
