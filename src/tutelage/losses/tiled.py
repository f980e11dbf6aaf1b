"""The contrastive loss and its gradient in one pass over strips of rows: only one strip of logits lives at a time.

For a strip of R rows the logits against all C candidates are R x C. The softmax of those rows is then complete, so
their share of every gradient is added at once and the strip forgotten: per pair and dimension 8 flops (similarity 2,
guide 2, gradients 4), nothing computed twice, memory R x C beside the vectors. The upstream gradient of a mean is a
scalar, so the gradients can be formed before it is known. What is dropped is few, and is kept as positions, never as
whole masks.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.losses.masks import RULES, Drops, IdIndex, MarginStrategy, ceiling

STRIP_BYTES = 128 * 1024 * 1024  # of logits, guide similarities and marks
FEWEST_ROWS, MOST_ROWS = 16, 256


class Block(NamedTuple):
    """One kind of candidate: who is compared with what. Vectors have length 1."""

    rows: Float[Tensor, "rows dim"]
    candidates: Float[Tensor, "candidates dim"]
    row_guide: Float[Tensor, "rows guide_dim"] | None
    candidate_guide: Float[Tensor, "candidates guide_dim"] | None
    own_is_self: bool = False  # the candidate at `positive_column` is the row itself (AA, PP), not its positive


class Plan(NamedTuple):
    """All of a loss but the encoder's vectors. The first block is AP; `positive_column` points into it."""

    blocks: Sequence[Block]
    positive_column: Int[Tensor, " rows"]
    texts: IdIndex | None  # of all candidates, block after block
    groups: IdIndex | None
    row_texts: tuple[Int[Tensor, " rows"], ...]  # ids of the row's anchor and of its positive
    row_groups: tuple[Int[Tensor, " rows"], ...]
    temperature: float
    margin: float
    margin_strategy: MarginStrategy
    chunk_size: int | None


class Strips(NamedTuple):
    """What one pass gives: the loss, its gradient for the two sides of each block, and the counts."""

    loss: Float[Tensor, ""]
    gradients: list[tuple[Tensor, Tensor]]
    drops: Drops


def default_chunk_size(candidates: int, itemsize: int) -> int:
    """Rows of a strip so that its buffers stay within `STRIP_BYTES`."""
    return min(max(STRIP_BYTES // (candidates * (2 * itemsize + 1)), FEWEST_ROWS), MOST_ROWS)


@torch.no_grad()
def one_pass(plan: Plan, *, with_gradient: bool) -> Strips:
    """Mean over rows of logsumexp(kept logits) - logit of the positive, with its gradient."""
    first = plan.blocks[0].rows
    rows, sizes = len(first), [len(block.candidates) for block in plan.blocks]
    starts = [sum(sizes[:b]) for b in range(len(sizes))]
    width = sum(sizes)
    chunk = min(plan.chunk_size or default_chunk_size(width, first.element_size()), rows)
    logits = first.new_empty(chunk, width)
    guide = first.new_empty(chunk * max(sizes))
    dropped = torch.zeros(chunk * width, dtype=torch.bool, device=first.device)
    gradients = (
        [(torch.zeros_like(b.rows), torch.zeros_like(b.candidates)) for b in plan.blocks] if with_gradient else []
    )
    counts = torch.zeros(len(RULES), dtype=torch.int64, device=first.device)
    total = first.new_zeros((), dtype=torch.float64)
    removed = first.new_zeros((), dtype=torch.float64)

    for start in range(0, rows, chunk):
        strip = slice(start, min(start + chunk, rows))
        count = strip.stop - start
        now, positive = logits[:count], plan.positive_column[strip]
        line = torch.arange(count, device=first.device)
        for block, left, size in zip(plan.blocks, starts, sizes, strict=True):
            torch.mm(block.rows[strip] / plan.temperature, block.candidates.T, out=now[:, left : left + size])

        by_self, by_rule = _dropped(plan, strip, starts, width, guide, dropped, counts)
        positive_logit = now[line, positive]
        lost = now.view(-1)[by_rule]
        now.view(-1)[by_self] = -torch.inf
        now.view(-1)[by_rule] = -torch.inf
        highest = now.amax(1)
        sums = now.sub_(highest[:, None]).exp_().sum(1)
        partition = highest + sums.log()
        total += (partition - positive_logit).sum()
        removed += _removed_share(lost, by_rule // width, partition)

        if with_gradient:
            now[line, positive] -= sums  # softmax minus one-hot, before the division by the row sums
            for block, left, size, (by_row, by_candidate) in zip(plan.blocks, starts, sizes, gradients, strict=True):
                weight = now[:, left : left + size]
                torch.mm(weight, block.candidates, out=by_row[strip])
                by_row[strip] /= sums[:, None]
                by_candidate.addmm_(weight.T, block.rows[strip] / sums[:, None])

    for pair in gradients:
        for gradient in pair:
            gradient /= rows * plan.temperature
    candidates = torch.tensor(rows * width - rows, device=first.device)
    return Strips((total / rows).to(first.dtype), gradients, Drops(counts, candidates, removed / rows))


def _dropped(
    plan: Plan,
    strip: slice,
    starts: Sequence[int],
    width: int,
    guide: Float[Tensor, " space"],
    marks: Bool[Tensor, " marks"],
    counts: Int[Tensor, " rules"],
) -> tuple[Int[Tensor, " itself"], Int[Tensor, " others"]]:
    """Flat positions, in the strip, of the candidates that leave: the rows themselves, and what the other rules drop.

    Each is counted under the first rule that drops it. ``marks`` (all false) is working space for "already seen" and
    is clean again afterwards.
    """
    line = torch.arange(strip.stop - strip.start, device=counts.device) * width
    own = line + plan.positive_column[strip]
    marks[own] = True  # the positive stays, whatever a rule says
    found = []
    for rule, positions in enumerate(_rules(plan, strip, starts, line, guide)):
        new = positions[~marks[positions]].unique()
        marks[new] = True
        counts[rule] += len(new)
        found.append(new)
    by_self, by_rule = found[0], torch.cat(found[1:])
    for seen in (own, by_self, by_rule):
        marks[seen] = False
    return by_self, by_rule


def _rules(
    plan: Plan, strip: slice, starts: Sequence[int], line: Int[Tensor, " strip"], guide: Float[Tensor, " space"]
) -> list[Int[Tensor, " found"]]:
    """What each of `RULES` would drop, as flat positions in the strip; ``line`` is where its rows begin."""
    own = line + plan.positive_column[strip]
    by_self = [own + left for left, block in zip(starts, plan.blocks, strict=True) if block.own_is_self]
    return [
        torch.cat([own[:0], *by_self]),
        _equal(plan.texts, plan.row_texts, strip, line),
        _equal(plan.groups, plan.row_groups, strip, line),
        _above_ceiling(plan, strip, starts, line, guide),
    ]


def _equal(
    index: IdIndex | None, ids: tuple[Int[Tensor, " rows"], ...], strip: slice, line: Int[Tensor, " strip"]
) -> Int[Tensor, " found"]:
    """Positions of the candidates that carry one of the row's ids."""
    if index is None:
        return line[:0]
    found = [index.find(each[strip]) for each in ids]
    return torch.cat([line[row] + column for row, column in found])


def _above_ceiling(
    plan: Plan, strip: slice, starts: Sequence[int], line: Int[Tensor, " strip"], space: Float[Tensor, " space"]
) -> Int[Tensor, " found"]:
    """Positions of the candidates whose guide similarity exceeds the row's ceiling."""
    found, limit = [line[:0]], None
    for block, left in zip(plan.blocks, starts, strict=True):
        if block.row_guide is None or block.candidate_guide is None:
            continue
        sim = space[: len(line) * len(block.candidate_guide)].view(len(line), -1)
        torch.mm(block.row_guide[strip], block.candidate_guide.T, out=sim)
        if limit is None:
            # Read from the same product as the candidates' similarities, so that an equal text is level with it.
            limit = ceiling(sim.gather(1, plan.positive_column[strip, None])[:, 0], plan.margin, plan.margin_strategy)
        row, column = (sim > limit[:, None]).nonzero(as_tuple=True)
        found.append(line[row] + left + column)
    return torch.cat(found)


def _removed_share(
    lost: Float[Tensor, " found"], row: Int[Tensor, " found"], partition: Float[Tensor, " strip"]
) -> Float[Tensor, ""]:
    """Sum over rows of Z_dropped / (Z_dropped + Z_kept), in float64: exponents reach 2 / T."""
    ratio = (lost.double() - partition.double()[row]).exp()
    ratio = torch.zeros_like(partition, dtype=torch.float64).index_add_(0, row, ratio)
    return (ratio / (1 + ratio)).nan_to_num(1.0).sum()


class TiledContrast(torch.autograd.Function):
    """`one_pass` for autograd: the vectors of every block, rows then candidates, go in; loss and drops come out."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, with_gradient: bool, *vectors: Tensor) -> tuple[Tensor, ...]:
        """Loss, counts, candidates, removed share; gradients wait for `backward`."""
        result = one_pass(plan, with_gradient=with_gradient)
        ctx.save_for_backward(*(gradient for pair in result.gradients for gradient in pair))
        ctx.mark_non_differentiable(*result.drops)
        return result.loss, *result.drops

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the one pass, times the upstream scalar."""
        return None, None, *(gradient * upstream for gradient in ctx.saved_tensors)


def contrast(plan: Plan) -> tuple[Float[Tensor, ""], Drops]:
    """The loss of a plan, differentiable once in every block's ``rows`` and ``candidates``."""
    vectors = [side for block in plan.blocks for side in (block.rows, block.candidates)]
    needed = torch.is_grad_enabled() and any(side.requires_grad for side in vectors)
    loss, *drops = TiledContrast.apply(plan, needed, *vectors)
    return loss, Drops(*drops)
