"""Token ids of all training texts, tokenised once and kept in one flat array."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Int32, Int64
from sentence_transformers import SentenceTransformer
from tqdm import tqdm

from tutelage.encode.encoder import TOKENISED_AT_ONCE, Features

KNOWN = {"input_ids", "attention_mask", "token_type_ids"}


class Tokens:
    """Stands in for a model's ``preprocess``: texts it knows are looked up, others are tokenised as ever.

    Epochs, columns and losses then share one tokenisation; a batch costs a slice and a padding.

    Attributes:
        flat: the ids of all texts, one after another.
        starts: where each text's ids begin, and the end of the last.

    Example::

        tokens = Tokens.of(model, dataset["anchor"][:] + dataset["positive"][:])
        features = tokens(["nurse", "RN"])  # as model.preprocess(["nurse", "RN"])
    """

    def __init__(
        self,
        model: SentenceTransformer,
        texts: Sequence[str],
        flat: Int32[np.ndarray, " tokens"],
        starts: Int64[np.ndarray, " texts_and_end"],
        constant: dict[str, Any],
    ) -> None:
        self.flat, self.starts = flat, starts
        self._model, self._constant = model, constant
        self._row = {text: row for row, text in enumerate(texts)}
        self._padding = model.tokenizer.pad_token_id
        self._left = model.tokenizer.padding_side == "left"

    @classmethod
    def of(cls, model: SentenceTransformer, texts: Iterable[str]) -> "Tokens | None":
        """All distinct texts tokenised, without a prompt; None where a model wants more than token ids."""
        distinct = list(dict.fromkeys(texts))
        flat: list[np.ndarray] = []
        sizes: list[np.ndarray] = []
        constant: dict[str, Any] = {}
        windows = range(0, len(distinct), TOKENISED_AT_ONCE)
        for start in tqdm(windows, desc="tokens", unit=f" x {TOKENISED_AT_ONCE} texts", disable=_silent(windows)):
            features = model.preprocess(distinct[start : start + TOKENISED_AT_ONCE])
            constant = {key: value for key, value in features.items() if not isinstance(value, torch.Tensor)}
            tensors = {key: value for key, value in features.items() if key not in constant}
            segments = tensors.get("token_type_ids")
            if not {"input_ids", "attention_mask"} <= tensors.keys() <= KNOWN or (
                segments is not None and segments.any()
            ):
                return None
            used = tensors["attention_mask"].bool()
            flat.append(tensors["input_ids"][used].numpy().astype(np.int32))
            sizes.append(used.sum(1).numpy())
            constant = constant | {"token_type_ids": None} if segments is not None else constant
        if not distinct:
            return None
        starts = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)
        return cls(model, distinct, np.concatenate(flat), starts, constant)

    def __call__(
        self, inputs: list[Any], prompt: str | None = None, task: str | None = None, **options: Any
    ) -> Features:
        """Features of some texts, padded to the longest, on the tokenizer's side."""
        rows = [self._row.get(text) if isinstance(text, str) else None for text in inputs]
        if prompt or options or task is not None or None in rows or not rows:
            return self._model.preprocess(inputs, prompt=prompt, task=task, **options)
        return self._padded(np.array(rows, dtype=np.int64))

    def in_use(self) -> Int64[np.ndarray, " ids"]:
        """Every id that occurs, and padding, ascending."""
        return np.unique(np.append(self.flat, self._padding)).astype(np.int64)

    def _padded(self, rows: Int[np.ndarray, " texts"]) -> Features:
        sizes = self.starts[rows + 1] - self.starts[rows]
        width = int(sizes.max())
        place = np.arange(width)[::-1] if self._left else np.arange(width)
        used = place < sizes[:, None]
        ids = np.full(used.shape, self._padding, dtype=np.int64)
        # Position of each used cell in `flat`: its text's start, and how many of the text's cells stand before it.
        ids[used] = self.flat[(self.starts[rows, None] + used.cumsum(1) - 1)[used]]
        features: dict[str, Any] = {"input_ids": torch.from_numpy(ids)}
        if "token_type_ids" in self._constant:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        features["attention_mask"] = torch.from_numpy(used.astype(np.int64))
        return features | {key: value for key, value in self._constant.items() if key != "token_type_ids"}


def _silent(windows: range) -> bool | None:
    """No bar for what is done at once; for more, one where there is a terminal (None)."""
    return True if len(windows) < 2 else None
