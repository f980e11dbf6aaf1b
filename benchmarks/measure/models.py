"""Encoders and guides as a benchmark needs them, and one optimizer step, the same for every side."""

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import torch
from accelerate import Accelerator
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from tutelage.encode.models import MINILM, load_model

LARGE = {"layers": 24, "width": 1024, "vocabulary": 250_002}  # XLM-R-large's shape

# Tried for the best configured cached loss: rows of a loss chunk, which are the rows of an encoder pass too unless
# tokens bound that.
CACHED_SETTINGS = ((8, None), (32, None), (128, None), (8, 2048), (32, 2048))


def minilm(max_length: int, device: str = "cpu") -> SentenceTransformer:
    """all-MiniLM-L6-v2."""
    return load_model(MINILM, max_length=max_length, device=device)


def random_encoder(
    layers: int, width: int, max_length: int, *, vocabulary: int = 30_522, seed: int = 0, device: str = "cpu"
) -> SentenceTransformer:
    """A BERT of this shape with random weights, the same in every process, behind MiniLM's tokenizer."""
    torch.manual_seed(seed)
    transformer = minilm(max_length)[0]
    shape = BertConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        intermediate_size=4 * width,
    )  # fmt: skip
    transformer.model = BertModel(shape, add_pooling_layer=False)
    return SentenceTransformer(modules=[transformer, Pooling(width), Normalize()], device=device)


def trainable(model: SentenceTransformer, precision: str) -> SentenceTransformer:
    """The model in training as the trainer prepares it for this precision; without dropout, so that losses compare."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return in_precision(model, precision).train()


def in_precision(model: SentenceTransformer, precision: str) -> SentenceTransformer:
    """The model under autocast where the precision is bf16, by the same call as the trainer's."""
    if precision == "fp32":
        return model
    return Accelerator(mixed_precision=precision, cpu=model.device.type == "cpu").prepare_model(model)


def cached_options(setting: tuple[int, int | None]) -> dict[str, Any]:
    """A setting as the cached losses' arguments."""
    return dict(zip(("mini_batch_size", "mini_batch_num_tokens"), setting, strict=True))


def weights_used(model: SentenceTransformer) -> int:
    """Parameters that every token is multiplied with: all but the embedding tables."""
    tables = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Embedding))
    return sum(parameter.numel() for parameter in model.parameters()) - tables


def columns(batch: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    """A collated batch as its text columns, on the device."""
    names = [name for name in ("anchor", "positive", "negative") if f"{name}_input_ids" in batch]
    found = [{k.removeprefix(f"{n}_"): v for k, v in batch.items() if k.startswith(f"{n}_")} for n in names]
    return [{k: v.to(device) if isinstance(v, Tensor) else v for k, v in column.items()} for column in found]


def optimizer_steps(
    model: SentenceTransformer, loss_of: nn.Module, collate: Callable[..., Any], batches: Sequence[Any]
) -> Callable[[], float]:
    """One optimizer step a call, over the batches in turn: from rows of text to new weights; the loss comes back.

    The learning rate is too small to change the next loss, so that runs of different number compare.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-12, weight_decay=0)
    turn: Iterator[Any] = cycle(batches)

    def run() -> float:
        loss = loss_of(columns(collate(next(turn)), model.device), None)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return run
