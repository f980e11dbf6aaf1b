"""Cosine similarity by matmul, in a dtype that can hold it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def unit(vectors: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts dim"]:
    """Vectors of length 1 in at least float32 (16-bit inputs are widened first); a zero vector stays zero."""
    wide = torch.promote_types(vectors.dtype, torch.float32)
    return F.normalize(vectors.to(wide), dim=-1)


def cosine(
    rows: Float[Tensor, "rows dim"], candidates: Float[Tensor, "candidates dim"]
) -> Float[Tensor, "rows candidates"]:
    """rows · candidatesᵀ of unit vectors. Autocast is held off: 16-bit products would blur logits at T = 0.01."""
    with torch.autocast(rows.device.type, enabled=False):
        return rows @ candidates.T
