"""Tokenised once: the features of a batch are those of the model's own preprocessing."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from tutelage.encode import encoder, tokens
from tutelage.encode.tokens import Tokens

TEXTS = ["nurse", "a very long title of a very long job", "", "welder (m/f/d)", "nurse", "Ökonom"]


@pytest.fixture(params=["tiny", "minilm"])
def model(request: pytest.FixtureRequest) -> SentenceTransformer:
    return request.getfixturevalue(request.param)


def known(model: SentenceTransformer, texts: list[str]) -> Tokens:
    found = Tokens.of(model, texts)
    assert found is not None
    return found


@pytest.mark.parametrize("batch", [TEXTS, TEXTS[:1], TEXTS[2:3], list(reversed(TEXTS))])
@pytest.mark.parametrize("side", ["right", "left"])
def test_features_are_those_of_the_model(
    model: SentenceTransformer, batch: list[str], side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.tokenizer, "padding_side", side)
    want, got = model.preprocess(batch), known(model, TEXTS)(batch)
    assert dict(got).keys() == dict(want).keys()
    for key, value in want.items():
        assert torch.equal(got[key], value) if isinstance(value, torch.Tensor) else got[key] == value


def test_windows_change_nothing(tiny: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    want = known(tiny, TEXTS)
    monkeypatch.setattr(tokens, "TOKENISED_AT_ONCE", 2)
    got = known(tiny, TEXTS)
    assert np.array_equal(got.flat, want.flat)
    assert np.array_equal(got.starts, want.starts)
    assert encoder.TOKENISED_AT_ONCE > 2


def test_known_texts_are_not_tokenised_again(tiny: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = known(tiny, TEXTS)
    monkeypatch.setattr(tiny, "preprocess", lambda *args, **kwargs: pytest.fail("tokenised again"))
    assert found(TEXTS)["input_ids"].shape[0] == len(TEXTS)


@pytest.mark.parametrize("options", [{"prompt": "query: "}, {"max_length": 3}, {}])
def test_what_is_not_known_is_tokenised_as_ever(tiny: SentenceTransformer, options: dict[str, object]) -> None:
    batch = TEXTS if options else [*TEXTS, "a new text"]
    want, got = tiny.preprocess(batch, **options), known(tiny, TEXTS)(batch, **options)
    assert torch.equal(got["input_ids"], want["input_ids"])
    assert got.get("prompt_length") == want.get("prompt_length")


def test_ids_in_use_are_all_that_occur_and_padding(tiny: SentenceTransformer) -> None:
    want = set(tiny.preprocess(TEXTS)["input_ids"].flatten().tolist())
    assert set(known(tiny, TEXTS).in_use().tolist()) == want
    assert tiny.tokenizer.pad_token_id in known(tiny, ["nurse"]).in_use()


def test_a_model_that_takes_more_than_token_ids_has_none(
    tiny: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tiny.preprocess
    monkeypatch.setattr(tiny, "preprocess", lambda texts: own(texts) | {"pixel_values": torch.ones(len(texts), 1)})
    assert Tokens.of(tiny, TEXTS) is None
    assert Tokens.of(tiny, []) is None
