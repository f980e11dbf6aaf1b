"""A whole run on the sample with a tiny model: what it writes, loads and resumes, and that it is never half-done."""

import json

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import encode
from tutelage.errors import ConfigError
from tutelage.evaluate.retrieval import RetrievalResult
from tutelage.train.recipe import load_recipe
from tutelage.train.run import run_recipe

SETTINGS = [
    "model.max_length=16",
    "sampling.batch_size=32",
    "training.max_steps=3",
    "training.precision=fp32",
    "training.log_every=1",
]


@pytest.fixture
def short(tiny, tmp_path):
    """Build a recipe over the tiny model, with more settings if wanted."""
    tiny.save_pretrained(str(tmp_path / "start"))
    names = [f"model.name={tmp_path / 'start'}", f"guide.name={tmp_path / 'start'}", f"output={tmp_path / 'run'}"]
    return lambda *more: load_recipe("demo_sample", [*SETTINGS, *names, *more])


def test_a_run_writes_model_card_report_and_recipe(short):
    recipe = short()
    report = run_recipe(recipe)
    written = json.loads((recipe.output / "report.json").read_text())
    assert written == report
    assert written["before"].keys() == written["after"].keys() == {"sample-heldout:en"}
    assert {"map", "map@500", "ndcg@200"} <= written["after"]["sample-heldout:en"].keys()
    assert written["before"] != written["after"]
    assert written["training"]["steps"] == 3
    assert all("drop_guide" in entry for entry in written["training"]["log"])
    assert load_recipe(recipe.output / "recipe.yaml") == recipe
    card = (recipe.output / "model" / "README.md").read_text()
    assert "## Before and after" in card
    page = (recipe.output / "report.html").read_text(encoding="utf-8")
    assert f"{written['after']['sample-heldout:en']['map']:.4f}" in page
    assert "sample:occupation" not in card.partition("## Training Details")[0]
    assert list(recipe.output.glob("checkpoints/runs/*/events*")), "nothing reached TensorBoard"


def test_the_saved_folder_loads_in_stock_sentence_transformers_with_the_same_vectors(short):
    recipe = short()
    run_recipe(recipe)
    stock = SentenceTransformer(str(recipe.output / "model"), device="cpu")
    texts = ["nurse", "Krankenpfleger", "a rather long title, that goes on and on and is cut"]
    wanted = stock.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(encode(stock, texts), wanted, atol=1e-6)
    assert stock.max_seq_length == 16


def test_a_finished_run_is_kept_unless_told_otherwise(short):
    recipe = short()
    run_recipe(recipe)
    with pytest.raises(ConfigError, match=r"holds a finished run\. Give --overwrite"):
        run_recipe(recipe)
    run_recipe(recipe, overwrite=True)


def test_the_report_holds_worst_queries_and_languages_where_results_have_them(short, monkeypatch):
    from tutelage.train import run

    def measured(model, evaluators, trainer=None):
        return {
            name: RetrievalResult(name, [query], [query], {"map": np.array([0.5])}, top=[[(entry, 0.9)]])
            for name, query, entry in ((e.retrieval.name, *_one_pair(e.retrieval)) for e in evaluators)
        }

    monkeypatch.setattr(run, "_measure", measured)
    report = run_recipe(short())
    ((row,),) = report["worst"].values()
    assert (row["metric"], row["after"], row["gold"][0]["rank"]) == ("map", 0.5, 1)
    assert "languages" not in report, "no set crosses languages"
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(run, "heat_map", lambda *means_and_metric: asked.append(means_and_metric))
    run_recipe(short(), overwrite=True)
    assert asked == [({"sample-heldout:en": 0.5}, {"sample-heldout:en": 0.5}, "map")]


def _one_pair(retrieval):
    query = next(iter(retrieval.relevance))
    return query, min(retrieval.relevance[query])


def test_a_run_that_dies_leaves_no_report_and_no_model(short, monkeypatch):
    from tutelage.train import run

    def fail(*args):
        raise RuntimeError("the power went")

    monkeypatch.setattr(run, "complete_card", fail)
    recipe = short()
    with pytest.raises(RuntimeError, match="the power went"):
        run_recipe(recipe)
    assert not (recipe.output / "report.json").exists()
    assert not (recipe.output / "report.html").exists()
    assert not (recipe.output / "model").exists()


def test_a_resumed_run_ends_where_an_unbroken_one_does(short, tmp_path):
    whole = run_recipe(short(f"output={tmp_path / 'whole'}", "training.max_steps=4"))
    broken = short("training.max_steps=4", "training.save_every=2")
    run_recipe(short("training.max_steps=2", "training.save_every=2"))
    checkpoint = broken.output / "checkpoints" / "checkpoint-2"
    assert checkpoint.is_dir()
    resumed = run_recipe(broken, resume=True)
    assert [entry["step"] for entry in resumed["training"]["log"]][-2:] == [3, 4]
    assert resumed["training"]["steps"] == whole["training"]["steps"]


def test_a_resumed_run_must_be_the_one_that_was_begun(short):
    run_recipe(short("training.save_every=2"))
    with pytest.raises(ConfigError, match=r"--resume: training\.learning_rate differs"):
        run_recipe(short("training.save_every=2", "training.learning_rate=1e-6"), resume=True)


def test_an_unfinished_run_is_not_begun_anew_unless_told(short):
    recipe = short("training.save_every=2")
    run_recipe(recipe)
    (recipe.output / "report.json").unlink()
    with pytest.raises(ConfigError, match=r"holds an unfinished run\. Give --resume"):
        run_recipe(recipe)


def test_a_checkpoint_that_was_cut_off_is_passed_over(short):
    recipe = short("training.save_every=2", "training.max_steps=4")
    run_recipe(recipe)
    (recipe.output / "checkpoints" / "checkpoint-4" / "trainer_state.json").unlink()
    resumed = run_recipe(recipe, resume=True)
    assert [entry["step"] for entry in resumed["training"]["log"]][-2:] == [3, 4]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sampling.batch_size=5000", r"\d+ concepts make no batch of 5000\. Set sampling\.batch_size to \d+ or less"),
        ("data.train=[{source: pairs.csv}]", "sampler 'concepts' needs a concept column"),
    ],
)
def test_data_that_fills_no_batch_is_refused_before_a_model_is_loaded(short, setting, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.csv").write_text("anchor,positive\nsome text,another\n")
    with pytest.raises(ConfigError, match=message):
        run_recipe(short(setting, "model.name=never/loaded"))


def test_resume_without_a_checkpoint_says_what_to_do(short):
    with pytest.raises(ConfigError, match=r"no checkpoint in .* Set training.save_every"):
        run_recipe(short(), resume=True)


def test_evaluation_during_training_reaches_the_log(short):
    run_recipe(recipe := short("training.evaluate_every=2"))
    card = (recipe.output / "model" / "README.md").read_text()
    assert "sample-heldout-en_cosine_map" in card
