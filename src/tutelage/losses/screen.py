"""Which similarities exceed a ceiling: read off a matrix product, decided pair by pair where its rounding could err.

A candidate with the very vector of the positive is level with it, not above, however the products were rounded.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

GROUP = 32  # columns whose maximum is looked at first
AT_ONCE = 2**16  # pairs multiplied out together


def above(
    rows: Float[Tensor, "rows dim"],
    candidates: Float[Tensor, "candidates dim"],
    ceiling: Float[Tensor, " rows"],
    without: tuple[Int[Tensor, " known"], Int[Tensor, " known"]],
    space: Float[Tensor, " space"],
) -> tuple[Int[Tensor, " above"], Int[Tensor, " above"]]:
    """Rows and columns whose similarity exceeds the row's ceiling, strictly.

    Args:
        rows: unit vectors.
        candidates: unit vectors.
        ceiling: of each row.
        without: rows and columns of pairs that are never named.
        space: at least rows x candidates numbers, to work in.
    """
    sim = space[: len(rows) * len(candidates)].view(len(rows), len(candidates))
    torch.mm(rows, candidates.T, out=sim)
    slack = 2 * rows.shape[1] * torch.finfo(rows.dtype).eps  # bounds the rounding of both products
    sim -= (ceiling - slack)[:, None]
    sim[without] = -torch.inf
    row, column = positive(sim)
    near = (sim[row, column] <= 2 * slack).nonzero()[:, 0]
    hit = torch.ones_like(row, dtype=torch.bool)
    hit[near] = products(rows, candidates, row[near], column[near]) > ceiling[row[near]]
    return row[hit], column[hit]


def products(
    rows: Float[Tensor, "rows dim"],
    candidates: Float[Tensor, "candidates dim"],
    row: Int[Tensor, " pairs"],
    column: Int[Tensor, " pairs"],
) -> Float[Tensor, " pairs"]:
    """Dot products pair by pair: equal vectors give equal products, which a matrix product does not promise."""
    parts = zip(row.split(AT_ONCE), column.split(AT_ONCE), strict=True)
    return torch.cat([(rows[r] * candidates[c]).sum(1) for r, c in parts])


def positive(numbers: Float[Tensor, "rows columns"]) -> tuple[Int[Tensor, " positive"], Int[Tensor, " positive"]]:
    """Rows and columns of the positive numbers. On a CPU, groups without any are passed over by their maximum."""
    if numbers.device.type != "cpu" or numbers.shape[1] % GROUP:
        row, column = (numbers > 0).nonzero(as_tuple=True)
        return row, column
    groups = numbers.unflatten(1, (-1, GROUP))
    row, group = (groups.amax(2) > 0).nonzero(as_tuple=True)
    which, within = (groups[row, group] > 0).nonzero(as_tuple=True)
    return row[which], group[which] * GROUP + within
