"""Vectors equal sentence-transformers' own whatever the order, the budget and the window; so do gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding

from tutelage.encode.encoder import embed_columns, encode
from tutelage.errors import ConfigError
from tutelage.train.objective import GuidedLoss

TEXTS = [
    "nurse",
    "",
    "Krankenpfleger/in für Intensivmedizin",
    "welder " * 400,
    "R&D engineer (m/f/d)",
    "护士",
    "   ",
    "nurse",
    "ингенер",
    "head of the department for the maintenance of tramway overhead lines and their poles",
]
Vectors = Callable[..., np.ndarray]


@pytest.fixture(params=["tiny", "minilm"])
def model(request: pytest.FixtureRequest) -> SentenceTransformer:
    return request.getfixturevalue(request.param)


def sentence_transformers_own(model: SentenceTransformer, texts: list[str], **options: Any) -> np.ndarray:
    return model.encode(texts, normalize_embeddings=True, show_progress_bar=False, **options)


def assert_same(got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("prompt", [None, "query: "])
def test_encode_equals_sentence_transformers(model: SentenceTransformer, prompt: str | None) -> None:
    got = encode(model, TEXTS, prompt=prompt)
    assert got.dtype == np.float32
    assert_same(got, sentence_transformers_own(model, TEXTS, prompt=prompt))


@pytest.fixture
def static(tiny: SentenceTransformer) -> SentenceTransformer:
    torch.manual_seed(0)
    return SentenceTransformer(modules=[StaticEmbedding(tiny.tokenizer, embedding_dim=4)], device="cpu")


@pytest.mark.parametrize("prompt", [None, "query: "])
def test_a_static_embedding_which_has_no_mask_is_encoded_as_well(
    static: SentenceTransformer, prompt: str | None
) -> None:
    own = sentence_transformers_own(static, TEXTS, prompt=prompt)
    assert_same(encode(static, TEXTS, prompt=prompt), own)
    assert np.ptp(own) > 0


def test_columns_without_a_mask_are_refused_with_the_cure(static: SentenceTransformer) -> None:
    with pytest.raises(ConfigError, match=r"without an attention mask, .* unpad_inputs=False"):
        embed_columns(static, [static.preprocess(["nurse"])])
    with pytest.raises(ConfigError, match="without an attention mask"):
        GuidedLoss(static, None)  # and before an earlier run is removed


def test_a_prompt_changes_the_vectors(minilm: SentenceTransformer) -> None:
    assert np.abs(encode(minilm, ["nurse"], prompt="query: ") - encode(minilm, ["nurse"])).max() > 0.01


def test_the_models_own_default_prompt_is_used(tiny: SentenceTransformer) -> None:
    tiny.prompts, tiny.default_prompt_name = {"query": "query: "}, "query"
    assert_same(encode(tiny, TEXTS), sentence_transformers_own(tiny, TEXTS))
    assert_same(encode(tiny, TEXTS, prompt=""), sentence_transformers_own(tiny, TEXTS, prompt=""))


def test_a_truncated_model_gives_truncated_unit_vectors(tiny: SentenceTransformer) -> None:
    tiny.truncate_dim = 5
    assert_same(encode(tiny, TEXTS), sentence_transformers_own(tiny, TEXTS))


def test_prompts_left_out_of_the_pooling_stay_out(tiny: SentenceTransformer) -> None:
    pooled_without = SentenceTransformer(modules=[tiny[0], Pooling(16, include_prompt=False)], device="cpu")
    got = encode(pooled_without, TEXTS, prompt="query: ")
    assert_same(got, sentence_transformers_own(pooled_without, TEXTS, prompt="query: "))
    assert np.abs(got - encode(tiny, TEXTS, prompt="query: ")).max() > 1e-3


def test_vectors_have_unit_length(tiny: SentenceTransformer) -> None:
    np.testing.assert_allclose(np.linalg.norm(encode(tiny, TEXTS), axis=1), 1, atol=1e-6)


def test_order_changes_nothing(model: SentenceTransformer) -> None:
    order = np.random.default_rng(0).permutation(len(TEXTS))
    assert_same(encode(model, [TEXTS[i] for i in order]), encode(model, TEXTS)[order])


@pytest.mark.parametrize("token_budget", [1, 50, 333, 100_000])
def test_budget_changes_nothing(model: SentenceTransformer, token_budget: int) -> None:
    assert_same(encode(model, TEXTS, token_budget=token_budget), encode(model, TEXTS))


@pytest.mark.parametrize("at_once", [1, 3, len(TEXTS), 100])
def test_windows_of_tokenised_texts_change_nothing(
    model: SentenceTransformer, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = encode(model, TEXTS)
    monkeypatch.setattr("tutelage.encode.encoder.TOKENISED_AT_ONCE", at_once)
    assert_same(encode(model, TEXTS), want)


def test_no_texts_give_no_vectors_of_the_models_width(model: SentenceTransformer) -> None:
    assert encode(model, []).shape == (0, model.get_embedding_dimension())


def test_texts_with_equal_tokens_have_equal_vectors_to_the_bit(minilm: SentenceTransformer) -> None:
    lower, upper, other = encode(minilm, ["intensive care nurse", "Intensive Care Nurse", "welder"], token_budget=1)
    assert (lower == upper).all()
    assert (lower != other).any()


def test_a_text_is_cut_at_the_models_length(tiny: SentenceTransformer) -> None:
    short, long, longer = encode(tiny, ["a" * 40, "a" * 80, "a" * 90])
    assert_same(long, longer)
    assert np.abs(short - long).max() > 1e-3


def test_the_model_is_left_in_evaluation_mode_without_gradients(tiny: SentenceTransformer) -> None:
    tiny.train()
    assert_same(encode(tiny, TEXTS), encode(tiny, TEXTS))
    assert not tiny.training
    assert all(parameter.grad is None for parameter in tiny.parameters())


def test_a_progress_bar_is_silent_where_there_is_no_terminal(
    tiny: SentenceTransformer, capfd: pytest.CaptureFixture[str]
) -> None:
    encode(tiny, TEXTS, progress="guide")
    assert capfd.readouterr() == ("", "")


COLUMNS = {
    "anchor": ["nurse", "a very long title of a very long job", "", "welder"],
    "positive": ["RN", "short", "no title", "fitter and welder of pipes"],
    "negative": ["cook", "nurse", "a", "b"],
}
Column = dict[str, Any]
PROMPTS = {
    "no prompt": [None, None, None],
    "one prompt": ["query: "] * 3,
    "prompts of different length": ["q: ", "document text: ", None],
}


@pytest.fixture(params=[True, False], ids=["prompt pooled", "prompt not pooled"])
def calm(tiny: SentenceTransformer, request: pytest.FixtureRequest) -> SentenceTransformer:
    """In float64 and without dropout, so that two ways to the same gradient must agree to 1e-7."""
    modules = [tiny[0], Pooling(16, include_prompt=request.param)]
    return SentenceTransformer(modules=modules, device="cpu").double().eval()


def tokenised(model: SentenceTransformer, prompts: list[str | None]) -> list[Any]:
    return [model.preprocess(texts, prompt=prompt) for texts, prompt in zip(COLUMNS.values(), prompts, strict=True)]


def plain(model: SentenceTransformer, columns: list[Any]) -> list[torch.Tensor]:
    return [model(dict(column))["sentence_embedding"] for column in columns]


def gradients(model: SentenceTransformer, vectors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Of a sum in which every number has its own weight, so that rows cannot be swapped unseen."""
    model.zero_grad()
    weights = torch.Generator().manual_seed(3)
    loss = sum((v * torch.randn(v.shape, generator=weights, dtype=v.dtype)).sum() for v in vectors)
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("token_budget", [1, 45, 200, None])
def test_columns_have_the_vectors_and_gradients_of_a_forward_pass_each(
    calm: SentenceTransformer, prompts: list[str | None], token_budget: int | None
) -> None:
    columns = tokenised(calm, prompts)
    want, got = plain(calm, columns), embed_columns(calm, columns, token_budget=token_budget)
    torch.testing.assert_close(got, want)
    want_gradients, got_gradients = gradients(calm, want), gradients(calm, got)
    assert sum(gradient.abs().sum() for gradient in want_gradients) > 0, "no gradient: nothing would be proved"
    torch.testing.assert_close(got_gradients, want_gradients)


def test_columns_of_different_row_counts_come_back_with_their_own(calm: SentenceTransformer) -> None:
    columns = [calm.preprocess(texts) for texts in (["a", "bcd"], ["efghi"], ["j", "k", "lm"])]
    torch.testing.assert_close(embed_columns(calm, columns), plain(calm, columns))


@pytest.mark.parametrize(
    ("prompts", "passes", "texts"),
    [(prompts, *seen) for prompts, seen in zip(PROMPTS.values(), [(1, 11), (1, 11), (3, 12)], strict=True)],
    ids=PROMPTS,
)
def test_columns_share_a_forward_pass_unless_their_prompts_forbid_it(
    calm: SentenceTransformer, prompts: list[str | None], passes: int, texts: int
) -> None:
    """The anchor "nurse", a negative elsewhere, is embedded once."""
    rows: list[int] = []

    def counted(features: Column) -> Column:
        rows.append(len(features["input_ids"]))
        return calm(features)

    embed_columns(counted, tokenised(calm, prompts), token_budget=10_000)
    assert len(rows) == passes
    assert sum(rows) == texts


def test_a_pass_is_cut_to_the_width_of_its_own_longest_text(calm: SentenceTransformer) -> None:
    seen: list[tuple[int, int]] = []

    def counted(features: Column) -> Column:
        seen.append(tuple(features["input_ids"].shape))
        assert int(features["attention_mask"].sum(1).max()) == features["input_ids"].shape[1]
        return calm(features)

    embed_columns(counted, tokenised(calm, [None] * 3), token_budget=60)
    assert len(seen) > 1
    assert all(rows * width <= 60 or rows == 1 for rows, width in seen)


def test_the_columns_features_are_not_changed(calm: SentenceTransformer) -> None:
    columns, fresh = (tokenised(calm, [None] * 3) for _ in range(2))
    embed_columns(calm, columns)
    for column, want in zip(columns, fresh, strict=True):
        assert column.keys() == want.keys()
        assert torch.equal(column["input_ids"], want["input_ids"])
