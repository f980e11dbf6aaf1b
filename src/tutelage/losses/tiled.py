"""The contrastive loss and its gradient in one pass over strips of rows: only one strip of logits lives at a time.

For a strip of R rows the logits against all C candidates are C x R, made tile by tile, each exponentiated at once
below the highest logit so far. The softmax of those rows is then complete, so their share of every gradient is added
and the strip forgotten: per pair and dimension 8 flops (similarity 2, guide 2, gradients 4), nothing computed twice,
memory C x R beside the vectors. The upstream gradient of a mean is a scalar, so the gradients can be formed before it
is known.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.losses.masks import Drops
from tutelage.losses.rules import Dropper, Found, Plan, Tile
from tutelage.losses.screen import products

STRIP_BYTES = 256 * 1024 * 1024  # of a strip's buffers
FEWEST_ROWS, MOST_ROWS = 16, 1024
DROPPED = 1e30  # what a dropped logit is lowered by, to see who is highest without it
FURTHEST = 60.0  # so far above the highest that stays, a dropped logit counts as no higher (only `removed` sees it)


def chunk_size_of(plan: Plan, buffers: int = 1) -> int:
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
        positive_logit: of each row.
        partitions: softmaxes of a row.
        space: at least as many numbers as the largest tile has, to work in.
    """

    def __init__(
        self, positive_logit: Float[Tensor, " strip"], partitions: int, space: Float[Tensor, " space"]
    ) -> None:
        self.positive_logit, self._space = positive_logit, space
        # The positive is never dropped, so no row's highest logit is below it.
        self.highest = positive_logit.expand(partitions, -1).clone()
        self.sums, self.lost = (torch.zeros_like(self.highest) for _ in range(2))
        self._shifts: dict[int, tuple[int, Tensor]] = {}

    def meet_(self, tile: Tile, logits: Float[Tensor, "tile strip"], dropped: Float[Tensor, "tile strip"]) -> None:
        """In place: logits become exp(logit - the highest one so far), 0 where ``dropped`` is 1."""
        at, work = tile.block.partition, self._space[: logits.numel()].view(logits.shape)
        before = self.highest[at]
        highest = torch.maximum(before, torch.sub(logits, dropped, alpha=DROPPED, out=work).amax(0))
        logits.sub_(highest).clamp_(max=FURTHEST).exp_()
        logits -= torch.mul(logits, dropped, out=work)
        fade = (before - highest).exp()
        self.sums[at] = self.sums[at] * fade + logits.sum(0)
        self.lost[at] = self.lost[at] * fade + work.sum(0)
        self.highest[at] = highest
        self._shifts[tile.columns.start] = at, highest

    def losses(self) -> Float[Tensor, " strip"]:
        """Of the rows, after the last tile: the mean log of their partition functions less the positive's logit."""
        return (self.highest + self.sums.log()).mean(0) - self.positive_logit

    def removed(self) -> Float[Tensor, ""]:
        """Sum over the rows of the mean share of a partition function that was dropped."""
        return (self.lost / (self.lost + self.sums)).mean(0).sum()

    def weights_(self, tile: Tile, exponentials: Float[Tensor, "tile strip"], found: Found) -> None:
        """In place: what `meet_` left becomes dloss/dlogit, softmax less one-hot over the number of softmaxes."""
        at, shift = self._shifts[tile.columns.start]
        count = len(self.sums)
        exponentials *= (shift - self.highest[at]).exp() / (self.sums[at] * count)
        if tile.number == 0:
            own = (self.positive_logit - self.highest[0]).exp() / (self.sums[0] * count) - 1
            exponentials.view(-1)[found.own] = own[found.own_row]


@torch.no_grad()
def one_pass(plan: Plan, *, with_gradient: bool) -> tuple[Tensor, list[Tensor], Drops]:
    """The mean over rows of logsumexp(kept logits) - logit of the positive, its gradients, and what was dropped.

    Gradients come for the plan's `vectors`, in their order.
    """
    first, chunk_size = plan.blocks[0].rows, chunk_size_of(plan)
    rows = len(first)
    dropper = Dropper(plan, chunk_size)
    space, work = (first.new_empty(count * chunk_size) for count in (dropper.width, dropper.widest))
    total, removed = (first.new_zeros((), dtype=torch.float64) for _ in range(2))
    gradients = {id(each): torch.zeros_like(each) for each in (plan.vectors if with_gradient else [])}

    for strip in strips(rows, chunk_size):
        count = strip.stop - strip.start
        logits = space[: dropper.width * count].view(dropper.width, count)
        scaled = [block.rows[strip] * (block.hardness / plan.temperature) for block in plan.blocks]
        line, own = torch.arange(count, device=first.device), plan.positive_column[strip]
        positive_logit = products(first[strip], plan.blocks[0].candidates, line, own) / plan.temperature
        softmax, met = Softmax(positive_logit, plan.partitions, work), []
        for tile, found in dropper.find(strip):
            part = logits[tile.columns]
            torch.mm(tile.block.candidates[tile.part], scaled[tile.number].T, out=part)
            found.correct_(part.view(-1), positive_logit, plan.rescaling)
            softmax.meet_(tile, part, found.dropped)
            met.append((tile, found))
        total += softmax.losses().sum()
        removed += softmax.removed()
        for tile, found in met if with_gradient else []:
            weights = logits[tile.columns]
            softmax.weights_(tile, weights, found)
            gradients[id(tile.block.candidates)][tile.part].addmm_(weights, tile.block.rows[strip])
            gradients[id(tile.block.rows)][strip].addmm_(weights.T, tile.block.candidates[tile.part])

    formed = [gradient.div_(rows * plan.temperature) for gradient in gradients.values()]
    return (total / rows).to(first.dtype), formed, dropper.drops(removed / rows)


class OnePass(torch.autograd.Function):
    """A loss whose gradients are formed with its value: they wait for `backward` and are scaled there."""

    @staticmethod
    def forward(ctx: Any, run: Callable[[], Any], *inputs: Tensor) -> tuple[Tensor, ...]:
        """``run()`` gives the loss, the gradient for each of ``inputs`` (or none), and the drops."""
        with torch.autocast(inputs[0].device.type, enabled=False):  # products of 16 bits would blur logits
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
