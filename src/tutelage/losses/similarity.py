"""Vectors of length 1, in a dtype that can hold their products."""

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
