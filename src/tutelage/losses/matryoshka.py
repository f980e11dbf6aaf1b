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
from tutelage.losses.rules import Dropper, Plan
from tutelage.losses.tiled import OnePass, chunk_size_of, needs_gradient, softmax_, strips


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
        scales: for each block the inverse lengths of its rows and of its candidates, in turn.
        with_gradient: form gradients too.

    Returns:
        Gradients come for each block's rows, candidates, row scales and candidate scales, in turn. The drops' removed
        share is that of the widest prefix.
    """
    first, chunk_size = plan.blocks[0].rows, chunk_size_of(plan, buffers=len(prefixes.dims) + 2)
    rows, parts = len(first), prefixes.slices()
    dropper = Dropper(plan)
    spaces = [first.new_empty(chunk_size, dropper.width) for _ in range(len(parts) + 1)]
    total = first.new_zeros((), dtype=torch.float64)
    inputs = [each for b, block in enumerate(plan.blocks) for each in (*block[:2], *scales[2 * b : 2 * b + 2])]
    gradients = [torch.zeros_like(each) for each in inputs]

    for strip in strips(rows, chunk_size):
        *dots, work = (space[: strip.stop - strip.start] for space in spaces)
        for block, columns in dropper.columns():
            before = torch.zeros((), dtype=first.dtype, device=first.device)
            for dot, part in zip(dots, parts, strict=True):
                torch.addmm(before, block.rows[strip, part], block.candidates[:, part].T, out=dot[:, columns])
                before = dot[:, columns]
        found = dropper.find(strip)
        for k, weight in enumerate(prefixes.weights):
            for b, (_, columns) in enumerate(dropper.columns()):
                torch.mul(dots[k][:, columns], scales[2 * b + 1][k], out=work[:, columns])
                work[:, columns] *= scales[2 * b][k, strip, None] / plan.temperature
            lost, row = found.take_out_(work)
            losses, partition, sums = softmax_(work, plan.positive_column[strip])
            total += weight * losses.sum()
            if k == len(parts) - 1:
                dropper.note_removed(lost, row, partition)
            if with_gradient:
                work *= weight / sums[:, None]
                for b, (_, columns) in enumerate(dropper.columns()):
                    _scale_gradients(
                        k, strip, dots[k][:, columns], work[:, columns], scales[2 * b :], gradients[4 * b :]
                    )
                dots[k], work = work, dots[k]
        if with_gradient:
            _slice_gradients(dropper, strip, parts, dots, gradients)

    for gradient in gradients:
        gradient /= rows * plan.temperature
    return (total / rows).to(first.dtype), gradients if with_gradient else [], dropper.drops()


def _scale_gradients(
    k: int, strip: slice, dot: Tensor, weight: Tensor, scales: Sequence[Tensor], gradients: Sequence[Tensor]
) -> None:
    """dL/dsim into the gradients of both scales; in place, ``weight`` becomes dL/ddot and ``dot`` is used up."""
    by_row, by_candidate = scales[0][k, strip], scales[1][k]
    dot *= weight
    gradients[2][k, strip] = dot @ by_candidate
    gradients[3][k] += by_row @ dot
    weight *= by_row[:, None]
    weight *= by_candidate


def _slice_gradients(
    dropper: Dropper, strip: slice, parts: Sequence[slice], by_dot: Sequence[Tensor], gradients: Sequence[Tensor]
) -> None:
    """The vectors' gradients, slice by slice from the last: each belongs to its own prefix and all wider ones."""
    for k in reversed(range(len(parts))):
        if k + 1 < len(parts):
            by_dot[k].add_(by_dot[k + 1])
        for b, (block, columns) in enumerate(dropper.columns()):
            gradients[4 * b][strip, parts[k]] = by_dot[k][:, columns] @ block.candidates[:, parts[k]]
            gradients[4 * b + 1][:, parts[k]].addmm_(by_dot[k][:, columns].T, block.rows[strip, parts[k]])


def contrast_prefixes(plan: Plan, prefixes: Prefixes) -> tuple[Float[Tensor, ""], Drops]:
    """The loss of a plan of vectors of any length, differentiable once in every block's rows and candidates."""
    scales = [inverse_lengths(side, prefixes.dims) for block in plan.blocks for side in block[:2]]
    inputs = [each for b, block in enumerate(plan.blocks) for each in (*block[:2], *scales[2 * b : 2 * b + 2])]
    wanted = needs_gradient(*inputs)
    loss, *drops = OnePass.apply(lambda: one_pass(plan, prefixes, scales, with_gradient=wanted), *inputs)
    return loss, Drops(*drops)
