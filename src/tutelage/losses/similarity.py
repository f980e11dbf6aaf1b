"""Vectors of length 1, in a dtype that can hold their products."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def widen(vectors: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts dim"]:
    """At least float32: products of 16-bit vectors would blur logits at T = 0.01."""
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))


def unit(vectors: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts dim"]:
    """Vectors of length 1 in at least float32; a zero vector stays zero."""
    return F.normalize(widen(vectors), dim=-1)


def unit_slices(vectors: Float[Tensor, "texts dim"], widths: Sequence[int]) -> Float[Tensor, "texts dim"]:
    """Vectors whose consecutive slices of these widths have length 1, each by itself.

    Raises:
        ValueError: the widths do not add up to the vectors' own.
    """
    if sum(widths) != vectors.shape[1] or min(widths) < 1:
        raise ValueError(f"guide_dims are {list(widths)}; wanted widths above 0 that add up to {vectors.shape[1]}.")
    return torch.cat([unit(part) for part in vectors.split(list(widths), dim=1)], dim=1)
