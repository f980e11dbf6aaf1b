"""Against sentence-transformers' own losses: equal where it is right, and its faults shown where we differ."""

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss, MultipleNegativesRankingLoss
from torch import nn

from tutelage.losses import Embedded, guided_contrastive


class Rows(nn.Module):
    """An encoder that is a table: row i's vector, in float64, behind sentence-transformers' calling convention."""

    max_seq_length = 8

    def __init__(self, vectors):
        super().__init__()
        self.table = nn.Parameter(vectors)

    @property
    def tokenizer(self):
        from transformers import PreTrainedTokenizerBase

        class Words(PreTrainedTokenizerBase):
            def get_vocab(self):
                return {}

        return Words()

    def __getitem__(self, index):
        return self

    def forward(self, features):
        return {"sentence_embedding": self.table[features["input_ids"][:, 0]]}


def columns(rows, negatives):
    """Features of anchor, positive and (maybe) negative: texts 0 ... in one table."""
    count = 3 if negatives else 2
    return [{"input_ids": torch.arange(c * rows, (c + 1) * rows)[:, None]} for c in range(count)]


def ours(model, guide, rows, negatives, **options):
    parts = []
    for column in columns(rows, negatives):
        index = column["input_ids"][:, 0]
        parts.append(Embedded(model.table[index], None if guide is None else guide.table.detach()[index]))
    return guided_contrastive(*parts, **options)[0]


def tables(rows, negatives, seed=0):
    torch.manual_seed(seed)
    count = rows * (3 if negatives else 2)
    model = Rows(torch.randn(count, 6, dtype=torch.float64))
    guide = Rows(torch.randn(count, 4, dtype=torch.float64))
    return model, guide


def value_and_gradient(loss, model):
    return loss, *torch.autograd.grad(loss, model.table)


@pytest.mark.parametrize("negatives", [False, True])
@pytest.mark.parametrize(("strategy", "margin"), [("absolute", 0.0), ("absolute", 0.2), ("relative", 0.3)])
@pytest.mark.parametrize(("anchors", "positives"), [(True, True), (False, False), (True, False)])
def test_equals_gist_embed_loss(negatives, strategy, margin, anchors, positives):
    model, guide = tables(11, negatives)
    options = {
        "temperature": 0.1,
        "margin": margin,
        "margin_strategy": strategy,
        "contrast_anchors": anchors,
        "contrast_positives": positives,
    }
    stock = GISTEmbedLoss(model, guide, **options)
    want = value_and_gradient(stock(columns(11, negatives), None), model)
    got = value_and_gradient(ours(model, guide, 11, negatives, **options), model)
    assert want[1].abs().sum() > 0
    torch.testing.assert_close(got, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("negatives", [False, True])
def test_without_a_guide_equals_multiple_negatives_ranking(negatives):
    model, _ = tables(11, negatives)
    stock = MultipleNegativesRankingLoss(model, scale=10.0)
    want = value_and_gradient(stock(columns(11, negatives), None), model)
    options = {"temperature": 0.1, "contrast_anchors": False, "contrast_positives": False}
    got = value_and_gradient(ours(model, None, 11, negatives, **options), model)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-9)


EVERY = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")


@pytest.mark.parametrize("negatives", [False, True])
@pytest.mark.parametrize("mode", [None, "in_batch_negatives", "hard_negatives", "all_negatives"])
@pytest.mark.parametrize(
    ("directions", "partition_mode"),
    [(EVERY, "joint"), (("query_to_doc", "doc_to_query"), "per_direction"), (("query_to_doc", "doc_to_doc"), "joint")],
)
def test_equals_multiple_negatives_ranking_in_every_direction(negatives, mode, directions, partition_mode):
    model, _ = tables(11, negatives)
    options = {"directions": directions, "partition_mode": partition_mode, "hardness_mode": mode}
    options["hardness_strength"] = 5.0 if mode else 0.0
    stock = MultipleNegativesRankingLoss(model, scale=10.0, **options)
    want = value_and_gradient(stock(columns(11, negatives), None), model)
    got = value_and_gradient(ours(model, None, 11, negatives, temperature=0.1, **options), model)
    assert want[1].abs().sum() > 0
    torch.testing.assert_close(got, want, rtol=0, atol=1e-9)


def test_st_fault_a_negative_margin_makes_a_row_its_own_negative():
    """One row alone has nothing to be pushed away from: its loss is 0. ST lets it compete with itself."""
    model, guide = tables(1, False)
    stock = GISTEmbedLoss(model, guide, temperature=0.1, margin=-3.0)
    assert stock(columns(1, False), None) > 1
    assert ours(model, guide, 1, False, temperature=0.1, margin=-3.0) == 0


def test_st_fault_an_anchor_equal_to_its_positive_makes_a_row_its_own_negative():
    """Guide similarity of the pair is exactly 1, nothing exceeds it, and ST keeps the row's own entries."""
    one = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    model, guide = Rows(one.clone()), Rows(one.clone())
    stock = GISTEmbedLoss(model, guide, temperature=0.1)
    assert stock(columns(1, False), None) > 1
    assert ours(model, guide, 1, False, temperature=0.1) == 0


def test_st_fault_equal_texts_that_dropout_made_different_push_each_other_away():
    """Two rows share their texts; the guide is level on them, so only their ids can tell."""
    model, guide = tables(2, False)
    with torch.no_grad():
        guide.table[1], guide.table[3] = guide.table[0], guide.table[2]
    stock = GISTEmbedLoss(model, guide, temperature=0.1, contrast_anchors=False, contrast_positives=False)
    assert stock(columns(2, False), None) > 0
    a, p = torch.tensor([0, 0]), torch.tensor([1, 1])
    loss, drops = guided_contrastive(
        Embedded(model.table[:2], guide.table[:2].detach(), a),
        Embedded(model.table[2:], guide.table[2:].detach(), p),
        temperature=0.1,
        contrast_anchors=False,
        contrast_positives=False,
    )
    assert loss == 0
    assert drops.rates()["text"] == 1
