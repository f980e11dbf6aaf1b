"""The command line as a person meets it."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from tutelage import __version__, cli
from tutelage.encode.models import MINILM
from tutelage.records.judged import retrieval_set


@pytest.fixture
def tutelage(monkeypatch):
    """Call the command with these words."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["tutelage", *words])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code

    return call


def test_it_is_a_module_too(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tutelage", "--version"])
    with pytest.raises(SystemExit):
        runpy.run_module("tutelage", run_name="__main__")
    assert capsys.readouterr().out.strip() == __version__


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


def test_evaluate_shows_every_dim(tutelage, capsys):
    assert tutelage("evaluate", MINILM, "--data", "sample-mix:en-de", "--dim", "384", "--dim", "32", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    whole, dims = found["metrics"]["sample-mix:en-de"], found["dims"]["sample-mix:en-de"]
    assert dims["384"]["map"] == pytest.approx(whole["map"], abs=1e-4)
    assert dims["32"]["map"] < whole["map"]
    assert tutelage("evaluate", MINILM, "--data", "sample-mix:en-de", "--dim", "32", "--metric", "map") == 0
    assert "sample-mix:en-de at 32" in capsys.readouterr().out


def test_evaluate_judges_a_run_without_a_model_and_says_what_it_lacks(tutelage, capsys, tmp_path):
    held_out = retrieval_set("sample-heldout:en")
    query, right = next(iter(held_out.relevance.items()))
    (tmp_path / "mine.run").write_text(f"{query} Q0 {min(right)} 1 0.5 mine\n")
    words = "evaluate", "--run", str(tmp_path / "mine.run"), "--data", "sample-heldout:en", "--metric", "mrr", "--json"
    assert tutelage(*words) == 0
    said = capsys.readouterr()
    count = len(held_out.queries)
    assert json.loads(said.out)["metrics"] == {"sample-heldout:en": {"mrr": pytest.approx(1 / count)}}
    assert said.err == f"note: {count - 1} of {count} queries are not in the run and count 0.\n"


def test_report_writes_the_page_beside_its_report_and_opens_it_if_asked(tutelage, capsys, tmp_path, monkeypatch):
    kept = Path(__file__).parent / "evaluate" / "report.json"
    (tmp_path / "report.json").write_text(kept.read_text(encoding="utf-8"), encoding="utf-8")
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)
    assert tutelage("report", str(tmp_path)) == 0
    page = tmp_path / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    assert "+0.0723" in page.read_text(encoding="utf-8")
    assert opened == []
    assert tutelage("report", str(tmp_path / "report.json"), "--open") == 0
    assert opened == [page.as_uri()]


def test_report_of_no_run_is_one_line(tutelage, capsys, tmp_path):
    assert tutelage("report", str(tmp_path)) == 2
    assert capsys.readouterr().err.startswith(f"ConfigError: report {tmp_path}: no report.json there.")


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


def test_data_job_titles_shows_what_it_wrote(tutelage, capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("TUTELAGE_DATA", raising=False)
    titles = tmp_path / "tr.csv"
    titles.write_text("conceptUri,label\nsample:occupation/0001,vekil\nsample:occupation/0001,milletvekili\n")
    words = "data", "job-titles", str(tmp_path / "sets"), "--languages", "en,de"
    assert tutelage(*words, "--mix-languages", "en,tr", "--titles", f"tr={titles}") == 0
    said = capsys.readouterr()
    assert "305 occupations" in said.err
    rows = [line.split()[1:] for line in said.out.splitlines() if "full_" in line or "mix" in line]
    assert [row[0] for row in rows] == ["full_en", "full_de", "full_tr", "mix"]
    assert tutelage(*words, "--no-mix", "--max-pairs", "1", "--overwrite", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: (each["rows"], each["max_pairs"]) for name, each in found["sets"].items()} == {
        "full_en": (305, 1),
        "full_de": (305, 1),
    }


@pytest.mark.parametrize("given", ["zh", "zh=", "=t.csv", "en-zh=t.csv"])
def test_titles_without_a_language_are_one_line(tutelage, capsys, tmp_path, given):
    assert tutelage("data", "job-titles", str(tmp_path / "sets"), "--titles", given) == 2
    assert capsys.readouterr().err == (
        f"ConfigError: --titles {given}: wanted LANGUAGE=FILE, as in --titles zh=my_titles.csv.\n"
    )


def test_help_of_data_job_titles_has_examples(tutelage, capsys):
    assert tutelage("data", "job-titles", "--help") == 0
    assert "tutelage data job-titles sets" in capsys.readouterr().out.partition("Examples:")[2]


def test_recipe_show_prints_the_file_as_it_is(tutelage, capsys):
    assert tutelage("recipe", "show", "demo") == 0
    assert capsys.readouterr().out.startswith("# MiniLM learns")


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "train", "audit", "mine", "evaluate", "probe", "compare", "report", "search"),
        *("export", "embed", "index", "match", "serve"),
    ],
)
def test_help_has_examples(tutelage, capsys, command):
    assert tutelage(command, "--help") == 0
    assert f"tutelage {command}" in capsys.readouterr().out.partition("Examples:")[2]
