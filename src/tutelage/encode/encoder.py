"""Vectors of texts and of token batches, length-sorted under a token budget."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from sentence_transformers import SentenceTransformer
from torch import Tensor
from tqdm import tqdm

from tutelage.encode.graphs import Graphs
from tutelage.encode.lengths import pack
from tutelage.errors import ConfigError

Features = Mapping[str, Any]  # what a tokenizer returns for one column: input_ids, attention_mask ...
TOKENISED_AT_ONCE = 8192  # texts
MASK = "attention_mask"


def default_budget(device: torch.device) -> int:
    """Padded tokens in one forward pass: what fits a CPU's caches, or what fills a GPU."""
    return 768 if device.type == "cpu" else 65536


def encode(
    model: SentenceTransformer,
    texts: Sequence[str],
    *,
    prompt: str | None = None,
    token_budget: int | None = None,
    progress: str | None = None,
) -> Float[np.ndarray, "texts dim"]:
    """Unit float32 vectors of the texts, in their order; the same as ``model.encode(..., normalize_embeddings=True)``.

    A model in training is asked in the precision of its weights, as the saved one will be, not under the autocast that
    its trainer has put around it. Order and budget change the speed, not the vectors. An empty text has the vector of
    the model's special tokens.

    Args:
        model: a sentence-transformers model; it is put in evaluation mode and left there.
        texts: any number, also none.
        prompt: put before every text; default: the model's own default prompt, if it has one.
        token_budget: padded tokens in one forward pass; default: by device.
        progress: the label of a progress bar; none: silent. The bar is silent too where there is no terminal.
    """
    model.eval()
    forward = partial(type(model).forward, model)  # accelerate's autocast wraps the instance's
    prompt = default_prompt(model) if prompt is None else prompt
    budget = token_budget or default_budget(model.device)
    vectors = np.zeros((len(texts), model.get_embedding_dimension() or 0), dtype=np.float32)
    # Windows of like length: sorting by characters first keeps the padding within a window small.
    order = np.argsort([-len(text) for text in texts], kind="stable")
    with (
        tqdm(total=len(texts), desc=progress, unit=" texts", disable=None if progress else True) as bar,
        torch.inference_mode(),
    ):
        for start in range(0, len(texts), TOKENISED_AT_ONCE):
            window = order[start : start + TOKENISED_AT_ONCE]
            features = model.preprocess([texts[i] for i in window], prompt=prompt)
            if MASK not in features:  # a static embedding, or batches laid out flat: sorting by length gains nothing
                return model.encode(list(texts), prompt=prompt or "", normalize_embeddings=True)
            # Texts that the tokenizer cannot tell apart share one forward pass, so their vectors are equal to the bit.
            first, again = _distinct(features)
            found = np.empty((len(first), vectors.shape[1]), dtype=np.float32)
            for rows in pack(_lengths(features)[first], budget):
                embedded = _forward(forward, features, first[rows], model.device)
                embedded = embedded[:, : found.shape[1]].float()  # a model may be set to truncate_dim
                found[rows] = torch.nn.functional.normalize(embedded, dim=-1).cpu().numpy()
                bar.update(len(rows))
            vectors[window] = found[again]
            bar.update(len(window) - len(first))
    return vectors


def refuse_maskless(columns: Iterable[Features]) -> None:
    """Raise for a model that cannot be trained here.

    Raises:
        ConfigError: columns without an attention mask.
    """
    if any(MASK not in column for column in columns):
        raise ConfigError(
            "the encoder's texts come without an attention mask, by which they are sorted and packed: it is a static "
            "embedding (train that with sentence-transformers' own losses), or flattens its batches (load it with "
            "unpad_inputs=False)."
        )


def default_prompt(model: SentenceTransformer) -> str | None:
    """The prompt that a model was saved to put before every text, if any."""
    return model.prompts.get(model.default_prompt_name) if model.default_prompt_name else None


def distinct_rows(
    rows: Shaped[np.ndarray, "texts width"],
) -> tuple[Int64[np.ndarray, " distinct"], Int64[np.ndarray, " texts"]]:
    """Where each distinct row stands first, and which of the distinct ones each row is."""
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1])))
    _, first, again = np.unique(whole[:, 0], return_index=True, return_inverse=True)
    return first, again


def embed_columns(
    model: Callable[[Features], Features],
    columns: Iterable[Features],
    *,
    token_budget: int | None = None,
    memory_budget: float | None = None,
) -> list[Float[Tensor, "rows dim"]]:
    """Vectors, with gradient, of several tokenised columns: pooled, sorted by length, packed, and put back in order.

    Texts that the tokenizer cannot tell apart are embedded once (under dropout they share one draw). Columns that
    differ in more than their texts (a prompt's length, say) are embedded one by one, since they cannot share a pass.

    Args:
        model: from features to features with ``sentence_embedding``.
        columns: token ids, attention mask and the like of each column.
        token_budget: padded tokens in one forward pass; default: by device.
        memory_budget: GiB of graphs that are kept; mini-batches beyond are embedded again in the backward pass.
            Changes time and memory only. Default: half of the memory that is free.

    Raises:
        ConfigError: columns without an attention mask.
    """
    columns = list(columns)
    refuse_maskless(columns)
    budget = token_budget or default_budget(columns[0]["input_ids"].device)
    graphs = Graphs(model, None if memory_budget is None else int(memory_budget * 2**30))
    if len({_kind(column) for column in columns}) > 1:
        return [_embed(model, column, budget, graphs) for column in columns]
    sizes = [len(column["input_ids"]) for column in columns]
    return list(_embed(model, _pool(columns), budget, graphs).split(sizes))


def _embed(
    model: Callable[[Features], Features], features: Features, token_budget: int, graphs: Graphs
) -> Float[Tensor, "rows dim"]:
    first, again = _distinct(features)
    lengths = _lengths(features)[first]
    batches = pack(lengths, token_budget)
    embedded = torch.cat(
        [
            graphs.run(partial(_forward, model, features, first[rows]), tokens=len(rows) * int(lengths[rows[0]]))
            for rows in batches
        ]
    )
    back = np.empty(len(embedded), dtype=np.int64)
    back[np.concatenate(batches)] = np.arange(len(embedded))
    return embedded[torch.from_numpy(back[again]).to(embedded.device)]


def _distinct(features: Features) -> tuple[Int64[np.ndarray, " distinct"], Int64[np.ndarray, " texts"]]:
    """Where each distinct row of features stands first, and which of them each text is."""
    count = len(features["input_ids"])
    unused = features[MASK] == 0
    parts = [
        value.masked_fill(unused, -1) if value.shape == unused.shape else value.reshape(count, -1)
        for value in features.values()
        if _is_per_text(value, count)
    ]
    return distinct_rows(torch.cat(parts, dim=1).cpu().numpy())


def _forward(
    model: Callable[[Features], Features], features: Features, rows: Any, device: torch.device | None = None
) -> Float[Tensor, "rows dim"]:
    """One forward pass over some rows, cut to their own width, on the given device or the model's own."""
    device = device or getattr(model, "device", None)
    count, width = features["input_ids"].shape
    used = features[MASK][torch.from_numpy(rows)].any(0).nonzero()
    left, right = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, width)
    batch: dict[str, Any] = {}
    for key, value in features.items():
        if _is_per_text(value, count):
            value = value[torch.from_numpy(rows).to(value.device)]
            value = value[:, left:right] if value.ndim == 2 and value.shape[1] == width else value
            value = value.to(device) if device is not None else value
        batch[key] = value
    embedded: Tensor = model(batch)["sentence_embedding"]
    return embedded


def _lengths(features: Features) -> Any:
    return features[MASK].sum(1).cpu().numpy()


def _is_per_text(value: Any, count: int) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0 and len(value) == count


def _kind(column: Features) -> str:
    """What columns must share to meet in one forward pass: their keys, and every value that is not per text."""
    count = len(column["input_ids"])
    return repr(sorted((key, None if _is_per_text(value, count) else value) for key, value in column.items()))


def _pool(columns: Sequence[Features]) -> Features:
    """The columns' rows one under another, padded on the right to one width (masked, so the value is never read)."""
    width = max(column["input_ids"].shape[1] for column in columns)

    def widened(column: Features, key: str) -> Tensor:
        value, own = column[key], column["input_ids"].shape[1]
        return torch.nn.functional.pad(value, (0, width - own)) if value.shape[1:] == (own,) else value

    first, count = columns[0], len(columns[0]["input_ids"])
    return {
        key: torch.cat([widened(column, key) for column in columns]) if _is_per_text(value, count) else value
        for key, value in first.items()
    }
