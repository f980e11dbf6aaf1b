"""Matryoshka in one pass: the similarities of every prefix of the dimensions from one run over all of them.

Dot products over the disjoint slices [0, d1), [d1, d2) ... are summed as they come, so prefix k costs no product of its
own; lengths per prefix make cosines of them. The gradient of slice k is the suffix sum of the gradients of all prefixes
that contain it. What the rules drop is found once and serves every prefix. (arXiv:2205.13147 trains each prefix apart.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tutelage.losses.masks import Drops
from tutelage.losses.rules import Dropper, Plan, Tile
from tutelage.losses.tiled import OnePass, Softmax, chunk_size_of, needs_gradient, strips


class Prefixes(NamedTuple):
    """Dimensions in ascending order and the weight of each one's loss."""

    dims: Sequence[int]
    weights: Sequence[float]

    def slices(self) -> list[slice]:
        """The disjoint slices whose sums are the prefixes."""
        return [slice(low, high) for low, high in zip([0, *self.dims[:-1]], self.dims, strict=True)]


def inverse_lengths(vectors: Float[Tensor, "texts dim"], dims: Sequence[int]) -> Float[Tensor, "prefixes texts"]:
    """1 / |v[:d]| of every prefix, differentiable; the floor is `torch.nn.functional.normalize`'s."""
    return torch.stack([vectors[:, :dim].norm(dim=1).clamp_min(1e-12).reciprocal() for dim in dims])


@torch.no_grad()
def one_pass(
    plan: Plan, prefixes: Prefixes, scales: Sequence[Tensor], *, with_gradient: bool
) -> tuple[Tensor, list[Tensor], Drops]:
    """Σ over prefixes of weight x loss of that prefix, its gradients, and what was dropped.

    Args:
        plan: a loss whose blocks hold vectors of any length.
        prefixes: dimensions and weights.
        scales: the inverse lengths of the plan's `vectors`.
        with_gradient: form gradients too.

    Returns:
        Gradients come for the plan's `vectors`, then for ``scales``. The drops' removed share is that of the widest
        prefix.
    """
    first, chunk_size = plan.blocks[0].rows, chunk_size_of(plan, buffers=len(prefixes.dims) + 2)
    rows, parts = len(first), prefixes.slices()
    dropper = Dropper(plan, chunk_size)
    spaces = [first.new_empty(dropper.width * chunk_size) for _ in range(len(parts) + 2)]
    small = first.new_empty(dropper.widest * chunk_size)
    total, removed = (first.new_zeros((), dtype=torch.float64) for _ in range(2))
    sides = {id(each): Side.of(each, scale) for each, scale in zip(plan.vectors, scales, strict=True)}

    for strip in strips(rows, chunk_size):
        count, own = strip.stop - strip.start, plan.positive_column[strip]
        line = torch.arange(count, device=first.device)
        *dots, work, masks = (space[: dropper.width * count].view(dropper.width, count) for space in spaces)
        met = []
        for tile, found in dropper.find(strip):
            met.append((tile, found._replace(dropped=masks[tile.columns].copy_(found.dropped))))
            _prefix_sums(tile, strip, parts, dots)
        row, candidate = (sides[id(side)] for side in plan.blocks[0][:2])
        for k, weight in enumerate(prefixes.weights):
            positive_logit = dots[k][own, line] * row.scale[k, strip] * candidate.scale[k, own] / plan.temperature
            softmax = Softmax(positive_logit, plan.partitions, small)
            for tile, found in met:
                by_row, by_candidate = (sides[id(side)].scale[k] for side in tile.block[:2])
                factor = by_row[strip] * (tile.block.hardness / plan.temperature)
                logits = torch.mul(dots[k][tile.columns], by_candidate[tile.part, None], out=work[tile.columns])
                logits *= factor
                found.correct_(logits.view(-1), positive_logit, plan.rescaling)
                softmax.meet_(tile, logits, found.dropped)
            total += weight * softmax.losses().sum()
            if k == len(parts) - 1:
                removed += softmax.removed()
            for tile, found in met if with_gradient else []:
                by_sim = work[tile.columns]
                softmax.weights_(tile, by_sim, found)
                by_sim *= weight
                _scale_gradients(
                    k, strip, tile.part, dots[k][tile.columns], by_sim, *(sides[id(side)] for side in tile.block[:2])
                )
            if with_gradient:
                dots[k], work = work, dots[k]
        for tile in dropper.tiles if with_gradient else []:
            row, candidate = (sides[id(side)] for side in tile.block[:2])
            _slice_gradients(tile, strip, parts, dots, row.by_vectors, candidate.by_vectors)

    gradients = [side.by_vectors for side in sides.values()] + [side.by_scale for side in sides.values()]
    gradients = [gradient.div_(rows * plan.temperature) for gradient in gradients] if with_gradient else []
    return (total / rows).to(first.dtype), gradients, dropper.drops(removed / rows)


class Side(NamedTuple):
    """Some vectors' inverse lengths, and the gradients of both."""

    scale: Float[Tensor, "prefixes texts"]
    by_vectors: Float[Tensor, "texts dim"]
    by_scale: Float[Tensor, "prefixes texts"]

    @classmethod
    def of(cls, vectors: Float[Tensor, "texts dim"], scale: Float[Tensor, "prefixes texts"]) -> "Side":
        """Nothing added up yet."""
        return cls(scale, torch.zeros_like(vectors), torch.zeros_like(scale))


def _prefix_sums(tile: Tile, strip: slice, parts: Sequence[slice], dots: Sequence[Tensor]) -> None:
    """The dot products of every prefix, each the one before it and one slice more."""
    rows, candidates = tile.block.rows[strip], tile.block.candidates[tile.part]
    before = torch.zeros((), dtype=rows.dtype, device=rows.device)
    for dot, part in zip(dots, parts, strict=True):
        before = torch.addmm(before, candidates[:, part], rows[:, part].T, out=dot[tile.columns])


def _scale_gradients(k: int, strip: slice, part: slice, dot: Tensor, by_sim: Tensor, row: Side, other: Side) -> None:
    """dL/dsim into the gradients of both scales; in place, ``by_sim`` becomes dL/ddot and ``dot`` is used up."""
    by_row, by_candidate = row.scale[k, strip], other.scale[k, part]
    dot *= by_sim
    row.by_scale[k, strip] += by_candidate @ dot
    other.by_scale[k, part] += dot @ by_row
    by_sim *= by_row
    by_sim *= by_candidate[:, None]


def _slice_gradients(
    tile: Tile, strip: slice, parts: Sequence[slice], by_dot: Sequence[Tensor], by_row: Tensor, by_candidate: Tensor
) -> None:
    """The vectors' gradients, slice by slice from the last: each belongs to its own prefix and all wider ones."""
    for k in reversed(range(len(parts))):
        weight = by_dot[k][tile.columns]
        if k + 1 < len(parts):
            weight += by_dot[k + 1][tile.columns]
        by_row[strip, parts[k]].addmm_(weight.T, tile.block.candidates[tile.part, parts[k]])
        by_candidate[tile.part, parts[k]].addmm_(weight, tile.block.rows[strip, parts[k]])


def contrast_prefixes(plan: Plan, prefixes: Prefixes) -> tuple[Float[Tensor, ""], Drops]:
    """The loss of a plan of vectors of any length, differentiable once in every block's rows and candidates."""
    scales = [inverse_lengths(side, prefixes.dims) for side in plan.vectors]
    inputs = [*plan.vectors, *scales]
    wanted = needs_gradient(*inputs)
    loss, *drops = OnePass.apply(lambda: one_pass(plan, prefixes, scales, with_gradient=wanted), *inputs)
    return loss, Drops(*drops)
