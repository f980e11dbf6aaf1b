"""The command line as a person meets it."""

import json
import sys

import pytest

from tutelage import cli
from tutelage.encode.models import MINILM


@pytest.fixture
def tutelage(monkeypatch):
    """Call the command with these words."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["tutelage", *words])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code

    return call


def test_an_interrupted_run_says_how_to_go_on(tutelage, monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.fit, "_run", interrupted)
    assert tutelage("train", "demo_sample") == 130
    assert "goes on with --resume" in capsys.readouterr().err


def test_evaluate_prints_json_and_nothing_else(tutelage, capsys):
    assert tutelage("evaluate", MINILM, "--data", "sample-heldout:en", "--metric", "map", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert 0.5 < found["metrics"]["sample-heldout:en"]["map"] < 0.8


def test_search_finds_a_synonym_and_prints_its_concept(tutelage, capsys):
    assert tutelage("search", MINILM, "coder", "--corpus", "sample:en", "-k", "3", "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["query"] == "coder"
    hits = result["hits"]
    assert len(hits) == 3
    assert {hit["group"] for hit in hits} & {"2512", "2514"}


def test_audit_prints_json_and_mine_says_what_it_wrote(tutelage, capsys, tmp_path):
    output = f"output={tmp_path}"
    assert tutelage("audit", "demo_sample", "--set", output, "--batches", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sets"]["sample:en"]["64"]["batches"] == 1
    assert (tmp_path / "audit" / "dropped.parquet").is_file()
    assert (
        tutelage("mine", "demo_sample", "--set", output, "--out", str(tmp_path / "t.parquet"), "--negatives", "1") == 0
    )
    assert "triplets of" in capsys.readouterr().out
    assert (tmp_path / "t.parquet").is_file()


def test_recipe_show_prints_the_file_as_it_is(tutelage, capsys):
    assert tutelage("recipe", "show", "demo") == 0
    assert capsys.readouterr().out.startswith("# MiniLM learns")


@pytest.mark.parametrize("command", ["demo", "train", "mine", "evaluate", "audit", "search"])
def test_help_has_examples(tutelage, capsys, command):
    assert tutelage(command, "--help") == 0
    assert f"tutelage {command}" in capsys.readouterr().out.partition("Examples:")[2]
