"""A model as one ONNX graph, from token ids to unit vectors."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from tutelage.encode.tokens import KNOWN
from tutelage.errors import ConfigError

OUTPUTS = ("token_embeddings", "sentence_embedding")
OPSET = 20  # the first with Gelu as one operation; LayerNormalization is one since 17
AXES = {0: "batch", 1: "sequence"}
TEXTS = ["one text", "another, longer text"]  # to trace with: two rows, since a size of 1 would be taken for a constant


class Graph(nn.Module):
    """A model's modules one after another, then the cut to its width and the norm: what `encode` does around them."""

    def __init__(self, model: SentenceTransformer):
        super().__init__()
        self.stages = nn.ModuleList(model)
        self.width = model.get_embedding_dimension()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``token_embeddings`` [batch, sequence, hidden] and ``sentence_embedding`` [batch, dim], of length 1."""
        found: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            found["token_type_ids"] = token_type_ids
        for stage in self.stages:
            found = stage(found)
        vectors = found["sentence_embedding"][:, : self.width]
        return found["token_embeddings"], nn.functional.normalize(vectors, dim=-1)


def refuse_ungraphable(model: SentenceTransformer) -> None:
    """Raise, before anything costly, where a model is more than token ids in and a vector out.

    Raises:
        ConfigError: the model wants other inputs, has no fast tokenizer, or leaves its prompt out of the pooling.
    """
    given = {name for name, value in model.preprocess(["a"]).items() if isinstance(value, Tensor)}
    if not {"input_ids", "attention_mask"} <= given <= KNOWN:
        raise ConfigError(f"export: the model takes {', '.join(sorted(given))}. Wanted token ids and a mask alone.")
    if not getattr(model.tokenizer, "backend_tokenizer", None):
        raise ConfigError("export: the model's tokenizer has no fast form (tokenizer.json). Save it with one.")
    if any(model.prompts.values()) and not all(getattr(stage, "include_prompt", True) for stage in model):
        raise ConfigError("export: the model leaves its prompt out of the pooling, which a graph of token ids cannot.")


def inputs_of(model: SentenceTransformer) -> dict[str, Tensor]:
    """Features to trace with; the graph's inputs are named as they are."""
    return {name: value for name, value in model.preprocess(TEXTS).items() if isinstance(value, Tensor)}


def write_graph(model: SentenceTransformer, path: Path) -> None:
    """Write the model as ONNX; weights beyond 2 GiB go to ``NAME.data`` beside.

    Args:
        model: on the CPU, in float32.
        path: ends in ``.onnx``.
    """
    features = inputs_of(model)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            Graph(model).eval(),
            kwargs=features,
            input_names=list(features),
            output_names=OUTPUTS,
            dynamic_shapes=dict.fromkeys(features, AXES),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(path)


@contextmanager
def quiet() -> Iterator[None]:
    """Exporter and quantiser warn of what is meant: extensions that are not installed, passes that are not run."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
