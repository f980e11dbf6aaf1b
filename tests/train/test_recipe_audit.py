"""An audit of the sample: the batches are training's, the counts are the loss's, the files wait for a person."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tutelage import GuidedTrainer
from tutelage.errors import ConfigError
from tutelage.evaluate.audit_tables import audit_tables
from tutelage.train import build
from tutelage.train.arguments import training_arguments
from tutelage.train.audit import _planned, audit
from tutelage.train.recipe import load_recipe
from tutelage.train.run import prepare, run_recipe

SETTINGS = ["model.max_length=16", "sampling.batch_size=32", "training.precision=fp32", "training.max_steps=2",
            "training.log_every=1", "training.learning_rate=1e-12", "loss.margin=0.02"]  # fmt: skip


@pytest.fixture
def recipe(tiny, tmp_path):
    """Build a recipe over the tiny model, with more settings if wanted."""
    tiny.save_pretrained(str(tmp_path / "start"))
    names = [f"model.name={tmp_path / 'start'}", f"guide.name={tmp_path / 'start'}", f"output={tmp_path / 'run'}"]
    return lambda *more: load_recipe("demo_sample", [*SETTINGS, *names, *more])


def quiet(recipe, **options):
    return audit(recipe, progress=False, **{"batches": 2} | options)


@pytest.mark.parametrize("sampler", ["concepts", "no_duplicates"])
@pytest.mark.parametrize("sources", ["[{source: sample:en}]", "[{source: sample:en}, {source: sample:de}]"])
def test_the_batches_are_those_that_training_meets(recipe, tmp_path, tiny, sampler, sources):
    given = recipe(f"sampling.sampler={sampler}", f"data.train={sources}")
    train = prepare(given, None).train
    trainer = GuidedTrainer(
        model=tiny,
        args=training_arguments(given, tmp_path, quiet=True),
        train_dataset=build.one_or_several(train),
        loss=build.guided_loss(given, tiny, None),
    )
    met = [frozenset(batch["anchor_text_id"].tolist()) for batch in trainer.get_train_dataloader()]
    from tutelage.records.texts import text_ids

    for planned in _planned(given, train, 3):
        for batch in planned.batches:
            assert frozenset(text_ids(planned.rows[batch]["anchor"]).tolist()) in met


@pytest.mark.parametrize("guides", [[], ["guide={name: [tfidf, start], combine: max}"]], ids=["one", "several"])
def test_the_rates_are_those_that_training_logs(recipe, guides):
    """At a learning rate of next to nothing, of the very batches that training met."""
    found = quiet(recipe(*guides))["sets"]["sample:en"]["32"]
    logged = run_recipe(recipe(*guides))["training"]["log"]
    assert len(logged) == found["batches"] == 2
    for rule, rate in found["rates"].items():
        assert sum(entry[f"drop_{rule}"] for entry in logged) / 2 == pytest.approx(rate, abs=2e-6)
    assert found["rates"]["guide"] > 0.01


def test_a_judged_pair_is_noticed_by_the_next_audit(recipe, tmp_path):
    before = quiet(recipe())
    first = before["dropped"][0]
    (tmp_path / "judged.csv").write_text(f"anchor,candidate,verdict\n{first['anchor']},{first['candidate']},never\n")
    after = quiet(recipe(f"data.verdicts=['{tmp_path / 'judged.csv'}']"))
    assert before["sets"]["sample:en"]["32"]["dropped"]["never"] == 0
    assert after["sets"]["sample:en"]["32"]["dropped"]["never"] >= first["times"]
    assert {first["anchor"], first["candidate"]} not in [{row["anchor"], row["candidate"]} for row in after["dropped"]]


def test_files_say_what_the_dict_says_and_a_second_audit_says_the_same(recipe, tmp_path):
    found = quiet(recipe(), batch_sizes=[16, 32])
    out = tmp_path / "run" / "audit"
    written = json.loads((out / "audit.json").read_text())
    assert written == found
    assert list(found["sets"]["sample:en"]) == ["16", "32"]
    for kind in ("dropped", "near"):
        table = pq.read_table(out / f"{kind}.parquet")
        assert table.num_rows == len(found[kind]) == 200
        assert table.column_names[-1] == "verdict"
        assert table.column("anchor").to_pylist() == [row["anchor"] for row in found[kind]]
    assert all(row["guide_score"] > row["ceiling"] for row in found["dropped"])
    assert all(row["guide_score"] <= row["ceiling"] for row in found["near"])
    assert {row["language_anchor"] for row in found["near"]} == {"en"}
    assert all(row["concept_anchor"].startswith("sample:occupation") for row in found["near"])
    again = quiet(recipe(), batch_sizes=[16, 32], out=tmp_path / "other")
    assert {key: again[key] for key in ("sets", "dropped", "near")} == {
        key: found[key] for key in ("sets", "dropped", "near")
    }
    assert not (tmp_path / "run" / "report.json").exists()


SAME = ["guide.dtype=float32", "model.max_length=null"]  # the guide is the encoder, to the bit


def test_a_checkpoint_is_compared_with_the_guide(recipe, tmp_path):
    from conftest import tiny_model

    tiny_model(tmp_path / "other", seed=5).save_pretrained(str(tmp_path / "checkpoint"))
    itself = quiet(recipe(*SAME))["sets"]["sample:en"]["32"]["agreement"]
    other = quiet(recipe(*SAME), model=str(tmp_path / "checkpoint"))["sets"]["sample:en"]["32"]["agreement"]
    assert itself["spearman"] > 0.999
    assert other["spearman"] < 0.9
    assert other["encoder_drops_too"] < itself["encoder_drops_too"]


def test_the_encoder_has_the_layers_that_the_recipe_trains(recipe):
    whole = quiet(recipe(*SAME))["sets"]["sample:en"]["32"]["agreement"]
    one = quiet(recipe(*SAME, "model.layers=1"))["sets"]["sample:en"]["32"]["agreement"]
    assert whole["spearman"] > 0.999
    assert one["spearman"] < whole["spearman"]


def test_verdicts_are_never_overwritten(recipe, tmp_path):
    quiet(recipe())
    path = tmp_path / "run" / "audit" / "near.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[3]["verdict"] = "positive"
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(
        ConfigError, match=re.escape(f"audit: {path} holds verdicts, which a new audit would overwrite")
    ):
        quiet(recipe())


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (["guide.name=null"], {}, "audit: the recipe has no guide. Set guide.name."),
        ([], {"rate": 1.0}, "audit: rate is 1.0; wanted a share of the candidates between 0 and 1."),
        ([], {"batch_sizes": [32, 5000]}, r"\d+ concepts make no batch of 5000\."),
        ([], {"model": "./nowhere"}, "model './nowhere': no such folder"),
    ],
)
def test_what_cannot_be_audited_is_refused_before_a_model_is_loaded(recipe, settings, options, message, monkeypatch):
    monkeypatch.setattr("tutelage.train.audit.load_model", None)
    monkeypatch.setattr("tutelage.train.build.load_model", None)
    with pytest.raises(ConfigError, match=message):
        quiet(recipe(*settings), **options)


def test_data_that_fills_no_batch_without_a_text_twice_is_refused(recipe, tmp_path):
    (tmp_path / "pairs.csv").write_text("anchor,positive\n" + "".join(f"nurse,carer {i}\n" for i in range(40)))
    given = recipe(f"data.train=[{{source: '{tmp_path / 'pairs.csv'}'}}]", "sampling.sampler=no_duplicates")
    with pytest.raises(
        ConfigError, match=r"pairs\.csv' makes no batch of 32 in which no text stands twice\. Set a lower"
    ):
        quiet(given)


def test_the_tables_show_rates_margins_and_pairs(recipe):
    found = quiet(recipe())
    rates, margins, dropped, near = audit_tables(found)
    assert [column.header for column in rates.columns][:4] == ["set", "batch", "self", "text"]
    assert rates.row_count == margins.row_count == 1
    assert dropped.row_count == near.row_count == 10
    assert next(iter(dropped.columns[0].cells)) == found["dropped"][0]["anchor"]
