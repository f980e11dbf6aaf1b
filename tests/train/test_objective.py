"""The loss inside sentence-transformers: its numbers on a real model, and a stock script that trains."""

from copy import deepcopy
from tempfile import mkdtemp

import jaxtyping
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import (
    CachedGISTEmbedLoss,
    CachedMultipleNegativesRankingLoss,
    GISTEmbedLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)

from tutelage import GuidedLoss, GuidedTrainer, GuideStore
from tutelage.errors import ConfigError, DataError
from tutelage.records.pairs import IDENTITY_COLUMNS

ANCHORS = ["nurse", "software developer", "welder", "head of finance", "primary school teacher"]
POSITIVES = ["registered nurse", "programmer", "arc welder", "CFO", "elementary teacher"]
NEGATIVES = ["nursery worker", "property developer", "solderer", "head of sales", "driving instructor"]
CONCEPTS = ["a", "b", "c", "d", "e"]


def rows(*columns):
    names = ["anchor", "positive", "negative", "concept"]
    return Dataset.from_dict(dict(zip(names[: len(columns)], columns, strict=True)))


def arguments(folder, **options):
    return SentenceTransformerTrainingArguments(
        str(folder), per_device_train_batch_size=4, max_steps=2, use_cpu=True, report_to="none", save_strategy="no",
        logging_steps=1, disable_tqdm=True, **options,
    )  # fmt: skip


def store_of(guide, path, *columns):
    return GuideStore.build(guide, [text for column in columns for text in column], path, dtype="float32")


def features_of(loss, *columns):
    """A batch as the trainer would hand it to the loss."""
    data = rows(*columns)
    batch = loss.collator()(list(data))
    return [
        {key.removeprefix(f"{name}_"): value for key, value in batch.items() if key.startswith(f"{name}_")}
        for name in data.column_names
    ]


def value_and_gradients(function, features, model):
    model.zero_grad()
    value = function(features, None)
    value.backward()
    return value.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("columns", [(ANCHORS, POSITIVES), (ANCHORS, POSITIVES, NEGATIVES)])
@pytest.mark.parametrize(("strategy", "margin"), [("absolute", 0.0), ("absolute", 0.1), ("relative", 0.2)])
def test_equals_gist_embed_loss_on_minilm_for_every_parameter(minilm, tmp_path, columns, strategy, margin):
    minilm.eval()
    options = {"temperature": 0.05, "margin": margin, "margin_strategy": strategy}
    loss = GuidedLoss(minilm, store_of(minilm, tmp_path / "store", *columns), token_budget=32, **options)
    stock = GISTEmbedLoss(minilm, minilm, **options)

    features = features_of(loss, *columns)
    got = value_and_gradients(loss, features, minilm)
    want = value_and_gradients(stock, [{k: v for k, v in f.items() if k != "text_id"} for f in features], minilm)
    assert sum(gradient.abs().sum() for gradient in want[1].values()) > 0
    assert got[1].keys() == want[1].keys()
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("columns", [(ANCHORS, POSITIVES), (ANCHORS, POSITIVES, NEGATIVES)])
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_equals_matryoshka_loss_over_the_losses_of_sentence_transformers(tiny, tmp_path, columns, guided, cached):
    tiny.eval()
    dims = [16, 8, 4]
    if guided:
        loss = GuidedLoss(tiny, store_of(tiny, tmp_path / "store", *columns), temperature=0.1, dims=dims)
        guide = deepcopy(tiny)  # MatryoshkaLoss replaces its model's forward, and a guide's with it if they are one
        inner = (CachedGISTEmbedLoss if cached else GISTEmbedLoss)(tiny, guide, temperature=0.1)
    else:
        options = {"temperature": 0.1, "contrast_anchors": False, "contrast_positives": False, "dims": dims}
        loss = GuidedLoss(tiny, None, **options)
        inner = (CachedMultipleNegativesRankingLoss if cached else MultipleNegativesRankingLoss)(tiny, scale=10.0)
    features = features_of(loss, *columns)
    got = value_and_gradients(loss, features, tiny)
    plain = [{k: v for k, v in f.items() if k != "text_id"} for f in features]
    want = value_and_gradients(MatryoshkaLoss(tiny, inner, matryoshka_dims=dims), plain, tiny)
    assert sum(gradient.abs().sum() for gradient in want[1].values()) > 0
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("columns", [(ANCHORS, POSITIVES), (ANCHORS, POSITIVES, NEGATIVES)])
def test_a_stock_trainer_needs_only_our_loss_and_collator(tiny, tmp_path, columns):
    before = [parameter.detach().clone() for parameter in tiny.parameters()]
    loss = GuidedLoss(tiny, store_of(tiny, tmp_path / "store", *columns), temperature=0.1)
    trainer = SentenceTransformerTrainer(
        model=tiny,
        args=arguments(tmp_path / "out"),
        train_dataset=rows(*columns),
        loss=loss,
        data_collator=loss.collator(),
    )
    trainer.train()
    assert trainer.state.global_step == 2
    assert any(not torch.equal(a, b) for a, b in zip(before, tiny.parameters(), strict=True))


def test_our_trainer_logs_a_drop_rate_for_every_rule(tiny, tmp_path):
    data = rows(ANCHORS, POSITIVES).add_column("concept", ["a", "a", "b", "b", "b"])
    loss = GuidedLoss(tiny, store_of(tiny, tmp_path / "store", ANCHORS, POSITIVES))
    trainer = GuidedTrainer(model=tiny, args=arguments(tmp_path / "out"), train_dataset=data, loss=loss)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert all(
        {"drop_self", "drop_text", "drop_group", "drop_guide", "drop_partition"} <= entry.keys() for entry in logs
    )
    assert any(entry["drop_group"] > 0 for entry in logs)


def trained(model, folder, columns=(ANCHORS, POSITIVES), weight_decay=0.0, memory_budget=None, **options):
    store = store_of(model, mkdtemp(dir=folder) + "/store", *columns)
    loss = GuidedLoss(model, store, temperature=0.1, memory_budget=memory_budget)
    args = arguments(folder / "out", weight_decay=weight_decay)
    trainer = GuidedTrainer(model=model, args=args, train_dataset=rows(*columns), loss=loss, **options)
    trainer.train()
    return trainer


def test_rows_in_use_tokens_and_memory_change_nothing(tiny, tmp_path):
    """All that makes a run fast against none of it, dropout on: the same weights."""
    plain, fast = deepcopy(tiny), tiny
    loss = GuidedLoss(plain, store_of(plain, tmp_path / "store", ANCHORS, POSITIVES), temperature=0.1)
    SentenceTransformerTrainer(
        model=plain,
        args=arguments(tmp_path / "out"),
        train_dataset=rows(ANCHORS, POSITIVES),
        loss=loss,
        data_collator=loss.collator(),
    ).train()
    trained(fast, tmp_path, rows_in_use=True, memory_budget=0.0)
    for want, got in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


def test_the_optimizer_holds_only_token_rows_in_use(tiny, tmp_path):
    every = sum(parameter.numel() for parameter in tiny.parameters())
    for option, fewer in ((None, True), (True, True), (False, False)):
        trainer = trained(tiny, tmp_path, rows_in_use=option)
        held = sum(p.numel() for group in trainer.optimizer.param_groups for p in group["params"])
        assert (held < every) == fewer


def test_rows_in_use_are_left_alone_where_that_is_not_exact(tiny, tmp_path):
    every = sum(parameter.numel() for parameter in tiny.parameters())
    trainer = trained(tiny, tmp_path, weight_decay=0.01)
    assert sum(p.numel() for group in trainer.optimizer.param_groups for p in group["params"]) == every
    with pytest.raises(ConfigError, match=r"training.rows_in_use: needs weight decay 0, got 0.01"):
        trained(tiny, tmp_path, weight_decay=0.01, rows_in_use=True)
    with pytest.raises(ConfigError, match="not with an optimizer made before"):
        trained(tiny, tmp_path, optimizers=(torch.optim.AdamW(tiny.parameters()), None), rows_in_use=True)


def test_prompts_of_the_arguments_reach_the_texts(tiny, tmp_path):
    loss = GuidedLoss(tiny, None)
    data, options = rows(ANCHORS, POSITIVES), {"prompts": {"anchor": "query: "}}
    args = arguments(tmp_path / "out", **options)
    trainer = GuidedTrainer(model=tiny, args=args, train_dataset=data, loss=loss)
    batch = trainer.data_collator(list(data))
    want = tiny.preprocess(ANCHORS, prompt="query: ")["input_ids"]
    assert torch.equal(batch["anchor_input_ids"], want)
    with pytest.raises(ConfigError, match="not known with prompts"):
        GuidedTrainer(model=tiny, args=args, train_dataset=data, loss=loss, rows_in_use=True)


def test_the_guide_adds_no_parameters_to_the_optimizer(tiny, tmp_path):
    loss = GuidedLoss(tiny, store_of(tiny, tmp_path / "store", ANCHORS))
    assert len(list(loss.parameters())) == len(list(tiny.parameters()))


def test_the_collator_reads_no_identity_column_as_text(tiny):
    data = rows(ANCHORS, POSITIVES)
    for name in IDENTITY_COLUMNS:
        data = data.add_column(name, CONCEPTS)
    batch = GuidedLoss(tiny, None).collator(group_column="group")(list(data))
    assert [key for key in batch if key.endswith("input_ids")] == ["anchor_input_ids", "positive_input_ids"]
    assert batch["anchor_group_id"].unique().numel() == 5


@pytest.mark.parametrize("unnamed", ["", None])
def test_a_row_without_a_group_is_a_group_of_its_own(tiny, unnamed):
    data = rows(ANCHORS[:3], POSITIVES[:3]).add_column("group", ["g", unnamed, unnamed])
    batch = GuidedLoss(tiny, None).collator(group_column="group")(list(data))
    assert batch["anchor_group_id"].unique().numel() == 3


def test_without_a_store_the_guide_drops_nothing(tiny):
    loss = GuidedLoss(tiny, None)
    loss(features_of(loss, ANCHORS, POSITIVES), None)
    assert loss.drop_rates()["guide"] == 0


def test_drop_rates_start_anew_each_time_they_are_asked(tiny):
    loss = GuidedLoss(tiny, None)
    loss(features_of(loss, ANCHORS, POSITIVES), None)
    assert loss.drop_rates()["self"] == pytest.approx(10 / (3 * 25 - 5))
    assert loss.drop_rates() == {}


def test_a_batch_from_another_collator_is_refused(tiny):
    features = [tiny.preprocess(ANCHORS), tiny.preprocess(POSITIVES)]
    with pytest.raises(DataError, match=r"no text ids\. Give the trainer this loss's collator"):
        GuidedLoss(tiny, None)(features, None)


def test_a_text_that_the_store_lacks_is_refused(tiny, tmp_path):
    loss = GuidedLoss(tiny, store_of(tiny, tmp_path / "store", ANCHORS))
    with pytest.raises(DataError, match="5 of 5 texts are not in it"):
        loss(features_of(loss, ANCHORS, POSITIVES), None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "must be above 0"),
        ({"margin_strategy": "perc"}, "Options: absolute, relative"),
        ({"dims": [16, 32]}, "the model has 16 dimensions"),
    ],
)
def test_options_out_of_range_are_refused(tiny, options, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    with pytest.raises(ConfigError, match=message):
        GuidedLoss(tiny, None, **options)


def test_pairs_that_are_never_negatives_are_dropped_and_counted(minilm):
    never = [("solderer", "welder"), ("nurse", "head of sales")]
    features = features_of(GuidedLoss(minilm, None), ANCHORS, POSITIVES, NEGATIVES)
    losses = [GuidedLoss(minilm, None, temperature=0.5, never=given) for given in ((), never)]
    plain, spared = (loss(features, None).item() for loss in losses)
    assert spared < plain
    rates = [loss.drop_rates()["never"] for loss in losses]
    # 5 rows meet 5 positives, 5 negatives, 5 anchors and 5 positives, less their own positive: 19 candidates each.
    assert rates == [0.0, 2 / 95]
    assert losses[1].get_config_dict()["never"] == 2
