"""`tutelage serve` as a person meets it, up to the point where it would listen."""

import sys

import pytest
from conftest import tiny_model
from server_fixture import requests

from tutelage import cli


@pytest.fixture
def tutelage(monkeypatch):
    """Call the command with these words."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["tutelage", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code

    return call


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "tiny" / "model"
    tiny_model(folder).save_pretrained(str(folder))
    return folder


@pytest.fixture
def listening(monkeypatch):
    """What would be served, and where."""
    seen = []
    monkeypatch.setattr("tutelage.serve.running.listen", lambda *given: seen.append(given))
    monkeypatch.delenv("TUTELAGE_API_KEY", raising=False)
    return seen


def test_a_model_and_its_index_are_served(tutelage, model, listening, tmp_path):
    assert tutelage("index", model, "sample:en,de", tmp_path / "labels") == 0
    assert tutelage("serve", model, "--index", tmp_path / "labels", "--port", "0", "--max-texts", "2") == 0
    ((app, host, port),) = listening
    assert (host, port) == ("127.0.0.1", 0)
    search, match, many, about = requests(
        app,
        ("POST", "/v1/search", {"query": "software developer", "k": 1, "languages": ["en"]}),
        ("POST", "/v1/match", {"texts": [" software developer ", ""], "threshold": 0}),
        ("POST", "/v1/match", {"texts": ["a"] * 3}),
        ("GET", "/v1/about"),
    )
    assert search.json()["results"][0][0]["score"] == pytest.approx(1, abs=1e-5)
    software, empty = match.json()["results"]
    assert software["text"] == " software developer "
    assert software["concepts"][0] == search.json()["results"][0][0]
    assert (software["known"], empty["known"], empty["concepts"]) == (True, False, [])
    assert many.status == 413
    found = about.json()
    assert (found["model"], found["dim"], found["threshold"]) == ("tiny", 16, 0.5)
    assert set(found["index"]["languages"]) == {"en", "de"}


def test_a_run_brings_what_it_learned_and_its_worst_queries(tutelage, model, listening, tmp_path):
    run = tmp_path / "run"
    assert tutelage(
        "train", "demo_sample", "--set", f"output={run}", "--set", f"model.name={model}", "--set", "guide.name=null",
        "--set", "training.max_steps=1", "--set", "training.precision=fp32",
    ) == 0  # fmt: skip
    assert tutelage("index", run / "model", "sample:en", tmp_path / "labels") == 0
    assert tutelage("serve", run / "model", "--index", tmp_path / "labels", "--run", run) == 0
    ((app, _, _),) = listening
    held_out, worst = requests(
        app, ("POST", "/v1/match", {"texts": ["software developer"], "learned": 2}), ("GET", "/v1/worst")
    )
    assert len(held_out.json()["results"][0]["learned"]) == 2
    assert worst.json()["sets"].keys() == {"sample-heldout:en"}


def test_a_server_without_a_key_answers_to_its_own_names_alone(tutelage, model, listening):
    assert tutelage("serve", model) == 0
    assert tutelage("serve", model, "--allow-anonymous") == 0
    (own, _, _), (anyone, _, _) = listening
    for host, status in (("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200), ("evil.example", 400)):
        (answer,) = requests(own, ("GET", "/health"), headers={"host": host})
        assert answer.status == status, host
    (answer,) = requests(anyone, ("GET", "/health"), headers={"host": "evil.example"})
    assert answer.status == 200


def test_another_models_index_is_refused_at_once(tutelage, model, listening, tmp_path, capsys):
    other = tmp_path / "other"
    tiny_model(other, seed=1).save_pretrained(str(other))
    assert tutelage("index", other, "sample:en", tmp_path / "labels") == 0
    assert tutelage("serve", model, "--index", tmp_path / "labels") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("CacheMismatch: the index holds vectors of model")
    assert listening == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "0.0.0.0"), "ConfigError: --host 0.0.0.0: other machines could use this server without a key."),
        (("--key-file", "no/such/key"), "ConfigError: --key-file no/such/key: "),
        (("--report", "no/report.json"), "ConfigError: --report no/report.json: No such file or directory."),
    ],
)
def test_mistakes_are_one_line_before_the_model_is_loaded(tutelage, listening, capsys, words, said):
    assert tutelage("serve", "no/such/model", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


def test_a_key_is_asked_for(tutelage, model, listening, tmp_path):
    key = tmp_path / "key"
    key.write_text("open sesame\n")
    assert tutelage("serve", model, "--host", "0.0.0.0", "--key-file", key) == 0
    ((app, host, _),) = listening
    assert host == "0.0.0.0"
    (without,) = requests(app, ("POST", "/embed", {"inputs": "a"}))
    (with_key,) = requests(app, ("POST", "/embed", {"inputs": "a"}), headers={"authorization": "Bearer open sesame"})
    assert (without.status, with_key.status) == (401, 200)


def test_help_has_examples(tutelage, capsys):
    assert tutelage("serve", "--help") == 0
    assert "tutelage serve runs/demo/model --index labels" in capsys.readouterr().out.partition("Examples:")[2]
