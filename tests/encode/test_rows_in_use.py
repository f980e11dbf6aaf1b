"""Training few rows of the token table is training all of them: to the last digit, through saving, stopping, moving."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from torch import nn
from transformers import BertConfig, BertForMaskedLM, TrainerCallback

from tutelage.encode.rows_in_use import RowsInUse, refuse_inexact, rows_in_use
from tutelage.errors import ConfigError

ANCHORS = ["nurse", "cook", "bee keeper", "tutor"]
POSITIVES = ["carer", "chef", "beer brewer", "teacher"]
UNSEEN = ["quiz fox", "жук", "jazz!"]  # with tokens that no training text has
KEY = "0.model.embeddings.word_embeddings.weight"
OFF = "Set training.rows_in_use=false."


def ids_of(model: SentenceTransformer) -> np.ndarray:
    return model.preprocess([*ANCHORS, *POSITIVES])["input_ids"].numpy().ravel()


def table_of(model: SentenceTransformer) -> nn.Module:
    return model[0].auto_model.get_input_embeddings()


def weights_of(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def used(model: SentenceTransformer) -> torch.Tensor:
    mask = torch.zeros(model.state_dict()[KEY].shape[0], dtype=torch.bool)
    mask[torch.from_numpy(ids_of(model))] = True
    return mask


def steps(model: SentenceTransformer, *, weight_decay: float = 0.0, count: int = 3) -> list[float]:
    """AdamW steps of two mini-batches each, clipped, dropout on; the gradients' norms before clipping."""
    torch.manual_seed(7)
    loss, norms = MultipleNegativesRankingLoss(model.train()), []
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=weight_decay)
    for _ in range(count):
        for half in (slice(0, 2), slice(2, 4)):
            loss([model.preprocess(texts[half]) for texts in (ANCHORS, POSITIVES)], None).backward()
        norms.append(float(nn.utils.clip_grad_norm_(parameters, 0.01)))
        optimizer.step()
        optimizer.zero_grad()
    return norms


@pytest.mark.parametrize(("name", "count"), [("tiny", 5), ("minilm_copy", 2)])
def test_training_the_rows_in_use_is_training_the_table(name: str, count: int, request: pytest.FixtureRequest) -> None:
    full = request.getfixturevalue(name).double()
    compact, before, in_use = deepcopy(full), weights_of(full)[KEY], used(full)
    want_norms = steps(full, count=count)
    with rows_in_use(compact, ids_of(compact)) as rows:
        assert rows.rows.shape[0] == in_use.sum() < len(in_use) / 2
        sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (full, compact)]
        assert sizes[0] - sizes[1] == before[~in_use].numel() > 0
        got_norms = steps(compact, count=count)
        np.testing.assert_allclose(compact.encode(UNSEEN), full.encode(UNSEEN), rtol=1e-6, atol=1e-8)
    assert min(want_norms) > 0.01, "nothing was clipped: the norm would be proved nowhere"
    assert got_norms == pytest.approx(want_norms, rel=1e-12)
    got, want = weights_of(compact), weights_of(full)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)
    assert torch.equal(got[KEY][~in_use], before[~in_use])
    assert ((got[KEY] - before)[in_use].abs().amax(1) > 1e-4).sum() == in_use.sum() - 1, "all but the padding row"


def test_with_weight_decay_it_would_not_be(tiny: SentenceTransformer) -> None:
    full, in_use = deepcopy(tiny), used(tiny)
    steps(full, weight_decay=0.1)
    with rows_in_use(tiny, ids_of(tiny)):
        steps(tiny, weight_decay=0.1)
    got, want = weights_of(tiny)[KEY], weights_of(full)[KEY]
    torch.testing.assert_close(got[in_use], want[in_use], rtol=1e-4, atol=1e-5)
    assert (got - want)[~in_use].abs().max() > 1e-5


@settings(deadline=None)
@given(st.data())
def test_vectors_and_gradients_are_the_embeddings_whatever_is_in_use(data: st.DataObject) -> None:
    vocabulary, dim = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    some_ids = st.lists(st.integers(0, vocabulary - 1), min_size=1, max_size=20)
    padding = data.draw(st.none() | st.integers(0, vocabulary - 1))
    in_use, batch = np.array(data.draw(some_ids)), torch.tensor(data.draw(some_ids))
    full = nn.Embedding(vocabulary, dim, padding_idx=padding, dtype=torch.float64)
    compact = RowsInUse(full, in_use)
    shaped = batch.to(data.draw(st.sampled_from([torch.int64, torch.int32]))).reshape(1, -1, 1)
    want, got = full(shaped), compact(shaped)
    assert torch.equal(got, want)
    weights = torch.randn_like(want)
    (want * weights).sum().backward()
    (got * weights).sum().backward()
    torch.testing.assert_close(compact.rows.grad, full.weight.grad[np.unique(in_use)])


def test_the_forward_pass_asks_no_device_for_a_number() -> None:
    """On the meta device there are no numbers to ask for."""
    compact = RowsInUse(nn.Embedding(9, 2), np.array([7, 5])).to("meta")
    batch = torch.tensor([[1, 7]], device="meta")
    assert compact(batch).shape == (1, 2, 2)
    with pytest.raises(RuntimeError, match="meta"):
        bool((batch > 0).any())


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_models_own_module_and_parameter_are_back(
    tiny: SentenceTransformer, frozen: bool, error: type[BaseException] | None
) -> None:
    embedding = table_of(tiny).requires_grad_(not frozen)
    weight, names, before = embedding.weight, [name for name, _ in tiny.named_parameters()], weights_of(tiny)[KEY]
    weight.grad = torch.ones_like(weight)
    with pytest.raises(error) if error else nullcontext(), rows_in_use(tiny, ids_of(tiny)) as rows:
        assert table_of(tiny) is rows
        steps(tiny)
        if error:
            raise error
    assert table_of(tiny) is embedding
    assert embedding.weight is weight
    assert weight.requires_grad is not frozen
    assert weight.grad is None
    assert torch.equal(weight, before) is frozen
    assert [name for name, _ in tiny.named_parameters()] == names


@pytest.mark.parametrize("move", ["double", "half", "bfloat16"])
def test_the_model_may_change_its_type_meanwhile(tiny: SentenceTransformer, move: str) -> None:
    weight = table_of(tiny).weight
    with rows_in_use(tiny, ids_of(tiny)) as rows:
        getattr(tiny, move)()
        with torch.no_grad():
            rows.rows.fill_(0.5)
        assert rows(torch.tensor([0, 70])).dtype == rows.table.dtype == tiny.dtype != torch.float32
    assert table_of(tiny).weight is weight
    assert weight.dtype == tiny.dtype
    assert (weight[used(tiny)] == 0.5).all()
    weight.sum().backward()
    assert weight.grad.dtype == weight.dtype


def test_the_state_is_the_plain_models(tiny: SentenceTransformer, tmp_path: Path) -> None:
    names = list(tiny.state_dict())
    with rows_in_use(tiny, ids_of(tiny)):
        steps(tiny)
        inside = weights_of(tiny)
        tiny.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    assert list(inside) == names
    outside, saved = weights_of(tiny), SentenceTransformer(str(tmp_path / "saved"), device="cpu").state_dict()
    for name in names:
        assert torch.equal(inside[name], outside[name]), name
        assert torch.equal(inside[name], saved[name]), name


@pytest.mark.parametrize("assign", [True, False])
def test_a_plain_models_state_is_loaded(tiny: SentenceTransformer, assign: bool) -> None:
    other = deepcopy(tiny)
    steps(other)
    want = weights_of(other)
    want[KEY] += 0.25  # rows that are not in use too
    with rows_in_use(tiny, ids_of(tiny)) as rows:
        steps(tiny, count=1)
        tiny.load_state_dict({name: value.clone() for name, value in want.items()}, assign=assign)
        assert torch.equal(rows.rows, want[KEY][used(tiny)])
        other.load_state_dict(want)
        np.testing.assert_array_equal(tiny.encode([*ANCHORS, *UNSEEN]), other.encode([*ANCHORS, *UNSEEN]))
    assert torch.equal(weights_of(tiny)[KEY], want[KEY])


def test_a_state_that_does_not_fit_is_refused_as_ever(tiny: SentenceTransformer) -> None:
    state = weights_of(tiny)
    table = state.pop(KEY)
    with rows_in_use(tiny, ids_of(tiny)) as rows:
        steps(tiny)
        trained = rows.rows.clone()
        with pytest.raises(RuntimeError, match=rf'Missing key\(s\) in state_dict: "{KEY}"'):
            tiny.load_state_dict(state)
        with pytest.raises(RuntimeError, match=f"size mismatch for {KEY}"):
            tiny.load_state_dict(state | {KEY: table[1:]})
        extra = KEY.replace("weight", "rows")
        with pytest.raises(RuntimeError, match=rf'Unexpected key\(s\) in state_dict: "{extra}"'):
            tiny.load_state_dict(state | {KEY: tiny.state_dict()[KEY], extra: table})
        tiny.load_state_dict(state, strict=False)
        assert torch.equal(rows.rows, trained)
        assert not torch.equal(rows.rows, table[used(tiny)])


class Stop(TrainerCallback):
    """End the run after some steps, and keep the weights as they are then."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.weights: dict[str, torch.Tensor] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any, **kwargs: Any) -> None:
        if state.global_step == self.after:
            self.weights = weights_of(model)
            control.should_save = control.should_training_stop = True


def trained(model: SentenceTransformer, folder: Path, *, in_use: bool, stop: int = 4, resume: bool = False) -> Stop:
    """A stock trainer's run of four steps, or of some of them."""
    args = SentenceTransformerTrainingArguments(
        str(folder), per_device_train_batch_size=2, gradient_accumulation_steps=2, num_train_epochs=4, use_cpu=True,
        learning_rate=1e-2, max_grad_norm=0.1, save_strategy="no", report_to="none", disable_tqdm=True, seed=3,
    )  # fmt: skip
    pairs, callback = Dataset.from_dict({"anchor": ANCHORS, "positive": POSITIVES}), Stop(stop)
    with rows_in_use(model, ids_of(model)) if in_use else nullcontext():
        trainer = SentenceTransformerTrainer(
            model=model, args=args, train_dataset=pairs, loss=MultipleNegativesRankingLoss(model), callbacks=[callback]
        )
        trainer.train(resume_from_checkpoint=resume)
        assert trainer.state.global_step == stop
    return callback


def test_a_stock_trainers_run_is_the_same_stopped_and_resumed_too(tiny: SentenceTransformer, tmp_path: Path) -> None:
    plain, whole, first, second = (deepcopy(tiny) for _ in range(4))
    before = weights_of(tiny)
    trained(plain, tmp_path / "plain", in_use=False)
    trained(whole, tmp_path / "whole", in_use=True)
    stopped = trained(first, tmp_path / "stopped", in_use=True, stop=2)
    saved = SentenceTransformer(str(tmp_path / "stopped" / "checkpoint-2"), device="cpu").state_dict()
    assert all(torch.equal(saved[name], stopped.weights[name]) for name in before)
    trained(second, tmp_path / "stopped", in_use=True, resume=True)  # from fresh weights: all must come from the folder
    got, want = weights_of(second), weights_of(whole)
    assert all(torch.equal(got[name], want[name]) for name in before)
    assert not torch.equal(want[KEY], saved[KEY]), "nothing was trained after the stop"
    torch.testing.assert_close(want, weights_of(plain), rtol=0, atol=1e-5)  # float32: Adam enlarges rounding
    assert torch.equal(want[KEY][~used(tiny)], before[KEY][~used(tiny)])


class ScaledEmbedding(nn.Embedding):
    """As Gemma's is."""


def static(model: SentenceTransformer) -> None:
    model[0] = StaticEmbedding(model.tokenizer, embedding_dim=4)


def tableless(model: SentenceTransformer) -> None:
    model[0].auto_model.get_input_embeddings = Mock(side_effect=NotImplementedError)


def tied(model: SentenceTransformer) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model[0].model = bert = BertForMaskedLM(BertConfig(vocab_size=109, **sizes))
    assert bert.get_output_embeddings().weight is bert.get_input_embeddings().weight


def hooked(model: SentenceTransformer) -> None:
    table_of(model).register_forward_hook(lambda module, args, output: output * 2)


def having(option: str, value: Any = True) -> Callable[[SentenceTransformer], None]:
    return lambda model: setattr(table_of(model), option, value)


OUTSIDE = "the token table has 0 to 108. Tokenise with the model's own tokenizer, or resize the table first."
NO_TABLE = "a torch.nn.Embedding as token table is wanted, the model's first module"
NOT_PLAIN = "a plain token table is wanted, the model's has"
TWICE = "0.model.bert.embeddings.word_embeddings.weight, 0.model.cls.predictions.decoder.weight"


@pytest.mark.parametrize(
    ("change", "ids", "message"),
    [
        (None, [], "no token ids came. Give those of the training texts."),
        (None, [3, -1], f"token ids -1 to 3 came, {OUTSIDE}"),
        (None, [109, 0], f"token ids 0 to 109 came, {OUTSIDE}"),
        (having("max_norm"), [1], f"{NOT_PLAIN} max_norm. {OFF}"),
        (having("scale_grad_by_freq"), [1], f"{NOT_PLAIN} scale_grad_by_freq. {OFF}"),
        (having("sparse"), [1], f"{NOT_PLAIN} sparse. {OFF}"),
        (hooked, [1], f"{NOT_PLAIN} a forward hook. {OFF}"),
        (having("__class__", ScaledEmbedding), [1], f"{NO_TABLE} (Transformer) has ScaledEmbedding. {OFF}"),
        (static, [1], f"{NO_TABLE} (StaticEmbedding) has none. {OFF}"),
        (tableless, [1], f"{NO_TABLE} (Transformer) has none. {OFF}"),
        (tied, [1], f"the token table is used in several places ({TWICE}). {OFF}"),
    ],
)
def test_what_would_not_be_exact_is_refused_and_left_alone(
    tiny: SentenceTransformer, change: Callable[[SentenceTransformer], None] | None, ids: list[int], message: str
) -> None:
    if change:
        change(tiny)
    modules = list(tiny.modules())
    with pytest.raises(ConfigError) as refusal, rows_in_use(tiny, np.array(ids, dtype=np.int64)):
        pytest.fail("was let in")
    assert str(refusal.value) == f"training.rows_in_use: {message}"
    assert list(tiny.modules()) == modules


@pytest.mark.parametrize("vocabulary", [90, 200])
def test_a_table_larger_or_smaller_than_the_tokenizer_is_trained(tiny: SentenceTransformer, vocabulary: int) -> None:
    tiny[0].auto_model.resize_token_embeddings(vocabulary, mean_resizing=False)
    full = deepcopy(tiny.double())
    steps(full)
    with rows_in_use(tiny, ids_of(tiny)):
        steps(tiny)
    torch.testing.assert_close(weights_of(tiny), weights_of(full), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("vocabulary", [21, 109, 200])  # as many as are in use, no change, more
def test_resizing_or_a_second_block_fails_and_harms_nothing(tiny: SentenceTransformer, vocabulary: int) -> None:
    with rows_in_use(tiny, ids_of(tiny)) as rows:
        assert len(rows.rows) == 21
        with pytest.raises(AttributeError, match="'RowsInUse' object has no attribute 'weight'"):
            tiny[0].auto_model.resize_token_embeddings(vocabulary)
        with pytest.raises(ConfigError, match="has RowsInUse"), rows_in_use(tiny, ids_of(tiny)):
            pytest.fail("was let in")
        assert table_of(tiny) is rows
        assert rows.rows.requires_grad
        assert tiny[0].auto_model.config.vocab_size == 109


def test_a_table_replaced_meanwhile_is_told_and_kept(tiny: SentenceTransformer) -> None:
    new = nn.Embedding(109, 16)
    with (
        pytest.raises(ConfigError, match=r"^training\.rows_in_use: the token table was replaced while its rows were"),
        rows_in_use(tiny, ids_of(tiny)),
    ):
        tiny[0].auto_model.set_input_embeddings(new)
    assert table_of(tiny) is new


def test_weight_decay_is_refused() -> None:
    refuse_inexact(0.0)
    with pytest.raises(ConfigError) as refusal:
        refuse_inexact(0.01)
    assert str(refusal.value) == (
        "training.rows_in_use: needs weight decay 0, got 0.01: decay would also shrink the rows that no training text "
        "touches. Set training.weight_decay=0 or training.rows_in_use=false."
    )
