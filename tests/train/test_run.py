"""A whole run on the sample with a tiny model: what it writes, loads and resumes, and that it is never half-done."""

import csv
import html
import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import encode
from tutelage.errors import ConfigError
from tutelage.evaluate.per_query import PER_QUERY, load_per_query
from tutelage.evaluate.retrieval import evaluate_retrieval
from tutelage.evaluate.sets import split_of
from tutelage.records.judged import retrieval_set
from tutelage.records.splits import comparable
from tutelage.train import build, judges
from tutelage.train.recipe import DataRecipe, EvaluateRecipe, load_recipe
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
    assert written["queries_seen"] == {"sample-heldout:en": 0}
    assert all("drop_guide" in entry for entry in written["training"]["log"])
    assert load_recipe(recipe.output / "recipe.yaml") == recipe
    card = (recipe.output / "model" / "README.md").read_text()
    assert "## Before and after" in card
    kept = load_per_query(recipe.output / PER_QUERY)
    for stage in ("before", "after"):
        means = {name: result.means for name, result in kept[stage].items()}
        assert means == {name: pytest.approx(values) for name, values in written[stage].items()}
    assert kept["after"]["sample-heldout:en"].cluster[0].startswith("sample:occupation")
    gain = written["difference"]["sample-heldout:en"]["map"]
    assert 0 < gain["p"] <= gain["p_holm"] <= 1
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


def test_the_report_names_the_worst_queries_and_maps_the_languages(short):
    report = run_recipe(short("evaluate.sets=['sample-heldout:en', 'sample-mix:en-de']"))
    rows = report["worst"]["sample-heldout:en"]
    values = [row["after"] for row in rows]
    assert len(rows) == 50
    assert values == sorted(values)
    assert np.mean(values) < report["after"]["sample-heldout:en"]["map"]
    held_out = retrieval_set("sample-heldout:en", share=0.3)
    for row in rows:
        assert {found["id"] for found in row["predicted"] if found["right"]} <= held_out.relevance[row["query"]]
        assert row["query"] not in [found["id"] for found in row["predicted"]]
    assert report["languages"]["rows"] == ["en"]
    assert report["languages"]["columns"] == ["en", "de"]
    assert report["languages"]["after"] == [[report["after"][name]["map"] for name in report["after"]]]
    page = (short().output / "report.html").read_text(encoding="utf-8")
    assert html.escape(rows[0]["text"]) in page
    beside = json.loads((short().output / "model" / "report.json").read_text())
    assert beside == {key: content for key, content in report.items() if key != "worst"}, "a model carries no texts"


def test_a_run_that_dies_leaves_no_report_and_no_model(short, monkeypatch):
    from tutelage.train import place

    def fail(*args):
        raise RuntimeError("the power went")

    monkeypatch.setattr(place, "complete_card", fail)
    recipe = short()
    with pytest.raises(RuntimeError, match="the power went"):
        run_recipe(recipe)
    assert not (recipe.output / "report.json").exists()
    assert not (recipe.output / "report.html").exists()
    assert not (recipe.output / "model").exists()


def test_a_resumed_run_ends_where_an_unbroken_one_does(short, tmp_path):
    """Broken off after two of four steps: the weights are those of the unbroken run, to the bit."""
    steps = ["training.max_steps=4", "training.save_every=2"]
    whole = run_recipe(short(f"output={tmp_path / 'whole'}", *steps))
    broken = short(*steps)
    run_recipe(broken)
    shutil.rmtree(broken.output / "checkpoints" / "checkpoint-4")
    (broken.output / "report.json").unlink()
    resumed = run_recipe(broken, resume=True)
    assert [entry["step"] for entry in resumed["training"]["log"]] == [1, 2, 3, 4]
    assert resumed["training"]["steps"] == whole["training"]["steps"]
    one, other = (load_file(home / "model" / "model.safetensors") for home in (broken.output, tmp_path / "whole"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_resumed_run_hides_the_same_concepts_and_keeps_by_the_same_figure(short):
    run_recipe(short("training.save_every=2", "training.evaluate_every=2"))
    same = ["training.save_every=2", "training.evaluate_every=2"]
    for change, section in (("sets=['sample-heldout:de']", "sets"), ("best={set: 'sample-heldout:en'}", "best")):
        with pytest.raises(ConfigError, match=rf"--resume: evaluate\.{section} differs"):
            run_recipe(short(*same, f"evaluate.{change}"), resume=True)


def test_before_and_after_are_measured_in_the_precision_of_the_saved_weights(short):
    """Autocast, which a trainer puts around its model, must not reach the figures of the report."""
    recipe = short("training.precision=bf16", "training.evaluate_every=3")
    report = run_recipe(recipe)
    saved = SentenceTransformer(str(recipe.output / "model"), device="cpu")
    held_out = retrieval_set("sample-heldout:en", **split_of(str(recipe.output / "model")))
    alone = evaluate_retrieval(saved, held_out, metrics=["map"])
    assert report["after"]["sample-heldout:en"]["map"] == alone.means["map"]
    assert report["history"][-1]["sample-heldout:en map"] == alone.means["map"]


def test_a_refusal_leaves_the_finished_run_that_was_to_be_replaced(short):
    recipe = short()
    run_recipe(recipe)
    kept = (recipe.output / "report.json").read_text()
    for fault in ("loss.dims=[17]", "training.report_to=[no_such_logger]"):
        with pytest.raises((ConfigError, ValueError)):
            run_recipe(short(fault), overwrite=True)
        assert (recipe.output / "report.json").read_text() == kept
        assert (recipe.output / "model").is_dir()


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


def test_checkpoints_of_weights_alone_are_kept_and_nothing_to_resume(short):
    recipe = short("training.save_every=2", "training.save_only_model=true")
    run_recipe(recipe)
    (recipe.output / "report.json").unlink()
    kept = {*(recipe.output / "checkpoints").iterdir()}
    with pytest.raises(ConfigError, match=r"holds an unfinished run\. Give --overwrite, or another output"):
        run_recipe(recipe)
    with pytest.raises(ConfigError, match=r"holds weights alone \(training\.save_only_model\)"):
        run_recipe(recipe, resume=True)
    assert {*(recipe.output / "checkpoints").iterdir()} == kept


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
        (
            "data.train=[{source: pairs.csv}]",
            "'concepts' needs concepts, which sample:, esco: and talentclef: sources have, and tables with a column "
            r"'concept'\. Add one, or set sampling\.sampler=no_duplicates\.",
        ),
    ],
)
def test_data_that_fills_no_batch_is_refused_before_a_model_is_loaded(short, setting, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.csv").write_text("anchor,positive\nsome text,another\n")
    with pytest.raises(ConfigError, match=message):
        run_recipe(short(setting, "model.name=never/loaded"))


def test_a_resumed_run_must_learn_from_what_it_was_begun_with(short, tmp_path):
    rows = [f"nurse {i},carer {i}" for i in range(80)]
    (tmp_path / "own.csv").write_text("\n".join(["anchor,positive", *rows]) + "\n")
    (tmp_path / "more.csv").write_text(
        "\n".join(["anchor,positive", *(f"cook {i},chef {i}" for i in range(40))]) + "\n"
    )
    more = f"{{source: {tmp_path / 'more.csv'}, name: more, optional: true}}"
    sources = f"data.train=[{{source: {tmp_path / 'own.csv'}, name: own}}, {more}]"
    settings = sources, "training.save_every=2", "sampling.sampler=no_duplicates"
    run_recipe(short(*settings))
    report = run_recipe(short(*settings, "training.max_steps=4"), resume=True)
    assert report["training"]["resumed_at"] == 3
    (tmp_path / "own.csv").write_text("\n".join(["anchor,positive", *rows[::-1]]) + "\n")
    with pytest.raises(
        ConfigError, match=r"data set 'own' is another than the run .* was begun with \(80 rows of it\)"
    ):
        run_recipe(short(*settings, "training.max_steps=5"), resume=True)
    (tmp_path / "own.csv").write_text("\n".join(["anchor,positive", *rows]) + "\n")
    (tmp_path / "more.csv").unlink()
    with pytest.raises(ConfigError, match="data set 'more' is another"):
        run_recipe(short(*settings, "training.max_steps=5"), resume=True)


def test_what_is_not_at_hand_is_told_and_not_claimed(short, monkeypatch):
    monkeypatch.delenv("TUTELAGE_DATA", raising=False)
    said = []
    recipe = short(
        "data.train=['sample:en', {source: 'esco:zh', optional: true}]", "evaluate.optional=['talentclef:zh']",
        "training.max_steps=1",
    )  # fmt: skip
    report = run_recipe(recipe, say=said.append)
    assert report["absent"] == ["esco:zh", "talentclef:zh"]
    assert "not at hand, and left out: 'esco:zh'" in said
    card = (recipe.output / "model" / "README.md").read_text(encoding="utf-8")
    assert "- zh" not in card
    assert "ESCO classification" not in card


def test_a_folder_of_somebodys_own_is_left_alone(short):
    recipe = short()
    (recipe.output / "model").mkdir(parents=True)
    (recipe.output / "model" / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="its 'model' is of no run of ours"):
            run_recipe(recipe, overwrite=overwrite)
    assert (recipe.output / "model" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("key", ["model.name", "guide.name"])
def test_a_model_is_not_replaced_by_what_is_made_of_it(short, key):
    recipe = short("training.max_steps=1")
    run_recipe(recipe)
    with pytest.raises(ConfigError, match=rf"{key} is .*, in whose place the run will write its own"):
        run_recipe(short(f"{key}={recipe.output / 'model'}"), overwrite=True)
    assert SentenceTransformer(str(recipe.output / "model"), device="cpu")


def test_rows_that_fit_into_no_batch_are_told(short, tmp_path):
    rows = [*(f"what is {i},number {i}" for i in range(64)), *(f"how to {i},see the page" for i in range(40))]
    (tmp_path / "own.csv").write_text("\n".join(["anchor,positive", *rows]) + "\n")
    said = []
    source = f"data.train=[{tmp_path / 'own.csv'}]"
    run_recipe(short(source, "training.max_steps=1", "sampling.sampler=no_duplicates"), say=said.append)
    assert f"of '{tmp_path / 'own.csv'}' 64 of 104 rows stand in an epoch's full batches, no text twice in one" in said


def test_a_quiet_run_says_its_losses_and_prints_nothing(short, capsys):
    said = []
    run_recipe(short("training.evaluate_every=3"), say=said.append, quiet=True)
    steps = [line for line in said if line.startswith("step ")]
    assert [line.partition(":")[0] for line in steps] == [f"step {n} of 3" for n in (1, 2, 3, 3)]
    assert re.fullmatch(r"step 1 of 3: loss \d+\.\d{4}", steps[0])
    assert re.fullmatch(r"step 3 of 3: sample-heldout:en map 0\.\d{4}", steps[-1])
    assert capsys.readouterr().out == ""


def test_a_logger_that_is_not_there_is_refused_before_anything_is_written(short):
    absent = next(name for name in ("comet_ml", "neptune", "clearml") if find_spec(name) is None)
    for name, said in (("foo", "'foo' is unknown"), (absent, f"'{absent}' is not installed")):
        recipe = short(f"training.report_to=[{name}]")
        with pytest.raises(ConfigError, match=rf"training\.report_to: {said}"):
            run_recipe(recipe)
        assert not recipe.output.exists()


def test_resume_without_a_checkpoint_says_what_to_do(short):
    with pytest.raises(ConfigError, match=r"no checkpoint in .* Set training.save_every"):
        run_recipe(short(), resume=True)


def test_evaluation_during_training_reaches_the_log(short):
    run_recipe(recipe := short("training.evaluate_every=2"))
    card = (recipe.output / "model" / "README.md").read_text()
    assert "sample-heldout-en_cosine_map" in card


def test_evaluations_on_the_way_reach_the_history_file_the_report_and_the_card(short):
    recipe = short("training.evaluate_every=1", "evaluate.main=ndcg@200")
    report = run_recipe(recipe)
    assert [entry["step"] for entry in report["history"]] == [1, 2, 3]
    assert report["history"][-1]["sample-heldout:en map"] == pytest.approx(report["after"]["sample-heldout:en"]["map"])
    with (recipe.output / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    for row, entry in zip(rows, report["history"], strict=True):
        assert float(row["eval_sample-heldout-en_cosine_map"]) == entry["sample-heldout:en map"]
        assert float(row["loss"]) > 0
    logs = (recipe.output / "model" / "README.md").read_text().partition("### Training Logs")[2]
    assert "sample-heldout-en_cosine_ndcg@200" in logs.partition("###")[0]


def test_the_best_checkpoint_is_kept_in_place_of_the_last(short):
    """Steps so wild that the model falls apart: the first one kept must beat the last one."""
    wild = ["training.learning_rate=5", "training.max_steps=4", "training.warmup=0", "training.evaluate_every=1"]
    best = {"set": "sample-heldout:en", "metric": "mrr@10"}
    report = run_recipe(short(*wild, f"evaluate.best={best}"))
    values = [entry["sample-heldout:en mrr@10"] for entry in report["history"]]
    assert values.index(max(values)) + 1 == report["training"]["best_step"] < 4
    assert report["after"]["sample-heldout:en"]["mrr@10"] == pytest.approx(max(values))
    assert max(values) > values[-1]


@pytest.fixture
def general(tmp_path):
    """A general set that training destroys or not, by the scores given."""

    def write(scores):
        rows = zip("abcdefghijklmnop", "bcdefghijklmnopa", scores, strict=True)
        lines = ["sentence1\tsentence2\tscore", *(f"{a}{b}{a}\t{b}{a}{b}{b}\t{score}" for a, b, score in rows)]
        (tmp_path / "sts.tsv").write_text("\n".join(lines) + "\n")
        return f"evaluate.general=[{tmp_path / 'sts.tsv'}]"

    return write


def test_a_run_is_judged_beside_retrieval_and_says_what_it_forgot(short, general, tmp_path, monkeypatch):
    (tmp_path / "dev.csv").write_text("anchor,positive,negative\nnurse,RN,welder\nnurse,nurses,cook\n")
    said = []
    sets = [f"evaluate.triplets=[{tmp_path / 'dev.csv'}]", general(range(16)), "loss.dims=[16, 8]"]
    real = judges.compare_checks

    def fallen(before, after):
        found = real(before, after)
        found["general"]["sts"] |= {"high": -0.1, "warn": True}
        return found

    monkeypatch.setattr(judges, "compare_checks", fallen)
    report = run_recipe(short(*sets, "training.evaluate_every=2"), say=said.append)
    assert list(report["triplets"]["dev"]) == ["dev-16d_cosine_accuracy", "dev-8d_cosine_accuracy"]
    assert report["general"]["sts"]["metric"] == "spearman"
    assert "gender" not in report
    dims = report["dims"]["sample-heldout:en"]
    assert list(dims) == ["16", "8"]
    assert dims["16"]["map"] == pytest.approx(report["after"]["sample-heldout:en"]["map"])
    kept = load_per_query(tmp_path / "run" / PER_QUERY, dim=8)
    assert kept["after"]["sample-heldout:en"].means["map"] == pytest.approx(dims["8"]["map"])
    (warning,) = [line for line in said if line.startswith("forgotten")]
    assert warning.startswith("forgotten: sts fell from ")
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "dev-8d_cosine_accuracy" in card
    assert "sts_spearman_cosine" in card


@pytest.mark.parametrize("sets", [["sample-heldout:en"], ["sample-mix:en-de"]])
def test_no_text_of_a_held_out_set_is_trained_on_in_any_language(sets):
    """Two texts are planted, one on each side of the set; both leave the training data, and nothing else does."""
    evaluate, data = EvaluateRecipe(sets=sets), DataRecipe(train=[{"source": "sample:en"}, {"source": "sample:de"}])
    found = build.evaluation_sets(evaluate, data, None)
    planted = replace(found[0], corpus=found[0].corpus | {"planted": "Krankenschwester"})
    planted = replace(planted, queries=planted.queries | {"asked": "registered nurse"})
    without, plain = (
        set(map(comparable, build.texts_of(build.training_data(data, None, [given])))) for given in (planted, found[0])
    )
    assert plain - without == {"krankenschwester", "registered nurse"}
    assert not without & set(map(comparable, [*planted.queries.values(), *planted.corpus.values()]))
