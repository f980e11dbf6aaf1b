"""WiSE-FT: a fine-tuned model's weights, taken part of the way back to where they started (arXiv:2109.01903).

Far from its start a model has learned most and forgotten most; on texts unlike the training ones, part of the way is
often the best place.
"""

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


def weights_of(model: nn.Module) -> Weights:
    """Parameter -> a copy on the CPU; one that is tied to another stands once."""
    return {name: value.detach().to("cpu", copy=True) for name, value in model.named_parameters()}


@torch.no_grad()
def interpolate(model: nn.Module, start: Weights, alpha: float) -> None:
    """Put ``start + alpha (now - start)`` into every parameter; 1 leaves the model as it is, 0 puts ``start`` back.

    Args:
        model: changed in place.
        start: `weights_of` the model as it was.
        alpha: the share of the way, 0 to 1.

    Example::

        start = weights_of(model)
        trainer.train()
        interpolate(model, start, 0.7)
    """
    for name, value in model.named_parameters():
        value.lerp_(start[name].to(value.device, value.dtype), 1 - alpha)
