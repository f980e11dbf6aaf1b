"""What exceeds a ceiling, however the product was rounded."""

import pytest
import torch
import torch.nn.functional as F

from tutelage.losses.screen import GROUP, above, positive, products

NOTHING = (torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))


def space():
    return torch.empty(10**6)


@pytest.mark.parametrize("columns", [1, GROUP - 1, GROUP, 3 * GROUP, 3 * GROUP + 5])
def test_positive_numbers_are_found_wherever_they_stand(columns):
    numbers = torch.randn(7, columns, generator=torch.Generator().manual_seed(0))
    numbers[0, 0] = 0.0  # not positive
    found = torch.zeros_like(numbers, dtype=torch.bool)
    found[positive(numbers)] = True
    assert torch.equal(found, numbers > 0)


def test_a_candidate_with_the_vector_of_the_positive_is_level_with_it():
    """A matrix product rounds equal columns differently; a strict ceiling must not see that."""
    random = torch.Generator().manual_seed(0)
    rows, other = (F.normalize(torch.randn(count, 383, generator=random)) for count in (301, 1))
    candidates = other.expand(517, -1).contiguous()
    line = torch.arange(len(rows))
    ceiling = products(rows, candidates, line, line)
    row, _ = above(rows, candidates, ceiling, NOTHING, space())
    assert len(row) == 0
    row, _ = above(rows, candidates, ceiling.nextafter(torch.tensor(-2.0)), NOTHING, space())
    assert len(row) == rows.shape[0] * len(candidates)


def test_named_pairs_are_left_out():
    rows = F.normalize(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    line = torch.arange(5)
    row, column = above(rows, rows, torch.full((5,), 0.999), (line, line), space())
    assert len(row) == 0
    row, column = above(rows, rows, torch.full((5,), 0.999), NOTHING, space())
    assert row.tolist() == column.tolist() == line.tolist()
