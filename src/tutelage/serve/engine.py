"""What turns texts into vectors at work: a model's folder behind one small interface, whatever runs it.

Index, matcher, server and export know engines, never models.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import default_prompt, encode
from tutelage.encode.models import load_model
from tutelage.errors import ConfigError
from tutelage.guide.fingerprint import of_model, short
from tutelage.serve.onnx_folder import folder_of, has_weights

REPORT = "report.json"  # what a run leaves beside the weights
SPECIAL_TOKENS = 4  # around a text, at most
COUNTED_AT_ONCE = 1024  # texts
Kind = Literal["auto", "torch", "onnx", "onnx-int8"]


@runtime_checkable
class Engine(Protocol):
    """Texts in, unit vectors out.

    ``name`` is what clients call the model by; ``dims`` are the widths it was trained for, the whole one first;
    ``fingerprint`` stands for weights, tokenizer, pooling and prompt: vectors of equal fingerprint may be compared.
    """

    name: str
    dims: tuple[int, ...]
    max_length: int
    prompts: Mapping[str, str | None]
    default_prompt: str | None
    fingerprint: str

    def encode(
        self, texts: Sequence[str], *, prompt: str | None = None, progress: str | None = None
    ) -> Float[np.ndarray, "texts dim"]:
        """Unit float32 vectors, in order; ``prompt`` is put before every text (default: the model's own)."""
        ...

    def tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[list[int]]:
        """Token ids of each text, special tokens included, not cut at ``max_length``.

        May be called while `encode` runs in another thread.
        """
        ...

    def pieces(self, ids: Sequence[int]) -> list[tuple[str, bool]]:
        """Each token as the tokenizer spells it, and whether it is a special one."""
        ...


class TorchEngine:
    """A sentence-transformers model as an engine.

    Example::

        engine = load_engine("runs/demo/model")
        engine.encode(["senior java dev"]).shape
    """

    def __init__(self, model: SentenceTransformer, name: str, dims: Sequence[int] = ()):
        self.model, self.name = model, name
        width = model.get_embedding_dimension() or 0
        self.dims = (width, *sorted((dim for dim in dims if dim < width), reverse=True))
        self.max_length = int(model.max_seq_length or 0)
        self.prompts: Mapping[str, str | None] = model.prompts
        self.default_prompt = default_prompt(model)
        self.fingerprint = short(of_model(model))
        # A tokenizer of its own for counting: truncation is a setting of the tokenizer, which encode() turns on.
        self._counting = copy.deepcopy(model.tokenizer)

    def encode(
        self, texts: Sequence[str], *, prompt: str | None = None, progress: str | None = None
    ) -> Float[np.ndarray, "texts dim"]:
        """`tutelage.encode.encoder.encode`."""
        return encode(self.model, texts, prompt=prompt, progress=progress)

    def tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[list[int]]:
        """Token ids as the model would see them, uncut."""
        prompt = (self.default_prompt if prompt is None else prompt) or ""
        found = self._counting([prompt + text for text in texts], truncation=False, verbose=False)
        ids: list[list[int]] = found["input_ids"]
        return ids

    def pieces(self, ids: Sequence[int]) -> list[tuple[str, bool]]:
        """As the tokenizer spells them."""
        special = {*self._counting.all_special_ids}
        texts = self._counting.convert_ids_to_tokens(list(ids))
        return [(text, each in special) for text, each in zip(texts, ids, strict=True)]


def load_engine(name: str, kind: Kind = "auto") -> Engine:
    """The engine of a model folder or name.

    Args:
        name: as `tutelage.encode.models.load_model`.
        kind: ``torch``, ``onnx`` or ``onnx-int8`` (of the folder's export); ``auto``: torch, but the export where a
            folder holds no weights.

    Raises:
        ConfigError: the model, or its export, cannot be had.
        CacheMismatch: an export that was made of other weights than the folder holds.
    """
    folder = Path(name)
    if kind == "auto":
        kind = "onnx" if folder_of(folder) and not has_weights(folder) else "torch"
    if kind == "torch":
        return TorchEngine(load_model(name), name_of(name), trained_dims(name))
    try:
        from tutelage.serve.onnx_engine import open_onnx
    except ModuleNotFoundError as fault:
        raise ConfigError(f'engine {kind} needs {fault.name}: pip install "tutelage[serve]".') from None
    return open_onnx(name, kind, name_of(name))


def cut(vectors: Float[np.ndarray, "texts whole"], dim: int) -> Float[np.ndarray, "texts dim"]:
    """The first ``dim`` numbers, scaled to length 1 again; at the whole width the vectors as they are."""
    if dim == vectors.shape[1]:
        return vectors
    first = vectors[:, :dim]
    return first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def count_truncated(engine: Engine, texts: Sequence[str], *, prompt: str | None = None) -> int:
    """How many of the texts are longer than the model reads: their ends are not in their vectors.

    Only texts that have as many bytes as the model reads tokens are counted out.
    """
    if not engine.max_length:  # without a limit
        return 0
    before = len(((engine.default_prompt if prompt is None else prompt) or "").encode())
    long = [text for text in texts if before + len(text.encode()) + SPECIAL_TOKENS > engine.max_length]
    parts = (long[start : start + COUNTED_AT_ONCE] for start in range(0, len(long), COUNTED_AT_ONCE))
    return sum(len(ids) > engine.max_length for part in parts for ids in engine.tokens(part, prompt=prompt))


def name_of(name: str) -> str:
    """What clients call a model by: the run's name for ``runs/NAME/model``, else the last part.

    >>> name_of("runs/demo/model"), name_of("sentence-transformers/all-MiniLM-L6-v2")
    ('demo', 'all-MiniLM-L6-v2')
    """
    path = Path(name)
    return path.parent.name if path.name == "model" and path.parent.name else path.name


def trained_dims(name: str) -> tuple[int, ...]:
    """The Matryoshka widths that the run behind a model folder trained; none where there is no report."""
    report = Path(name) / REPORT
    if not report.is_file():
        return ()
    recipe = json.loads(report.read_text(encoding="utf-8")).get("recipe", {})
    return tuple(recipe.get("loss", {}).get("dims") or ())
