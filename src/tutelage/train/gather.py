"""Candidates of every rank: gathered once, with gradients summed back. Nothing else in the library knows ranks.

A rank's loss is the mean over its own rows, which meet the candidates of all ranks. DDP averages the gradients of the
ranks, so n ranks give the gradient of one process on the whole batch.
"""

from collections.abc import Callable
from typing import Any

import torch
from sentence_transformers.util import all_gather, all_gather_with_grad, get_rank, get_world_size
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tutelage.errors import DataError
from tutelage.losses import Embedded

Columns = tuple[Embedded, Embedded, Embedded | None]


def over_ranks(anchor: Embedded, positive: Embedded, negative: Embedded | None) -> tuple[Columns, dict[str, Any]]:
    """This rank's anchors, every rank's positives and negatives, and what tells the loss where a row's own stand.

    With one process: what was given, and nothing.

    Returns:
        anchor, positive, negative; and keyword arguments of `tutelage.losses.guided_contrastive`.

    Raises:
        DataError: the ranks have batches of different sizes.
    """
    ranks, rows = get_world_size(), len(anchor.vectors)
    if ranks == 1:
        return (anchor, positive, negative), {}
    sizes = all_gather(torch.tensor([rows], device=anchor.vectors.device)).tolist()
    if len(set(sizes)) > 1:
        raise DataError(f"the ranks have batches of {sizes} rows; one size is wanted. Set dataloader_drop_last=True.")
    device = anchor.vectors.device
    where = {
        "anchor_candidates": gathered(anchor),
        "positive_column": torch.arange(rows, device=device) + get_rank() * rows,
    }
    if negative is not None:
        # Each rank's negatives stand together: all its rows' first ones, then all its rows' second ones ...
        row = torch.arange(len(negative.vectors), device=device) % rows
        where["negative_row"] = torch.cat([row + rank * rows for rank in range(ranks)])
        negative = gathered(negative)
    return (anchor, gathered(positive), negative), where


class EnteredOnce(nn.Module):
    """A model whose mini-batches, and those embedded again in the backward pass, count as one forward pass for DDP.

    DDP makes its bucket of gradients ready whenever it is entered; entered in the middle of a backward pass, it would
    lose what it has. So its forward runs for the first mini-batch, and the bare model's for the others.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._next: Callable[..., Any] = model

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return next(self.parameters()).device

    def forward(self, features: Any) -> Any:
        """As the model's."""
        run = self._next
        if isinstance(self.model, DistributedDataParallel):
            self._next = self.model.module
        return run(features)


def gathered(column: Embedded) -> Embedded:
    """A column of every rank, in the order of the ranks; gradients come back to the rank that they belong to."""
    others = (column.guide, column.text_id, column.group_id)
    return Embedded(
        all_gather_with_grad(column.vectors),
        *(None if part is None else all_gather(part.contiguous()) for part in others),
    )
