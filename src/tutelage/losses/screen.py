"""How far similarities exceed a ceiling: read off a matrix product, decided pair by pair where its rounding could err.

A candidate with the very vector of the positive is level with it, not above, however the products were rounded.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

GROUP = 32  # candidates whose smallest number is looked at first
AT_ONCE = 2**16  # pairs multiplied out together


def excess(
    rows: Float[Tensor, "rows dim"],
    candidates: Float[Tensor, "candidates dim"],
    ceiling: Float[Tensor, " rows"],
    out: Float[Tensor, "candidates rows"],
    work: Float[Tensor, "candidates rows"],
) -> None:
    """Similarity less the row's ceiling, into ``out``: above 0 exactly where the pair's own product exceeds it.

    Args:
        rows: unit vectors.
        candidates: unit vectors.
        ceiling: of each row.
        out: the result.
        work: what it held is lost.
    """
    torch.mm(candidates, rows.T, out=out)
    out -= ceiling
    slack = 2 * rows.shape[1] * torch.finfo(rows.dtype).eps  # bounds the rounding of both products
    candidate, row = small(torch.abs(out, out=work), slack)
    if len(row):
        above = products(rows, candidates, row, candidate) > ceiling[row]
        out[candidate, row] = above.to(out.dtype) * 2 - 1


def products(
    rows: Float[Tensor, "rows dim"],
    candidates: Float[Tensor, "candidates dim"],
    row: Int[Tensor, " pairs"],
    column: Int[Tensor, " pairs"],
) -> Float[Tensor, " pairs"]:
    """Dot products pair by pair: equal vectors give equal products, which a matrix product does not promise."""
    parts = zip(row.split(AT_ONCE), column.split(AT_ONCE), strict=True)
    return torch.cat([(rows[r] * candidates[c]).sum(1) for r, c in parts])


def small(
    numbers: Float[Tensor, "candidates rows"], bound: float
) -> tuple[Int[Tensor, " small"], Int[Tensor, " small"]]:
    """Where numbers are at most ``bound``. On a CPU, groups without any are passed over by their minimum."""
    if numbers.device.type != "cpu" or len(numbers) % GROUP:
        candidate, row = (numbers <= bound).nonzero(as_tuple=True)
        return candidate, row
    groups = numbers.unflatten(0, (-1, GROUP))
    group, row = (groups.amin(1) <= bound).nonzero(as_tuple=True)
    which, within = (groups[group, :, row] <= bound).nonzero(as_tuple=True)
    return group[which] * GROUP + within, row[which]
