"""Vectors of length 1, in a dtype that can hold their products."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def unit(vectors: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts dim"]:
    """Vectors of length 1 in at least float32 (16-bit inputs are widened first); a zero vector stays zero."""
    wide = torch.promote_types(vectors.dtype, torch.float32)
    return F.normalize(vectors.to(wide), dim=-1)
