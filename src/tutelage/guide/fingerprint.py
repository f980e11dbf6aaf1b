"""What identifies a set of guide vectors: the guide's weights, tokenizer, pooling and prompt, and the texts."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import default_prompt

Fingerprint = Mapping[str, str]  # field -> digest or plain value; two stores agree when all fields do


def of_model(model: SentenceTransformer, prompt: str | None = None) -> dict[str, str]:
    """Fields of a sentence-transformers model: every tensor, the modules' settings, the tokenizer and the prompt.

    The name of the model does not count: the same weights under another path are the same guide.
    """
    weights = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        weights.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return {
        "weights": weights.hexdigest(),
        "modules": digest([[type(module).__name__, _settings(module)] for module in model]),
        "tokenizer": digest(_tokenizer(model.tokenizer)),
        "max_length": str(model.max_seq_length),
        "dim": str(model.get_embedding_dimension()),
        "prompt": (default_prompt(model) if prompt is None else prompt) or "",
    }


def _tokenizer(tokenizer: Any) -> Any:
    """Vocabulary and rules; padding and truncation are left out, since every call sets them anew."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return repr(tokenizer)
    return {key: value for key, value in json.loads(backend.to_str()).items() if key not in ("padding", "truncation")}


def _settings(module: torch.nn.Module) -> Any:
    """Pooling mode and the like, as the module would save them."""
    describe = getattr(module, "get_config_dict", None)
    return describe() if describe is not None else ""


def of_texts(ids: Int64[np.ndarray, " texts"]) -> str:
    """Digest of a set of text ids; order and repetition do not count."""
    return sha256(np.unique(ids).tobytes()).hexdigest()


def digest(value: Any) -> str:
    """Short digest of anything that JSON can hold; what it cannot hold counts by its ``repr``."""
    return sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()


def differences(held: Fingerprint, wanted: Fingerprint) -> list[str]:
    """Names of the fields that differ, in the order of ``wanted``."""
    return [field for field in {**wanted, **held} if held.get(field) != wanted.get(field)]


def short(fingerprint: Fingerprint) -> str:
    """Twelve hexadecimal digits that stand for all fields."""
    return digest(dict(fingerprint))[:12]
