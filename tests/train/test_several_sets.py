"""Several sets in one run: each with its own batch size, temperature, margin, prompts and share of the batches."""

import numpy as np
import pytest
import torch
from datasets import DatasetDict

from tutelage.encode.encoder import encode
from tutelage.errors import ConfigError
from tutelage.records.texts import text_ids
from tutelage.train import build
from tutelage.train.arguments import mixing, training_arguments
from tutelage.train.recipe import load_recipe
from tutelage.train.run import prepare, run_recipe

TWO = "data.train=[{source: 'sample:en', FIRST}, {source: 'sample:de', SECOND}]"


def two(first: str = "", second: str = "") -> str:
    return TWO.replace(", FIRST", f", {first}" * bool(first)).replace(", SECOND", f", {second}" * bool(second))


@pytest.fixture
def recipe(tiny, tmp_path):
    """Build a recipe over the tiny model, with more settings if wanted."""
    tiny.save_pretrained(str(tmp_path / "start"))
    names = [f"model.name={tmp_path / 'start'}", f"guide.name={tmp_path / 'start'}", f"output={tmp_path / 'run'}"]
    fixed = ["model.max_length=16", "sampling.batch_size=16", "training.precision=fp32", "training.log_every=1"]
    return lambda *more: load_recipe("demo_sample", [*fixed, *names, *more])


def test_a_set_alone_is_trained_as_one_data_set(recipe) -> None:
    train = prepare(recipe(), None).train
    assert list(train) == ["sample:en"]
    assert not isinstance(build.one_or_several(train), DatasetDict)


def test_a_source_named_twice_makes_two_sets(recipe) -> None:
    given = recipe("data.train=[{source: 'sample:en'}, {source: 'sample:en'}, {source: 'sample:en', name: mine}]")
    assert list(given.data.sets) == ["sample:en", "sample:en #2", "mine"]


def test_each_set_has_its_own_loss_and_batches(recipe, tiny) -> None:
    given = recipe(two("temperature: 0.5, batch_size: 8", "margin: 0.25"), "loss.temperature=0.02")
    losses = build.guided_losses(given, tiny, None, given.data.sets)
    found = {name: (loss.options["temperature"], loss.options["margin"]) for name, loss in losses.items()}
    assert found == {"sample:en": (0.5, 0.0), "sample:de": (0.02, 0.25)}
    assert [given.of_set(name).sampling.batch_size for name in given.data.sets] == [8, 16]


def test_a_run_of_two_sets_logs_the_guides_rate_in_each(recipe) -> None:
    report = run_recipe(recipe(two("batch_size: 8"), "training.max_steps=6", "sampling.mix=round_robin"))
    logs = report["training"]["log"]
    assert len(logs) == 6
    assert [{key for key in entry if key.startswith("drop_guide_")} for entry in logs] == [
        {"drop_guide_sample:en"}, {"drop_guide_sample:de"},
    ] * 3  # fmt: skip
    own = [entry[f"drop_guide_sample:{language}"] for entry, language in zip(logs, ["en", "de"] * 3, strict=True)]
    assert [entry["drop_guide"] for entry in logs] == own
    assert len(set(own)) > 1


def test_a_set_alone_has_its_own_batch_size_too(recipe) -> None:
    """All of its concepts are fewer than the recipe's size for every set."""
    given = recipe("data.train=[{source: 'sample:en', batch_size: 8}]", "sampling.batch_size=4096", "training.epochs=1")
    concepts = len(set(prepare(given, None).train["sample:en"]["concept"]))
    said: list[str] = []
    report = run_recipe(given, say=said.append)
    assert report["training"]["steps"] == concepts // 8 > 10
    assert f"training: {concepts // 8} batches of 8 an epoch" in said


def test_the_batches_have_their_sets_sizes(recipe, tmp_path) -> None:
    from tutelage import GuidedTrainer
    from tutelage.encode.models import load_model

    given = recipe(two("batch_size: 8"), "sampling.mix=round_robin")
    train = prepare(given, None).train
    model = load_model(given.model.name, device="cpu")
    trainer = GuidedTrainer(
        model=model, args=training_arguments(given, tmp_path, list(train), quiet=True), train_dataset=train,
        loss=build.guided_losses(given, model, None, train), batch_sizes={"sample:en": 8},
    )  # fmt: skip
    sizes = [len(batch["anchor_text_id"]) for batch in trainer.get_train_dataloader()]
    assert sizes[:4] == [8, 16, 8, 16]


def test_weights_are_handed_on_in_the_order_of_the_sets(recipe) -> None:
    given = recipe(two("weight: 3", "weight: 1"), "sampling.mix=weights")
    assert mixing(given, ["sample:en", "sample:de"]).keywords == {"weights": [3, 1]}
    # Accepted pairs that belong to no source make a set of their own, of average weight.
    assert mixing(given, ["sample:de", "verdicts"]).keywords == {"weights": [1, 2]}


def test_a_weight_that_decides_nothing_is_refused(recipe) -> None:
    with pytest.raises(ConfigError, match=r"'sample:en' has a weight, and sampling\.mix is proportional"):
        recipe(two("weight: 3"))


def test_a_set_without_a_weight_is_refused_where_weights_decide(recipe) -> None:
    with pytest.raises(ConfigError, match=r"mix is weights, and 'sample:de' has none\. Set its weight in data\.train"):
        recipe(two("weight: 3"), "sampling.mix=weights")


def test_prompts_reach_the_encoder_and_not_the_guide(recipe, tmp_path) -> None:
    from tutelage import GuidedTrainer
    from tutelage.encode.models import load_model

    given = recipe(two("prompts: {anchor: 'title: '}"), "sampling.mix=round_robin")
    train = prepare(given, None).train
    model = load_model(given.model.name, device="cpu")
    args = training_arguments(given, tmp_path, list(train), quiet=True)
    assert args.prompts == {"sample:en": {"anchor": "title: "}}
    store = build.guide_store(given, build.texts_of(train), tmp_path / "guide", overwrite=False)
    assert store is not None
    trainer = GuidedTrainer(
        model=model, args=args, train_dataset=train, loss=build.guided_losses(given, model, store, train)
    )
    prompted, plain = [batch for batch, _ in zip(trainer.get_train_dataloader(), range(2), strict=False)]
    written = [model.tokenizer.decode(batch["anchor_input_ids"][0]) for batch in (prompted, plain)]
    assert "t i t l e" in written[0].replace("#", "").replace("  ", " ") or "title" in written[0].replace(" ", "")
    assert "title:" not in written[1].replace(" ", "")
    text = next(iter(train["sample:en"]["anchor"]))
    unprompted = encode(model, [text])[0]
    np.testing.assert_allclose(store.vectors(text_ids([text]))[0].numpy(), unprompted, atol=1e-3)  # float16


def test_a_run_with_layers_cut_off_saves_the_smaller_model(recipe) -> None:
    from sentence_transformers import SentenceTransformer

    given = recipe("model.layers=1", "training.max_steps=1")
    run_recipe(given)
    saved = SentenceTransformer(str(given.output / "model"), device="cpu")
    assert saved[0].auto_model.config.num_hidden_layers == 1


def test_the_report_says_in_which_precision_a_run_was(recipe, monkeypatch) -> None:
    from tutelage.encode import precision

    monkeypatch.setattr(precision, "_seconds", lambda dtype: 1.0)
    report = run_recipe(recipe("training.max_steps=1", "training.precision=auto"))
    assert report["training"]["precision"] == "fp32"


def test_a_resumed_run_keeps_the_precision_that_was_settled(recipe, monkeypatch) -> None:
    from tutelage.encode import precision

    monkeypatch.setattr(precision, "_seconds", lambda dtype: 1.0)
    settings = "training.precision=auto", "training.save_every=1"
    run_recipe(recipe("training.max_steps=1", *settings))
    monkeypatch.setattr(precision, "_seconds", lambda dtype: 0.5 if dtype == torch.bfloat16 else 1.0)
    report = run_recipe(recipe("training.max_steps=2", *settings), resume=True)
    assert report["training"]["precision"] == report["recipe"]["training"]["precision"] == "fp32"


def test_fp16_without_a_gpu_is_refused_before_anything_is_written(recipe) -> None:
    given = recipe("training.precision=fp16")
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        run_recipe(given)
    assert not given.output.exists()


def test_sets_may_have_any_name(recipe, tmp_path) -> None:
    """A file's name holds a dot; "train" is a method of every module."""
    rows = "".join(f"nurse {i},carer {i}\n" for i in range(40))
    (tmp_path / "pairs.csv").write_text("anchor,positive\n" + rows)
    sources = f"data.train=['{tmp_path / 'pairs.csv'}', {{source: 'sample:en', name: train}}]"
    report = run_recipe(recipe(sources, "training.max_steps=4", "sampling.sampler=no_duplicates"))
    assert report["training"]["steps"] == 4


@pytest.mark.parametrize("mix", ["proportional", "round_robin", "weights"])
def test_a_set_of_which_no_batch_can_be_made_is_refused(recipe, tmp_path, mix: str) -> None:
    (tmp_path / "pairs.csv").write_text("anchor,positive\n" + "".join(f"nurse,carer {i}\n" for i in range(40)))
    weight = "weight: 1" if mix == "weights" else "optional: false"
    sources = f"[{{source: '{tmp_path / 'pairs.csv'}', {weight}}}, {{source: 'sample:en', {weight}}}]"
    given = recipe(f"data.train={sources}", f"sampling.mix={mix}", "sampling.sampler=no_duplicates")
    with pytest.raises(ConfigError, match=r"pairs\.csv' makes no batch of 16 in which no text stands twice"):
        prepare(given, None)
