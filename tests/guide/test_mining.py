"""Mined negatives are those that sentence-transformers would mine, and none that is known to be right."""

import re

import pytest
import torch
from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives
from torch.nn.functional import normalize

from tutelage.errors import ConfigError
from tutelage.guide import mining
from tutelage.guide.mining import MiningRules, mine
from tutelage.losses.masks import IdIndex
from tutelage.losses.rules import Match


class Vectors:
    """As much of a model as the stock miner asks for: fixed vectors by text."""

    device = torch.device("cpu")

    def __init__(self, queries, corpus):
        self.query, self.document = queries, corpus

    def encode_query(self, texts, **options):
        return torch.stack([self.query[int(text[1:])] for text in texts]).numpy()

    def encode_document(self, texts, **options):
        return torch.stack([self.document[int(text[1:])] for text in texts]).numpy()

    def similarity(self, a, b):
        return torch.as_tensor(a) @ torch.as_tensor(b).T

    def similarity_pairwise(self, a, b):
        return (torch.as_tensor(a) * torch.as_tensor(b)).sum(-1)


def problem(queries=12, corpus=40, pairs=20, seed=0):
    random = torch.Generator().manual_seed(seed)
    anchors, noise = (torch.randn(count, 6, generator=random) for count in (queries, corpus))
    # Every text of the corpus is somebody's positive, as the stock miner wants it.
    query = torch.cat([torch.arange(queries), torch.randint(queries, (corpus - queries,), generator=random)])
    place = torch.randperm(corpus, generator=random)
    texts = noise.index_add(0, place, anchors[query])
    return normalize(anchors, dim=1), normalize(texts, dim=1), torch.stack([query, place], dim=1)


def stock(queries, corpus, pairs, rules):
    options = {"num_negatives": 3, "range_max": 100, "relative_margin": None} | rules
    data = Dataset.from_dict({"a": [f"q{q}" for q, _ in pairs.tolist()], "p": [f"d{d}" for _, d in pairs.tolist()]})
    found = mine_hard_negatives(data, Vectors(queries, corpus), output_scores=True, verbose=False, **options)
    return {(row["a"], row["p"], row["negative"]): row["scores"] for row in found}


RULES = [
    {},
    {"range_min": 2, "range_max": 9},
    {"relative_margin": 0.05},
    {"absolute_margin": 0.1, "range_max": 12},
    {"relative_margin": 0.3, "range_min": 1, "range_max": 6},
    {"max_score": 0.5},
    {"min_score": 0.2, "num_negatives": 8},
    {"max_score": 0.6, "min_score": 0.1, "absolute_margin": 0.05, "relative_margin": 0.05, "range_min": 1},
    {"num_negatives": 60, "range_max": 80},
]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("strip", [1, 5, 100])
def test_the_filters_are_those_of_the_stock_miner(rules, strip, monkeypatch):
    monkeypatch.setattr(mining, "SCORES_AT_ONCE", strip * 40)
    for seed in range(3):
        queries, corpus, pairs = problem(seed=seed)
        want = stock(queries, corpus, pairs, rules)
        mined = mine(queries, corpus, pairs, MiningRules(**{"relative_margin": None} | rules))
        query, positive = pairs[mined.pair].T
        got = {
            (f"q{q}", f"d{p}", f"d{n}"): [s, t]
            for q, p, n, s, t in zip(*(each.tolist() for each in (query, positive, *mined[1:4])), strict=True)
        }
        assert want, "nothing mined: the comparison would prove nothing"
        assert got.keys() == want.keys()
        assert len(mined.pair) == len(want)
        for key, scores in want.items():
            assert got[key] == pytest.approx(scores, abs=1e-6)


def test_what_is_forbidden_makes_room_for_the_next_and_the_positive_stays():
    """One query, five texts by falling score; 0 is its positive, 1 and 3 are of its concept."""
    scores = torch.tensor([0.5, 0.9, 0.4, 0.3, 0.2])
    corpus = torch.stack([scores, (1 - scores**2).sqrt()], dim=1)
    concept = IdIndex.of([torch.tensor([7, 7, 1, 7, 2])])
    forbidden = [Match(concept, (torch.tensor([7]),))]
    query, pairs = torch.tensor([[1.0, 0.0]]), torch.tensor([[0, 0]])
    mined = mine(query, corpus, pairs, MiningRules(num_negatives=2, relative_margin=None, range_max=2), forbidden)
    assert mined.negative.tolist() == [2, 4]
    assert mined.rank.tolist() == [1, 2]
    assert mined.positive_score.tolist() == pytest.approx([0.5, 0.5])
    free = mine(query, corpus, pairs, MiningRules(num_negatives=2, relative_margin=None, range_max=2))
    assert free.negative.tolist() == [1, 2]


@pytest.mark.parametrize("strip", [1, 100])
def test_of_several_guides_the_largest_score_counts(strip, monkeypatch):
    monkeypatch.setattr(mining, "SCORES_AT_ONCE", strip * 40)
    queries, corpus, pairs = problem()
    scores = torch.maximum(queries[:, :2] @ corpus[:, :2].T, queries[:, 2:] @ corpus[:, 2:].T)
    mined = mine(queries, corpus, pairs, MiningRules(relative_margin=None), guide_dims=(2, 4))
    query, positive = pairs[mined.pair].T
    torch.testing.assert_close(mined.positive_score, scores[query, positive])
    torch.testing.assert_close(mined.negative_score, scores[query, mined.negative])
    scores[tuple(pairs.T)] = -torch.inf
    nearest = scores.topk(3).indices
    assert torch.equal(mined.negative, nearest[pairs[:, 0]].reshape(-1))


def test_ranks_count_what_the_filters_left_out():
    scores = torch.tensor([0.8, 0.79, 0.77, 0.7, 0.6])
    corpus = torch.stack([scores, (1 - scores**2).sqrt()], dim=1)
    mined = mine(torch.tensor([[1.0, 0.0]]), corpus, torch.tensor([[0, 0]]), MiningRules(range_min=1))
    # .8 x .95 = .76: .79 and .77 are left out, .7 is skipped by range_min.
    assert mined.negative.tolist() == [4]
    assert mined.rank.tolist() == [4]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"num_negatives": 0}, "mining: 0 negatives from rank 0; wanted 1 or more, from 0 or later."),
        ({"range_min": -1}, "mining: 3 negatives from rank -1; wanted 1 or more, from 0 or later."),
        (
            {"range_min": 8, "range_max": 10},
            "mining: 2 candidates from range_min 8 to range_max 10 hold no 3 negatives. "
            "Widen the range or ask for fewer.",
        ),
    ],
)
def test_ranges_that_hold_nothing_are_refused(rules, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        MiningRules(**rules)
