"""`export` and `embed` as a person meets them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sentence_transformers import SentenceTransformer

from tutelage import cli


@pytest.fixture
def tutelage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Call the command with these words."""

    def call(*words: str) -> object:
        monkeypatch.setattr(sys, "argv", ["tutelage", *words])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code

    return call


@pytest.fixture
def saved(tiny: SentenceTransformer, tmp_path: Path) -> Path:
    tiny.save_pretrained(str(tmp_path / "model"))
    return tmp_path / "model"


def test_export_shows_what_was_lost_and_where_it_wrote(
    tutelage: Callable[..., object], saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tutelage("export", str(saved), "--data", "sample-heldout:de", "--out", str(tmp_path / "other")) == 0
    said = capsys.readouterr().out
    assert "sample-heldout:de" in said
    assert "+0.0000" in said
    assert "Kendall" in said
    assert said.endswith(f"Written: {tmp_path / 'other' / 'onnx'}\n")
    assert not (saved / "onnx").exists()


def test_export_of_a_name_without_a_folder_is_one_line(
    tutelage: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tutelage("export", "all-MiniLM-L6-v2") == 2
    assert capsys.readouterr().err == (
        "ConfigError: export: 'all-MiniLM-L6-v2' is no folder to write into. Name one for the model and its graph: "
        "--out.\n"
    )


def test_export_without_its_packages_names_the_cure(
    tutelage: Callable[..., object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutelage.cli.shared.find_spec", lambda package: None if package == "onnxscript" else package)
    assert tutelage("export", "somewhere") == 2
    assert capsys.readouterr().err == 'ConfigError: export needs onnxscript: pip install "tutelage[onnx]".\n'


def test_embed_says_what_it_wrote_and_passes_over_it(
    tutelage: Callable[..., object], saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "titles.csv").write_text("text\nnurse\nwelder\nnurse\n")
    words = "embed", str(saved), str(tmp_path / "titles.csv"), str(tmp_path / "out"), "--dtype", "float16"
    part = tmp_path / "out" / "part-00001-of-00001.parquet"
    assert tutelage(*words) == 0
    assert capsys.readouterr().out == f"{part}: 3 rows, 2 distinct texts, 16 float16\n"
    assert tutelage(*words) == 0
    assert capsys.readouterr().err.endswith(f"Finished before: {part}\n")
    assert tutelage(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["skipped"]
    assert pq.read_table(part)["text"].to_pylist() == ["nurse", "welder", "nurse"]


def test_embed_by_an_engine_that_is_not_there_is_one_line(
    tutelage: Callable[..., object], saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "titles.csv").write_text("text\nnurse\n")
    words = "embed", str(saved), str(tmp_path / "titles.csv"), str(tmp_path / "out")
    assert tutelage(*words, "--engine", "onnx-int8") == 2
    assert capsys.readouterr().err.endswith(
        f"ConfigError: model {saved}: no ONNX export there. Make one: tutelage export {saved} --int8.\n"
    )
    assert tutelage(*words, "--shard", "4/3") == 2
    assert capsys.readouterr().err.startswith("ConfigError: --shard 4/3: wanted NUMBER/COUNT")


@pytest.mark.parametrize("command", ["export", "embed"])
def test_help_of_these_has_examples(
    command: str, tutelage: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tutelage(command, "--help") == 0
    assert f"tutelage {command}" in capsys.readouterr().out.partition("Examples:")[2]
