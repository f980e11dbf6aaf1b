"""How far similarities exceed a ceiling: read off a matrix product, decided pair by pair where its rounding could err.

A candidate with the very vector of the positive is level with it, not above, however the products were rounded.
Where vectors hold several guides side by side, as slices of the widths ``dims``, a similarity is the largest of theirs.
"""

from collections.abc import Sequence

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
    dims: Sequence[int] | None = None,
) -> None:
    """Similarity less the row's ceiling, into ``out``: above 0 exactly where the pair's own product exceeds it.

    Args:
        rows: unit vectors, or vectors of unit slices.
        candidates: the same.
        ceiling: of each row.
        out: the result.
        work: what it held is lost.
        dims: widths of the slices, if any.
    """
    similarities(rows, candidates, dims, out=out, work=work)
    out -= ceiling
    slack = 2 * rows.shape[1] * torch.finfo(rows.dtype).eps  # bounds the rounding of both products
    candidate, row = small(torch.abs(out, out=work), slack)
    if len(row):
        above = products(rows, candidates, row, candidate, dims) > ceiling[row]
        out[candidate, row] = above.to(out.dtype) * 2 - 1


def similarities(
    rows: Float[Tensor, "rows dim"],
    candidates: Float[Tensor, "candidates dim"],
    dims: Sequence[int] | None = None,
    *,
    out: Float[Tensor, "candidates rows"] | None = None,
    work: Float[Tensor, "candidates rows"] | None = None,
) -> Float[Tensor, "candidates rows"]:
    """Of all pairs, by matrix products, one for each slice; ``out`` and ``work`` save the memory of two results."""
    if dims is None:
        return torch.mm(candidates, rows.T, out=out)
    (first, others), *further = zip(rows.split(list(dims), dim=1), candidates.split(list(dims), dim=1), strict=True)
    best = torch.mm(others, first.T, out=out)
    for part, others in further:
        torch.maximum(best, torch.mm(others, part.T, out=work), out=best)
    return best


def products(
    rows: Float[Tensor, "rows dim"],
    candidates: Float[Tensor, "candidates dim"],
    row: Int[Tensor, " pairs"],
    column: Int[Tensor, " pairs"],
    dims: Sequence[int] | None = None,
) -> Float[Tensor, " pairs"]:
    """Similarities pair by pair: equal vectors give equal ones, which a matrix product does not promise."""
    parts = zip(row.split(AT_ONCE), column.split(AT_ONCE), strict=True)
    return torch.cat([_summed(rows[r] * candidates[c], dims) for r, c in parts])


def _summed(terms: Float[Tensor, "pairs dim"], dims: Sequence[int] | None) -> Float[Tensor, " pairs"]:
    """The sum of each pair's terms, or the largest of the sums of its slices."""
    if dims is None:
        return terms.sum(1)
    return torch.stack([part.sum(1) for part in terms.split(list(dims), dim=1)]).amax(0)


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
