"""The contrastive loss and its gradient in one pass over strips of rows: only one strip of logits lives at a time.

For a strip of R rows the logits against all C candidates are R x C, made tile by tile. The softmax of those rows is
then complete, so their share of every gradient is added at once and the strip forgotten: per pair and dimension 8 flops
(similarity 2, guide 2, gradients 4), nothing computed twice, memory R x C beside the vectors. The upstream gradient of
a mean is a scalar, so the gradients can be formed before it is known.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.losses.masks import Drops
from tutelage.losses.rules import Dropper, Plan, Tile

STRIP_BYTES = 256 * 1024 * 1024  # of a strip's buffers
FEWEST_ROWS, MOST_ROWS = 16, 512


def chunk_size_of(plan: Plan, buffers: int = 2) -> int:
    """Rows of a strip: the plan's own choice, or as many as `STRIP_BYTES` hold in so many buffers."""
    first, width = plan.blocks[0].rows, sum(len(block.candidates) for block in plan.blocks)
    fitting = STRIP_BYTES // (width * buffers * first.element_size())
    return min(plan.chunk_size or min(max(fitting, FEWEST_ROWS), MOST_ROWS), len(first))


def strips(rows: int, chunk_size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``chunk_size`` rows."""
    return (slice(start, min(start + chunk_size, rows)) for start in range(0, rows, chunk_size))


class Softmax:
    """The softmaxes of a strip's rows, one for each partition, over tiles that arrive one by one.

    Args:
        logits: the strip's logits, to be filled.
        partitions: softmaxes of a row.

    Attributes:
        sums: after `weigh_`, what each weight of a partition must be divided by.
    """

    def __init__(self, logits: Float[Tensor, "strip candidates"], partitions: int) -> None:
        self.logits, self.flat = logits, logits.view(-1)
        self.highest = logits.new_full((partitions, len(logits)), -torch.inf)
        self.sums = torch.zeros_like(self.highest)
        self.lost: list[tuple[Tensor, Tensor, int]] = []

    def meet(self, tile: Tile, lost: Float[Tensor, " lost"], position: Int[Tensor, " lost"]) -> None:
        """A tile is filled; these of its logits were dropped."""
        highest = self.highest[tile.block.partition]
        torch.maximum(highest, self.logits[:, tile.columns].amax(1), out=highest)
        self.lost.append((lost, position // self.logits.shape[1], tile.block.partition))

    def weigh_(self, tiles: Sequence[Tile], positive: Int[Tensor, " strip"]) -> tuple[Tensor, Tensor]:
        """In place: logits become softmax minus one-hot of the mean over partitions, times ``sums``.

        Returns:
            The rows' losses, and the log of every partition function.
        """
        line, count = torch.arange(len(self.logits), device=self.logits.device), len(self.sums)
        positive_logit = self.logits[line, positive]
        for tile in tiles:
            part, partition = self.logits[:, tile.columns], tile.block.partition
            part.sub_(self.highest[partition][:, None]).exp_()
            self.sums[partition] += part.sum(1)
        partition_log = self.highest + self.sums.log()
        self.sums *= count
        self.logits[line, positive] -= self.sums[0]
        return partition_log.mean(0) - positive_logit, partition_log

    def note_removed(self, dropper: Dropper, partition_log: Float[Tensor, "partitions strip"]) -> None:
        """Tell what share of each partition function was dropped."""
        for partition, log in enumerate(partition_log):
            mine = [(lost, row) for lost, row, at in self.lost if at == partition]
            dropper.note_removed(torch.cat([lost for lost, _ in mine]), torch.cat([row for _, row in mine]), log)


@torch.no_grad()
def one_pass(plan: Plan, *, with_gradient: bool) -> tuple[Tensor, list[Tensor], Drops]:
    """The mean over rows of logsumexp(kept logits) - logit of the positive, its gradients, and what was dropped.

    Gradients come for the plan's `vectors`, in their order.
    """
    first, chunk_size = plan.blocks[0].rows, chunk_size_of(plan)
    rows = len(first)
    dropper = Dropper(plan, chunk_size)
    space = first.new_empty(chunk_size, dropper.width)
    total = first.new_zeros((), dtype=torch.float64)
    gradients = {id(each): torch.zeros_like(each) for each in (plan.vectors if with_gradient else [])}

    for strip in strips(rows, chunk_size):
        softmax = Softmax(space[: strip.stop - strip.start], plan.partitions)
        scaled = [block.rows[strip] * (block.hardness / plan.temperature) for block in plan.blocks]
        for tile, found in dropper.find(strip):
            candidates = tile.block.candidates[tile.part]
            torch.mm(scaled[tile.number], candidates.T, out=softmax.logits[:, tile.columns])
            softmax.meet(tile, found.apply_(softmax.flat, plan.rescaling), found.lost)
        losses, partition_log = softmax.weigh_(dropper.tiles, plan.positive_column[strip])
        total += losses.sum()
        softmax.note_removed(dropper, partition_log)
        for number, block in enumerate(plan.blocks if with_gradient else []):
            sums = softmax.sums[block.partition][:, None]
            shares, by_row = block.rows[strip] / sums, torch.zeros_like(block.rows[strip])
            for tile in dropper.tiles_of(number):
                weights = softmax.logits[:, tile.columns]
                by_row.addmm_(weights, block.candidates[tile.part])
                gradients[id(block.candidates)][tile.part].addmm_(weights.T, shares)
            gradients[id(block.rows)][strip] += by_row / sums

    formed = [gradient.div_(rows * plan.temperature) for gradient in gradients.values()]
    return (total / rows).to(first.dtype), formed, dropper.drops()


class OnePass(torch.autograd.Function):
    """A loss whose gradients are formed with its value: they wait for `backward` and are scaled there."""

    @staticmethod
    def forward(ctx: Any, run: Callable[[], Any], *inputs: Tensor) -> tuple[Tensor, ...]:
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
    wanted = needs_gradient(*plan.vectors)
    loss, *drops = OnePass.apply(lambda: one_pass(plan, with_gradient=wanted), *plan.vectors)
    return loss, Drops(*drops)
