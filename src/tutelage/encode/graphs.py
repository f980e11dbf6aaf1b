"""Graphs within a memory budget: some mini-batches keep theirs, the rest are embedded again in the backward pass.

The cached losses of sentence-transformers (GradCache, arXiv:2101.06983) embed every mini-batch twice: 8 units of work
where 6 would do. Here as many graphs are kept as the budget holds. What the others need is gradient checkpointing, one
mini-batch at a time: PyTorch's own replays dropout and autocast, works under any loss, and two forward passes before
one backward are two independent things.
"""

from collections.abc import Callable

import psutil
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

MEASURED = 2  # mini-batches whose graphs are weighed; the first may hold what all share (weights cast by autocast)


def free_memory(device: torch.device) -> int:
    """Bytes that could be had on a device now."""
    if device.type != "cuda":
        return psutil.virtual_memory().available
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


class Graphs:
    """Runs the mini-batches of one batch so that the graphs kept stay within a budget.

    Args:
        model: whose parameters do not count.
        budget_bytes: for kept graphs; 0 keeps none. Default: half of the memory that is free now. The graph of the
            mini-batch at work comes on top.

    Example::

        graphs = Graphs(model, budget_bytes=2 * 2**30)
        vectors = torch.cat([graphs.run(lambda rows=rows: embed(rows), tokens=rows.size) for rows in mini_batches])
    """

    def __init__(self, model: object, budget_bytes: int | None = None) -> None:
        parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
        device = parameters[0].device if parameters else torch.device("cpu")
        # The generator of this tensor's device is put back before a mini-batch is embedded again.
        self._device = torch.empty(0, device=device)
        self.left = free_memory(device) // 2 if budget_bytes is None else budget_bytes
        self._bytes_per_token: float = 0.0
        self._weighed = 0
        self._seen = {each.untyped_storage().data_ptr() for each in parameters}

    def run(self, forward: Callable[[], Tensor], tokens: int) -> Tensor:
        """``forward()``, its graph kept or not; ``tokens`` counts what it computes, padding included."""
        if not torch.is_grad_enabled():
            return forward()
        if self.left <= 0 or tokens * self._bytes_per_token > self.left:
            return checkpoint(lambda _: forward(), self._device, use_reentrant=False)
        if self._weighed < MEASURED:
            return self._weigh(forward, tokens)
        self.left -= int(tokens * self._bytes_per_token)
        return forward()

    def _weigh(self, forward: Callable[[], Tensor], tokens: int) -> Tensor:
        """``forward()``, its graph kept and weighed: every storage that autograd saves, once."""
        saved = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal saved
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._seen:
                self._seen.add(storage.data_ptr())
                saved += storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            embedded = forward()
        self.left -= saved
        self._bytes_per_token = saved / max(tokens, 1)
        self._weighed += 1
        return embedded
