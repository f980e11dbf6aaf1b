"""The contrastive loss and its gradient in one pass over strips of rows: only one strip of logits lives at a time.

For a strip of R rows the logits against all C candidates are R x C. The softmax of those rows is then complete, so
their share of every gradient is added at once and the strip forgotten: per pair and dimension 8 flops (similarity 2,
guide 2, gradients 4), nothing computed twice, memory R x C beside the vectors. The upstream gradient of a mean is a
scalar, so the gradients can be formed before it is known.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.losses.masks import Drops
from tutelage.losses.rules import Dropper, Plan

STRIP_BYTES = 256 * 1024 * 1024  # of a strip's buffers
FEWEST_ROWS, MOST_ROWS = 16, 512


def chunk_size_of(plan: Plan, buffers: int = 2) -> int:
    """Rows of a strip: the plan's own choice, or as many as `STRIP_BYTES` hold in so many buffers and the marks."""
    first, width = plan.blocks[0].rows, sum(len(block.candidates) for block in plan.blocks)
    fitting = STRIP_BYTES // (width * (buffers * first.element_size() + 1))
    return min(plan.chunk_size or min(max(fitting, FEWEST_ROWS), MOST_ROWS), len(first))


def strips(rows: int, chunk_size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``chunk_size`` rows."""
    return (slice(start, min(start + chunk_size, rows)) for start in range(0, rows, chunk_size))


def softmax_(
    logits: Float[Tensor, "strip candidates"], positive: Int[Tensor, " strip"]
) -> tuple[Float[Tensor, " strip"], Float[Tensor, " strip"], Float[Tensor, " strip"]]:
    """In place: logits become softmax minus one-hot, both times the row's sum.

    Returns:
        For each row its loss, its partition function (log) and that sum.
    """
    line = torch.arange(len(logits), device=logits.device)
    positive_logit = logits[line, positive]
    highest = logits.amax(1)
    sums = logits.sub_(highest[:, None]).exp_().sum(1)
    logits[line, positive] -= sums
    partition = highest + sums.log()
    return partition - positive_logit, partition, sums


@torch.no_grad()
def one_pass(plan: Plan, *, with_gradient: bool) -> tuple[Tensor, list[Tensor], Drops]:
    """The mean over rows of logsumexp(kept logits) - logit of the positive, its gradients, and what was dropped.

    Gradients come for each block's rows and candidates, in turn.
    """
    first, chunk_size = plan.blocks[0].rows, chunk_size_of(plan)
    rows = len(first)
    dropper = Dropper(plan)
    space = first.new_empty(chunk_size, dropper.width)
    total = first.new_zeros((), dtype=torch.float64)
    gradients = [torch.zeros_like(side) for block in plan.blocks for side in block[:2]] if with_gradient else []

    for strip in strips(rows, chunk_size):
        logits = space[: strip.stop - strip.start]
        for block, columns in dropper.columns():
            torch.mm(block.rows[strip] / plan.temperature, block.candidates.T, out=logits[:, columns])
        lost, row = dropper.find(strip).take_out_(logits)
        losses, partition, sums = softmax_(logits, plan.positive_column[strip])
        total += losses.sum()
        dropper.note_removed(lost, row, partition)
        for (block, columns), by_row, by_candidate in zip(
            dropper.columns() if with_gradient else [], gradients[::2], gradients[1::2], strict=True
        ):
            torch.mm(logits[:, columns], block.candidates, out=by_row[strip])
            by_row[strip] /= sums[:, None]
            by_candidate.addmm_(logits[:, columns].T, block.rows[strip] / sums[:, None])

    for gradient in gradients:
        gradient /= rows * plan.temperature
    return (total / rows).to(first.dtype), gradients, dropper.drops()


class OnePass(torch.autograd.Function):
    """A loss whose gradients are formed with its value: they wait for `backward` and are scaled there."""

    @staticmethod
    def forward(ctx: Any, run: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
        """``run()`` gives the loss, the gradient for each of ``inputs`` (or none), and the drops."""
        loss, gradients, drops = run()
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(*drops)
        return loss, *drops

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients times the upstream scalar."""
        return None, *(gradient * upstream for gradient in ctx.saved_tensors)


def needs_gradient(*inputs: Tensor) -> bool:
    """Whether a gradient will be asked for."""
    return torch.is_grad_enabled() and any(each.requires_grad for each in inputs)


def contrast(plan: Plan) -> tuple[Float[Tensor, ""], Drops]:
    """The loss of a plan of unit vectors, differentiable once in every block's rows and candidates."""
    inputs = [side for block in plan.blocks for side in block[:2]]
    wanted = needs_gradient(*inputs)
    loss, *drops = OnePass.apply(lambda: one_pass(plan, with_gradient=wanted), *inputs)
    return loss, Drops(*drops)
