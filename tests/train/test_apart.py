"""No row to learn from holds a text that the run is judged by; what was left out is counted and told."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Dataset
from records.turkish_fixture import turkish_folder

from tutelage.encode.models import MINILM
from tutelage.errors import ConfigError
from tutelage.evaluate.checks import Checks
from tutelage.guide.mining import MiningRules
from tutelage.records.judged import retrieval_set
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.triplets import TripletSet
from tutelage.train.apart import held_back, keep_apart, queries_seen, told
from tutelage.train.build import training_data
from tutelage.train.mining import mine_triplets
from tutelage.train.recipe import Recipe
from tutelage.train.run import prepare

DEV = Checks([TripletSet("dev", ["Nurse"], ["RN"], ["welder"])])


def rows(*pairs):
    anchors, positives = zip(*pairs, strict=True)
    return Dataset.from_dict({"anchor": anchors, "positive": positives, "concept": ["nurse"] * len(pairs)})


@pytest.fixture
def folder(tmp_path):
    return turkish_folder(tmp_path / "data")


def counts(found):
    return {name: len(rows) for name, rows in found.train.items()}


def recipe(*sources, **evaluate):
    train = [source if isinstance(source, dict) else {"source": source} for source in sources]
    return Recipe.model_validate(
        {
            "output": "runs/never",
            "guide": {"name": None},
            "data": {"train": train},
            "sampling": {"batch_size": 2},
            "evaluate": {"sets": ["sample-heldout:en"], **evaluate},
        }
    )


def test_rows_that_hold_a_judged_text_in_any_column_and_spelling_are_left_out():
    data = {"a": rows(("nurse ", "carer"), ("cook", "chef"), ("fitter", "WELDER")), "b": rows(("cook", "chef"))}
    kept, left_out = keep_apart(data, [], DEV)
    assert kept["a"][:] == {"anchor": ["cook"], "positive": ["chef"], "concept": ["nurse"]}
    assert kept["b"][:] == data["b"][:]
    assert left_out == {"a": 2}
    assert told(left_out, {}) == ["left out of 'a': 2 rows that hold a text of a set to judge by"]


def test_queries_that_training_sees_are_counted_by_set_in_any_spelling():
    queries = {"1": "Nurse", "2": "head nurse", "3": "WELDER", "4": "chef"}
    right = {name: frozenset({"x"}) for name in ("1", "2", "3")} | {"4": frozenset()}  # the last is not measured
    sets = [
        RetrievalSet("own", queries, {"x": "carer"}, right),
        RetrievalSet("other", {"1": "ward nurse"}, {"x": "cook"}, {"1": frozenset({"x"})}),
    ]
    data = {"a": rows(("nurse ", "carer"), ("cook", "chef")), "b": rows(("fitter", "welder"))}
    seen = queries_seen(data, sets)
    assert seen == {"own": 2, "other": 0}
    assert told({}, seen) == ["also in training: 2 of the queries of 'own'"]


def test_where_nothing_is_judged_nothing_changes():
    data = {"t": rows(("nurse", "carer"))}
    assert keep_apart(data, [], Checks()) == (data, {})


def test_a_data_set_without_a_row_left_is_refused():
    with pytest.raises(ConfigError) as fault:
        keep_apart({"t.csv": rows(("nurse", "carer"))}, [], DEV)
    assert str(fault.value) == (
        "data.train: every row of 't.csv' holds a text of a set that the recipe judges by. Name another split, or "
        "leave that set out of evaluate."
    )


@pytest.mark.parametrize("where", ["sets", "optional", "general"])
def test_questions_of_a_split_to_judge_by_are_not_learned_from(folder, where):
    found = prepare(recipe("tquad:train", **{"sets": ["sample-heldout:en"], where: ["tquad:dev"]}), folder)
    assert list(found.train["tquad:train"]["anchor"]) == ["Kim geldi?", "Nereye geldi?", "Deniz ne renk?"]
    assert found.left_out == {"tquad:train": 1}


def test_each_kind_of_set_keeps_its_texts_from_every_source(folder):
    sources = ["cnli-tr:train", "stsb-tr:train"]
    with pytest.raises(ConfigError, match="1 pairs make no batch of 2"):
        prepare(recipe(*sources, triplets=["cnli-tr:dev"], general=["stsb-tr:dev"]), folder)
    plain = prepare(recipe(*sources), folder)
    assert counts(plain) == {"cnli-tr:train": 2, "stsb-tr:train": 2}
    assert plain.left_out == {}


def test_passages_that_only_fill_a_corpus_may_be_learned_from(folder):
    found = prepare(recipe("tquad:train", general=["tquad:dev"]), folder)
    assert "Ali eve geldi." in found.train["tquad:train"]["positive"]


def test_mined_triplets_of_a_split_keep_their_passage_and_are_held_apart_as_well(folder, tmp_path, tiny):
    tiny.save_pretrained(str(tmp_path / "tiny"))
    out = tmp_path / "mined.parquet"
    rules = MiningRules(num_negatives=1, relative_margin=None)
    about = mine_triplets("tquad:train", out, folder, model=str(tmp_path / "tiny"), rules=rules, progress=False)
    table = pq.read_table(out).to_pylist()
    assert about["pairs"] == about["triplets"] == 4
    passages = {row["positive"] for row in table}
    assert passages == {"Ali eve geldi.", "Kar yağdı.", "Deniz mavi."}
    assert all(row["negative"] in passages - {row["positive"]} for row in table)
    # Not by `prepare`: four rows of three passages make no batch in which none stands twice.
    train = training_data(recipe({"source": str(out), "columns": ["anchor", "positive", "negative"]}).data, folder, [])
    _, left_out = keep_apart(train, [retrieval_set("tquad:dev", folder)], Checks())
    assert left_out == {str(out): 1}


def test_real_splits_share_sentences_which_are_left_out(data):
    sources = ("cnli-tr:train", "tquad:train", "stsb-tr:train")
    judged = {"sets": ["tquad:dev"], "triplets": ["cnli-tr:dev"], "general": ["stsb-tr:dev"]}
    found = prepare(recipe(*sources, **judged), data)
    assert found.left_out == {"tquad:train": 11, "stsb-tr:train": 72}
    assert counts(found) == {"cnli-tr:train": 831, "tquad:train": 5781, "stsb-tr:train": 1288}


def test_of_a_set_of_ones_own_no_right_answer_is_taught(tmp_path, tiny):
    """What docs/own_data.md shows, as it stands there."""
    document = (Path(__file__).parents[2] / "docs" / "own_data.md").read_text(encoding="utf-8")
    example = document.partition("```yaml\n")[2].partition("```")[0]
    home = tmp_path / "devset"
    home.mkdir()
    (home / "queries").write_text("q_id\ttext\nq1\tNotebook PC\nq2\tnothing of it\n")
    (home / "corpus_elements").write_text("c_id\ttext\nc7\tlaptop\nc8\tdesk phone\n")
    (home / "qrels.tsv").write_text("q1\t0\tc7\t1\n")
    rows = document.partition("```\n")[2].partition("```")[0]
    more = "".join(f"word {i},other {i},d{i}\n" for i in range(64))
    (tmp_path / "pairs.csv").write_text(f"{rows}laptop,notebook pc,c1\nnotebook pc,portable computer,c1\n{more}")
    tree = yaml.safe_load(example) | {"output": str(tmp_path / "run"), "model": {"name": MINILM}}
    tree["data"]["train"][0]["source"] = str(tmp_path / "pairs.csv")
    assert list(held_back(Recipe.model_validate(tree).data, {})) == []
    given = Recipe.model_validate(tree)
    told = "of 'office' 10% of the concepts stay out (data.held_out; 0 learns from all)"
    assert list(held_back(given.data, training_data(given.data, None, []))) == [told]
    tree["data"]["held_out"] = 0
    tree["evaluate"]["sets"] = [f"{home}/"]
    found = prepare(Recipe.model_validate(tree), None)
    assert found.left_out == {"office": 2}, "the pair itself, in both directions"
    kept = {(row["anchor"], row["positive"]) for row in found.train["office"]}
    assert ("laptop computer", "laptop") in kept
    assert ("notebook pc", "portable computer") in kept
    assert [each.name for each in found.sets] == [str(home)], "a slash at the end makes no other set"
