"""Training only those rows of the token table that the training texts touch; the others would get no gradient anyway.

The table is most of a multilingual model (bge-m3: 256M of 568M parameters; all-MiniLM-L6-v2: 11.7M of 22.7M), a run's
texts touch a few thousand of its rows. For as long as a run lasts, a compact trainable table stands beside the frozen
full one: no dense gradient, no optimizer state and no optimizer time for the rest.

Exact where the optimizer takes each number by itself and leaves it alone while its gradient is zero: SGD, Adam, AdamW.
Weight decay does not (`refuse_inexact`), nor do optimizers with statistics of a whole parameter (Adafactor, LAMB).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from tutelage.errors import ConfigError

OPTION = "training.rows_in_use"
OFF = f"Set {OPTION}=false."
EXACT = ("adamw_torch", "adamw_torch_fused", "sgd")  # transformers' names


class RowsInUse(nn.Module):
    """Stands in for a model's ``nn.Embedding``: the same vectors, few trainable rows.

    ``vector[i] = rows[row_of[id[i]]]`` if ``id[i]`` is in use, else ``table[id[i]]``, which is frozen.

    It saves and loads as the ``nn.Embedding`` would: one key, ``weight``, the whole table. It has no attribute of that
    name, so code that would resize or tie the table fails.
    """

    table: Float[Tensor, "vocabulary dim"]  # up to date for rows in use only after merge()
    ids: Int[Tensor, " rows"]
    row_of: Int[Tensor, " vocabulary"]  # -1: not in use

    def __init__(self, embedding: nn.Embedding, token_ids: Int[np.ndarray, " ids"]) -> None:
        super().__init__()
        _check_look_up(embedding)
        _check_ids(token_ids, len(embedding.weight))
        table, in_use = embedding.weight.detach(), np.unique(token_ids).astype(np.int64)
        row_of = np.full(len(table), -1, dtype=np.int64)
        row_of[in_use] = np.arange(len(in_use))
        padding = -1 if embedding.padding_idx is None else int(row_of[embedding.padding_idx])
        self.padding_row = None if padding < 0 else padding
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("ids", torch.from_numpy(in_use).to(table.device), persistent=False)
        self.register_buffer("row_of", torch.from_numpy(row_of).to(table.device), persistent=False)
        self.rows = nn.Parameter(table[self.ids], requires_grad=embedding.weight.requires_grad)

    def forward(self, input_ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
        """The tokens' vectors; gradients reach ``rows`` only, and not the padding token's."""
        row = self.row_of[input_ids]
        # Both look-ups, always: to ask whether all ids are in use would make a GPU wait for the answer.
        trained = F.embedding(row.clamp(min=0), self.rows, padding_idx=self.padding_row)
        return torch.where(row[..., None] >= 0, trained, F.embedding(input_ids, self.table))

    @torch.no_grad()
    def merge(self) -> Float[Tensor, "vocabulary dim"]:
        """The whole table, after the trained rows were written into it."""
        return self.table.index_copy_(0, self.ids, self.rows)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[prefix + "weight"] = self.merge()

    def _load_from_state_dict(self, *args: Any) -> None:
        # Through an nn.Embedding over the same memory, so that missing keys and wrong sizes are told as ever.
        stock = nn.Embedding.from_pretrained(self.merge())
        stock._load_from_state_dict(*args)
        self.table = stock.weight.detach()  # another tensor, perhaps of another type, where assign=True
        self.rows.data = self.table[self.ids]


@contextmanager
def rows_in_use(model: SentenceTransformer, token_ids: Int[np.ndarray, " ids"]) -> Iterator[RowsInUse]:
    """Within the block, only the given tokens' rows of the model's token table are trainable; then all is as before.

    The model may be trained, moved, saved, loaded and asked for any text meanwhile. At the end, also after an error,
    its own ``nn.Embedding`` is back with the trained rows in the same ``Parameter``; a gradient it held is dropped.

    Args:
        model: its first module is a transformer.
        token_ids: every id of the training texts as tokenised, special tokens and padding too. A token that is not
            among them keeps its vector.

    Raises:
        ConfigError: no token table, one that is more than a look-up or is used elsewhere too, ids outside it; at the
            end of the block, a table that was replaced within.

    Example (make the optimizer or trainer within the block: it must see the compact table)::

        ids = np.concatenate(model.tokenizer(texts)["input_ids"] + [[model.tokenizer.pad_token_id]])
        with rows_in_use(model, ids):
            SentenceTransformerTrainer(model=model, train_dataset=pairs, loss=loss).train()
        model.save_pretrained("trained")
    """
    transformer, embedding = token_table(model)
    compact = RowsInUse(embedding, token_ids)
    embedding.weight.grad = None
    transformer.set_input_embeddings(compact)
    try:
        yield compact
    finally:
        replaced = transformer.get_input_embeddings() is not compact
        if not replaced:
            transformer.set_input_embeddings(embedding)
        # Through .data the Parameter stays the same object on whatever device and in whatever type the model is now.
        embedding.weight.data = compact.merge()
    if replaced:
        raise ConfigError(f"{OPTION}: the token table was replaced while its rows were trained. Replace it before.")


def refuse_inexact(weight_decay: float, optimizer: str = EXACT[0]) -> None:
    """Raise `ConfigError` where training few rows is not the same as training all.

    Args:
        weight_decay: must be 0.
        optimizer: by transformers' name; one that takes each number by itself.
    """
    if weight_decay != 0:
        raise ConfigError(
            f"{OPTION}: needs weight decay 0, got {weight_decay}: decay would also shrink the rows that no training "
            f"text touches. Set training.weight_decay=0 or {OPTION}=false."
        )
    if optimizer not in EXACT:
        raise ConfigError(f"{OPTION}: exact with {', '.join(EXACT)}; the optimizer is {optimizer}. {OFF}")


def token_table(model: SentenceTransformer) -> tuple[Any, nn.Embedding]:
    """The Hugging Face model inside the first module, and its token table.

    Raises:
        ConfigError: it has none, one that is more than a look-up, or one that is used elsewhere too.
    """
    first: Any = model[0]
    embedding = None
    with suppress(AttributeError, NotImplementedError):  # no transformer; transformers' word for one without a table
        embedding = first.auto_model.get_input_embeddings()
    # A subclass may do more than look up (Gemma's multiplies); a second compact table would hide the first one's rows.
    if type(embedding) is not nn.Embedding:
        kind = "none" if embedding is None else type(embedding).__name__
        raise ConfigError(
            f"{OPTION}: a torch.nn.Embedding as token table is wanted, the model's first module "
            f"({type(first).__name__}) has {kind}. {OFF}"
        )
    places = [name for name, weight in model.named_parameters(remove_duplicate=False) if weight is embedding.weight]
    if len(places) > 1:
        raise ConfigError(f"{OPTION}: the token table is used in several places ({', '.join(places)}). {OFF}")
    return first.auto_model, embedding


def _check_look_up(embedding: nn.Embedding) -> None:
    more = [name for name in ("max_norm", "scale_grad_by_freq", "sparse") if getattr(embedding, name)]
    more += ["a forward hook"] * bool(embedding._forward_hooks or embedding._forward_pre_hooks)
    if more:
        raise ConfigError(f"{OPTION}: a plain token table is wanted, the model's has {', '.join(more)}. {OFF}")


def _check_ids(token_ids: Int[np.ndarray, " ids"], vocabulary: int) -> None:
    if not len(token_ids):
        raise ConfigError(f"{OPTION}: no token ids came. Give those of the training texts.")
    low, high = int(token_ids.min()), int(token_ids.max())
    if low < 0 or high >= vocabulary:
        raise ConfigError(
            f"{OPTION}: token ids {low} to {high} came, the token table has 0 to {vocabulary - 1}. "
            "Tokenise with the model's own tokenizer, or resize the table first."
        )
