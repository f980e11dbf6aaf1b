"""Accuracy at every width is sentence-transformers' own, ties included, from one encode; a tie is not right."""

from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import TripletEvaluator as Stock

from tutelage.errors import ConfigError
from tutelage.evaluate.significance import paired_differences
from tutelage.evaluate.triplet import TripletEvaluator, evaluate_triplets, nearer
from tutelage.records.triplets import TripletSet


class Spelled(torch.nn.Module):
    """Takes its vectors from the texts: "+-+-" is (1, -1, 1, -1), so ties are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def preprocess(self, texts: list[str], prompt: str | None = None, **options: Any) -> dict[str, Any]:
        self.texts += texts
        ids = torch.tensor([[1 if sign == "+" else 0 for sign in text] for text in texts])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return {**features, "sentence_embedding": 2.0 * features["input_ids"] - 1}

    def get_embedding_dimension(self) -> int:
        return 4


@pytest.fixture
def spelled() -> SentenceTransformer:
    return SentenceTransformer(modules=[Spelled()], device="cpu")


def random_triplets(seed: int, count: int, letters: str = "+-", length: int = 4) -> TripletSet:
    random = np.random.default_rng(seed)
    columns = [["".join(random.choice(list(letters), length)) for _ in range(count)] for _ in range(3)]
    return TripletSet("my:set", *columns)


def stock(model: SentenceTransformer, triplets: TripletSet, dim: int) -> dict[str, float]:
    return Stock(
        triplets.anchors, triplets.positives, triplets.negatives, name=f"my-set-{dim}d", truncate_dim=dim,
        write_csv=False,
    )(model)  # fmt: skip


@pytest.mark.parametrize("count", [1, 64, 256])  # their fractions are exact in the single precision of the oracle
@pytest.mark.parametrize("seed", range(3))
def test_every_key_agrees_with_sentence_transformers_under_ties(
    seed: int, count: int, spelled: SentenceTransformer
) -> None:
    triplets = random_triplets(seed, count)
    want = {key: value for dim in (4, 3, 2, 1) for key, value in stock(spelled, triplets, dim).items()}
    assert next(iter(want)) == "my-set-4d_cosine_accuracy"
    assert evaluate_triplets(spelled, triplets, [4, 3, 2, 1]).means == pytest.approx(want, abs=1e-9)


def test_every_key_agrees_with_sentence_transformers_on_a_transformer(tiny: SentenceTransformer) -> None:
    triplets = random_triplets(5, 150, "abc ", 12)
    same = TripletSet("my:set", triplets.anchors, triplets.positives, triplets.positives[:40] + triplets.negatives[40:])
    got = evaluate_triplets(tiny, same, [16, 8, 4]).means
    want = {key: value for dim in (16, 8, 4) for key, value in stock(tiny, same, dim).items()}
    assert {key: float(np.float32(value)) for key, value in got.items()} == want
    assert 0 < got["my-set-16d_cosine_accuracy"] <= 110 / 150, "ties were counted as right, or nothing was"


def test_a_text_is_encoded_once_for_all_widths_and_triplets(spelled: SentenceTransformer) -> None:
    evaluate_triplets(spelled, random_triplets(0, 200), [4, 2])
    texts = spelled[0].texts
    assert len(texts) == len(set(texts)) <= 16


def test_right_is_strictly_nearer_by_angle_not_by_product() -> None:
    anchors = np.array([[1.0, 0.0]] * 4)
    positives = np.array([[1.0, 0.1], [1.0, 1.0], [0.0, 0.0], [0.1, 0.0]])
    negatives = np.array([[9.0, 9.0], [2.0, 2.0], [0.0, 1.0], [0.0, 5.0]])
    # the second is a tie of angles, the third positive has none
    assert nearer(anchors, positives, negatives).tolist() == [True, False, False, True]


def test_the_whole_width_is_judged_where_none_is_named(spelled: SentenceTransformer) -> None:
    assert list(evaluate_triplets(spelled, random_triplets(0, 5)).right) == [4]


@pytest.mark.parametrize("dim", [5, 0])
def test_a_width_that_the_model_lacks_is_refused(dim: int, spelled: SentenceTransformer) -> None:
    with pytest.raises(ConfigError) as fault:
        evaluate_triplets(spelled, random_triplets(0, 5), [4, dim])
    assert str(fault.value) == f"triplets 'my:set': {dim} dimensions of 4. Name 1 to 4."


def test_two_models_can_be_compared_triplet_by_triplet(spelled: SentenceTransformer) -> None:
    wide, narrow = (evaluate_triplets(spelled, random_triplets(0, 64), [dim]) for dim in (4, 1))
    before, after = ({"accuracy": next(iter(result.values.values()))} for result in (narrow, wide))
    found = paired_differences(before, after, wide.cluster)["accuracy"]
    assert found.mean == pytest.approx(next(iter(wide.means.values())) - next(iter(narrow.means.values())))


def test_the_evaluator_gives_a_trainer_every_width(spelled: SentenceTransformer) -> None:
    evaluator = TripletEvaluator(random_triplets(0, 64), [4, 2])
    assert evaluator(spelled) == evaluate_triplets(spelled, random_triplets(0, 64), [4, 2]).means
    assert evaluator.primary_metric == "my-set-4d_cosine_accuracy"
