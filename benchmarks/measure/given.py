"""Vectors given to losses without a model: real ones, of label pairs, and a stand-in that hands them to any loss."""

from pathlib import Path
from tempfile import gettempdir

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from measure.texts import source
from tutelage.encode.encoder import encode
from tutelage.encode.models import MINILM, load_model
from tutelage.records.data_folder import data_folder
from tutelage.records.pairs import concept_pairs
from tutelage.records.taxonomy import labels
from tutelage.records.texts import text_ids

VECTORS = Path(gettempdir()) / "tutelage-benchmark-pairs.npz"


class Given(nn.Module):
    """A "model" whose vectors are given: it hands back what the features carry."""

    max_seq_length = 8

    class tokenizer(PreTrainedTokenizerBase):  # noqa: N801 - sentence-transformers reads this attribute
        def get_vocab(self):
            return {}

    def __init__(self):
        super().__init__()
        self.tokenizer = Given.tokenizer()

    def __getitem__(self, index):
        return self

    def get_embedding_dimension(self):
        return None

    def forward(self, features):
        return {"sentence_embedding": features["vectors"]}


def prepare_vectors(rows: int) -> str:
    """Embed the texts of up to 16,384 rows once, for all workers; returns where they come from."""
    pairs = concept_pairs(labels(source(), data_folder()))
    anchors, positives = pairs["anchor"][:], pairs["positive"][:]
    order = np.random.default_rng(0).permutation(len(anchors))[: min(rows, 16384)]
    model = load_model(MINILM, device="cpu")
    np.savez(
        VECTORS,
        anchor=encode(model, [anchors[i] for i in order]), positive=encode(model, [positives[i] for i in order]),
        anchor_id=text_ids(anchors[i] for i in order), positive_id=text_ids(positives[i] for i in order),
    )  # fmt: skip
    return source()


def vectors(rows: int, dim: int, device: str = "cpu"):
    """Encoder and guide vectors of anchors and positives; beyond those embedded they are repeated."""
    stored, random = np.load(VECTORS), np.random.default_rng(1)
    pick = np.arange(rows) % len(stored["anchor"])
    turns = [random.standard_normal((384, dim), dtype=np.float32) / dim**0.5 for _ in range(2)]
    sides: list[torch.Tensor] = []
    for name in ("anchor", "positive"):
        sides += [torch.from_numpy(stored[name][pick] @ turn).to(device) for turn in turns]
    anchor, guide_anchor, positive, guide_positive = (nn.functional.normalize(side) for side in sides)
    ids = [torch.from_numpy(stored[f"{name}_id"][pick]).to(device) for name in ("anchor", "positive")]
    return (anchor.requires_grad_(), positive.requires_grad_()), (guide_anchor, guide_positive), ids
