"""Bad input through the real command line: one line on standard error, exit code 2, nothing written."""

import re
import sys

import numpy as np
import pytest
import yaml

from tutelage.cli import main
from tutelage.encode.models import MINILM
from tutelage.guide.store import GuideStore
from tutelage.records.judged import retrieval_set


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """No data folder is named, and what the command sets for itself does not outlive the test."""
    monkeypatch.delenv("TUTELAGE_DATA", raising=False)
    for name, value in [
        ("TOKENIZERS_PARALLELISM", "false"),
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("TQDM_DISABLE", "1"),
    ]:
        monkeypatch.setenv(name, value)


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe without a guide, the sections given over the usual ones."""

    def write(**sections):
        tree = {
            "output": str(tmp_path / "out"),
            "guide": {"name": None},
            "data": {"train": [{"source": "sample:en"}]},
            "evaluate": {"sets": ["sample-heldout:en"]},
        }
        path = tmp_path / "my.yaml"
        path.write_text(yaml.safe_dump(tree | sections))
        return str(path)

    return write


@pytest.fixture
def table(tmp_path, recipe):
    """Write a table and a recipe that learns from it; returns both paths."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path, recipe(data={"train": [{"source": str(path)}]})

    return write


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run the command; the one line it says instead of doing anything."""

    def contents():
        return {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tutelage", *arguments])
        before = contents()
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        said = capsys.readouterr()
        assert leaving.value.code == 2
        assert said.out == ""
        assert said.err.count("\n") == 1, said.err
        assert contents() == before
        return said.err.removesuffix("\n")

    return run


commands = pytest.mark.parametrize("command", [["recipe", "check"], ["train"]], ids=["recipe check", "train"])


@commands
def test_missing_column(table, refused, command):
    path, recipe = table("t.csv", "anchor,reply\na,b\n")
    assert refused(*command, recipe) == (
        f"DataError: {path} row 2: no column 'positive'. Columns: anchor, reply. "
        "Rename a column or name yours in the recipe (data.train[].columns)."
    )


@commands
def test_empty_text(table, refused, command):
    path, recipe = table("t.tsv", "anchor\tpositive\na\tb\nc\t \n")
    assert refused(*command, recipe) == (
        f"DataError: {path} row 3: 'positive' is empty. Remove the row or fix its source."
    )


@commands
def test_file_that_is_not_utf8(table, refused, command):
    path, recipe = table("t.csv", "anchor,positive\nMüller,b\n".encode("latin-1"))
    assert refused(*command, recipe) == (
        f"DataError: {path} line 2: byte 0xfc is not UTF-8. Save the file as UTF-8 and run again."
    )


@commands
def test_jsonl_row_that_does_not_parse(table, refused, command):
    path, recipe = table("t.jsonl", '{"anchor": "a", "positive": "b"}\n{"anchor": "a",\n')
    assert refused(*command, recipe) == (
        f"DataError: {path} row 2: not JSON (Expecting property name enclosed in double quotes at character 16). "
        "One object a line is wanted."
    )


@pytest.fixture
def foreign_qrels(tmp_path):
    home = tmp_path / "val"
    home.mkdir()
    (home / "queries").write_text("q_id\tjobtitle\nq1\tnurse\n")
    (home / "corpus_elements").write_text("c_id\tjobtitle\nc1\tRN\n")
    (home / "qrels.tsv").write_text("q1 0 c1 1\nq1 0 c7 1\nq1 0 c8 1\n")
    return str(home)


def test_qrels_of_unknown_ids(refused, recipe, foreign_qrels):
    for arguments in (
        ["recipe", "check", recipe(evaluate={"sets": [foreign_qrels]})],
        ["train", recipe(evaluate={"sets": [foreign_qrels]})],
        ["evaluate", MINILM, "--data", foreign_qrels],
    ):
        assert refused(*arguments) == (
            f"DataError: {foreign_qrels}: qrels name 2 unknown corpus ids (first: 'c7'); 1 are known. "
            "Use the qrels that belong to these files."
        )


@commands
def test_unknown_key(recipe, refused, command):
    path = recipe(loss={"temprature": 0.02})
    assert refused(*command, path) == (
        f"ConfigError: {path}: loss: unknown option 'temprature'. Options: temperature, margin, margin_strategy, "
        "contrast_anchors, contrast_positives, directions, partition_mode, hardness_mode, hardness_strength, "
        "drop_same_text, drop_same_group, dims, group."
    )


@pytest.mark.parametrize("temperature", [0, -0.05])
@commands
def test_temperature_that_is_not_positive(recipe, refused, command, temperature):
    path = recipe(loss={"temperature": temperature})
    message = f"ConfigError: {path}: loss: 'temperature' is {temperature}. Input should be greater than 0."
    assert refused(*command, path) == message
    path = recipe()
    assert refused(*command, path, "--set", f"loss.temperature={temperature}") == message


@pytest.mark.parametrize("role", ["model", "guide"])
@commands
def test_unknown_model_folder(recipe, refused, command, role):
    path = recipe(**{role: {"name": "./no/such/model"}})
    assert refused(*command, path) == (
        "ConfigError: model './no/such/model': no such folder. Give a saved model or a hub name."
    )


@pytest.mark.parametrize("command", [["evaluate"], ["search"]])
def test_unknown_model_folder_of_a_command(refused, command):
    argument = ["nurse"] if command == ["search"] else []
    assert refused(*command, "./no/such/model", *argument) == (
        "ConfigError: model './no/such/model': no such folder. Give a saved model or a hub name."
    )


@pytest.fixture
def foreign_store(tmp_path, recipe, refused, monkeypatch):
    """Train with the store of a named function where MiniLM is the guide; the store's folder and what was said."""
    # The command turns other packages' bars off by TQDM_DISABLE, which tqdm reads only when it is first imported.
    monkeypatch.setattr("transformers.utils.logging._tqdm_active", False)
    store = GuideStore.build(lambda texts: np.ones((len(texts), 4)), ["nurse"], tmp_path / "store", name="ones")
    path = recipe(guide={"name": MINILM, "store": str(store.path)})
    return store.path, refused("train", path, "--json")


def test_guide_store_of_another_guide(foreign_store):
    path, line = foreign_store
    held, needed = re.findall(r"\b[0-9a-f]{12}\b", line)
    assert held != needed
    assert line.startswith(
        f"CacheMismatch: guide store {path} holds fingerprint {held}, this run needs {needed} "
        "(weights, modules, tokenizer, max_length, dim, prompt, function changed). "
    )


def test_the_cure_for_a_foreign_guide_store_is_one_that_the_command_line_has(foreign_store):
    _, line = foreign_store
    assert "guide.store" in line
    assert "overwrite=True" not in line


@commands
def test_leaking_split(table, refused, command):
    first, second = sorted(retrieval_set("sample-heldout:en").corpus.values())[:2]
    rows = [first.upper(), f"{second} "]
    _, recipe = table("t.csv", "anchor,positive\na clean text,another\n" + "".join(f'"{row}",x\n' for row in rows))
    assert refused(*command, recipe) == (
        f"DataError: the split leaks: 2 texts stand in training and held-out data (first: '{first.casefold()}', "
        f"'{second.casefold()}'). Remove them from one side or split by concept."
    )


def test_output_folder_that_holds_a_finished_run(tmp_path, recipe, refused):
    output = tmp_path / "out"
    output.mkdir()
    (output / "report.json").write_text("{}")
    assert refused("train", recipe()) == (
        f"ConfigError: output {output}: holds a finished run. Give --overwrite to replace it, or another output."
    )


def test_output_that_is_a_file(tmp_path, recipe, refused):
    (tmp_path / "out").write_text("")
    assert refused("train", recipe()) == (
        f"ConfigError: output {tmp_path / 'out'}: a file, where a folder was wanted. Give another output."
    )


def test_override_that_is_no_yaml(recipe, refused):
    assert refused("recipe", "check", recipe(), "--set", "name=[").startswith("ConfigError: --set name=[: ")


def test_file_that_is_not_gzip(table, refused):
    path, recipe = table("t.csv.gz", "anchor,positive\na,b\n")
    assert refused("recipe", "check", recipe).startswith(f"DataError: {path}: ")


def test_data_folder_that_does_not_exist(tmp_path, recipe, refused):
    line = refused("recipe", "check", recipe(), "--data", str(tmp_path / "nothing"))
    assert line.startswith(f"ConfigError: data folder {tmp_path / 'nothing'}: no such folder. ")


@pytest.mark.parametrize("metric", ["ndcg", "hits@3", "ndcg@0"])
def test_unknown_metric(refused, metric):
    assert refused("evaluate", MINILM, "--metric", metric).startswith(f"ConfigError: metric '{metric}': ")


@pytest.mark.parametrize("words", [[], [MINILM, "--run", "x.run"]])
def test_neither_or_both_of_model_and_run(refused, words):
    assert refused("evaluate", *words) == (
        "ConfigError: evaluate: wanted a model, or --run with a run file, and not both. Give one of them."
    )


@pytest.mark.parametrize("words", [["--data", "sample-heldout:en"], ["--dim", "3"], ["--out", "x"]])
def test_a_run_goes_with_one_set_and_nothing_else(refused, words):
    assert refused("evaluate", "--run", "x.run", "--data", "sample-heldout:de", *words) == (
        "ConfigError: evaluate: --run goes with one --data set, and without --dim and --out. Give no more."
    )


def test_a_run_of_another_set(tmp_path, refused):
    (tmp_path / "x.run").write_text("q1 Q0 d1 1 0.5 x\n")
    assert refused("evaluate", "--run", str(tmp_path / "x.run"), "--data", "sample-heldout:en").startswith(
        "DataError: sample-heldout:en: the run names 1 unknown query id (first: 'q1'); "
    )


def test_a_run_that_is_not_there(tmp_path, refused):
    assert refused("evaluate", "--run", str(tmp_path / "x.run"), "--data", "sample-heldout:en") == (
        f"DataError: {tmp_path / 'x.run'}: no such file. Give the path of an existing file."
    )


def test_a_dim_that_the_model_lacks(refused, monkeypatch):
    monkeypatch.setattr("transformers.utils.logging._tqdm_active", False)  # as in foreign_store
    assert refused("evaluate", MINILM, "--data", "sample-heldout:en", "--dim", "385") == (
        "ConfigError: dim 385: the model's vectors are 384 wide. Give a dim from 1 to 384."
    )


def test_empty_query(refused):
    assert refused("search", MINILM, "nurse", " ") == "ConfigError: search: an empty query. Give a text to look for."


def test_good_input_passes_the_same_check(recipe, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tutelage", "recipe", "check", recipe()])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 0
    assert capsys.readouterr().err.startswith("ok: ")
