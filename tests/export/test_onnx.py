"""A model's ONNX form: the same vectors, named as others look for them, kept only where it ranks as the model does."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import tiny_xlmr
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import encode
from tutelage.errors import ConfigError
from tutelage.evaluate.sets import split_of
from tutelage.export import onnx as export
from tutelage.export.gate import refuse_loss, rows_of
from tutelage.export.int8 import smoothed
from tutelage.export.onnx import HEADING, export_onnx, tell_card
from tutelage.serve.engine import load_engine
from tutelage.serve.onnx_folder import FOLDER, MANIFEST, REPLACED

TEXTS = ["nurse", "senior java developer", "Maschinen- und Anlagenführerin (m/w/d)", "", "welder " * 40]


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(exported, tmp_path / "model")


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_onnxruntime_alone_reads_named_inputs_and_outputs_and_gives_the_models_vectors(exported: Path) -> None:
    torch_model = SentenceTransformer(str(exported), device="cpu")
    session = onnxruntime.InferenceSession(str(exported / "onnx" / "model.onnx"))
    assert {each.name: each.shape for each in session.get_inputs()} == {
        "input_ids": ["batch", "sequence"],
        "attention_mask": ["batch", "sequence"],
    }
    assert {each.name: each.shape for each in session.get_outputs()} == {
        "token_embeddings": ["batch", "sequence", 16],
        "sentence_embedding": ["batch", 16],
    }
    features = torch_model.preprocess(TEXTS)
    tokens, vectors = session.run(
        ["token_embeddings", "sentence_embedding"],
        {name: features[name].numpy() for name in ("input_ids", "attention_mask")},
    )
    want = torch_model.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(vectors, want, atol=1e-5)  # float32 sums in another order
    assert tokens.shape == (len(TEXTS), features["input_ids"].shape[1], 16)


def test_a_model_of_another_kind_is_exported_whole(tmp_path: Path) -> None:
    """XLM-R: positions are counted from the padding's id, the first token is the vector, the norm is a module."""
    tiny_xlmr(tmp_path / "parts").save_pretrained(str(tmp_path / "model"))
    manifest = export_onnx(str(tmp_path / "model"))
    assert manifest.padding_id == 1
    model, got = load_engine(str(tmp_path / "model")), load_engine(str(tmp_path / "model"), "onnx")
    np.testing.assert_allclose(got.encode(TEXTS), model.encode(TEXTS), atol=1e-5)


def test_the_manifest_tells_what_was_exported_and_what_was_lost(exported: Path) -> None:
    manifest = json.loads((exported / "onnx" / MANIFEST).read_text())
    assert set(manifest["files"]) == {"model.onnx", "model_int8.onnx", "tokenizer.json"}
    assert {"model.safetensors", "1_Pooling/config.json", "tokenizer.json"} <= set(manifest["sources"])
    assert manifest["fingerprint"] == load_engine(str(exported)).fingerprint
    assert manifest["gate"]["sets"]["model.onnx"]["sample-heldout:en"]["map drop"] == pytest.approx(0, abs=1e-6)
    assert manifest["gate"]["sets"]["model_int8.onnx"]["sample-heldout:en"]["shared"] > 0.9


def test_the_card_tells_it_once_however_often_it_is_exported(model: Path) -> None:
    gate = json.loads((model / "onnx" / MANIFEST).read_text())["gate"]
    card = (model / "README.md").read_text()
    assert card.count(HEADING) == 1
    assert "| " + " | ".join(rows_of(gate["sets"])[1]) + " |" in card
    assert "by force" not in card
    tell_card(model, gate)
    assert (model / "README.md").read_text() == card
    tell_card(model, gate | {"forced": True})
    forced = (model / "README.md").read_text()
    assert forced.count(HEADING) == 1
    assert forced.replace(" It was kept by force.", "") == card


def test_a_card_without_details_or_none_at_all_gets_the_section(model: Path) -> None:
    gate = json.loads((model / "onnx" / MANIFEST).read_text())["gate"]
    (model / "README.md").write_text("# Ours\n")
    for _ in range(2):
        tell_card(model, gate)
        assert (model / "README.md").read_text().startswith(f"# Ours\n\n{HEADING}\n")
    (model / "README.md").unlink()
    tell_card(model, gate)
    assert (model / "README.md").read_text().startswith(f"{HEADING}\n")


def figures(drop: float) -> dict[str, float]:
    return {"map": 0.5, "map exported": 0.5 - drop, "map drop": drop, "ndcg@10 drop": 0.0, "shared": 1.0, "tau": 1.0}


def test_a_loss_beyond_the_bound_is_refused_by_name() -> None:
    found = {"model.onnx": {"a": figures(0.0)}, "model_int8.onnx": {"a": figures(0.004), "b": figures(0.0123)}}
    refuse_loss(found, bound=0.02)
    with pytest.raises(ConfigError) as refused:
        refuse_loss(found, bound=0.005)
    assert str(refused.value) == (
        "export: model_int8.onnx loses 0.0123 MAP on b (0.5000 to 0.4877), the bound is 0.005. Nothing was changed. "
        "Allow more with --bound, or keep it anyway with --force."
    )


def test_an_export_that_loses_too_much_changes_nothing_unless_forced(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, graph = content(model), (model / "onnx" / "model.onnx").read_bytes()
    monkeypatch.setattr(export, "write_graph", lambda model, path: path.write_bytes(graph))
    monkeypatch.setattr(export, "judge", lambda *given: {"model.onnx": {"dev": figures(0.3)}})
    with pytest.raises(ConfigError, match=r"loses 0\.3000 MAP on dev"):
        export_onnx(str(model))
    assert content(model) == before
    assert export_onnx(str(model), force=True).gate["forced"]
    assert "It was kept by force." in (model / "README.md").read_text()
    assert set(content(model / "onnx")) == {"model.onnx", "tokenizer.json", MANIFEST}


@pytest.fixture
def quick(model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose graph is written already, and judged without a loss."""
    graph = (model / "onnx" / "model.onnx").read_bytes()
    monkeypatch.setattr(export, "write_graph", lambda model, path: path.write_bytes(graph))
    monkeypatch.setattr(export, "judge", lambda *given: {"model.onnx": {"dev": figures(0.0)}})
    return model


def test_a_copy_of_the_model_appears_whole_or_not_at_all(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, out = content(quick), tmp_path / "new" / "copy"
    for fails in (lambda *given: {"model.onnx": {"dev": figures(0.3)}}, killed):
        monkeypatch.setattr(export, "judge", fails)
        with pytest.raises((ConfigError, KeyboardInterrupt)):
            export_onnx(str(quick), out=out)
        assert list(out.parent.iterdir()) == []
    monkeypatch.setattr(export, "judge", lambda *given: {"model.onnx": {"dev": figures(0.0)}})
    export_onnx(str(quick), out=out)
    assert list(out.parent.iterdir()) == [out]
    assert HEADING in (out / "README.md").read_text()
    np.testing.assert_allclose(
        load_engine(str(out), "onnx").encode(TEXTS), load_engine(str(out)).encode(TEXTS), atol=1e-5
    )
    assert content(quick) == before


def test_a_copy_keeps_its_runs_report_and_so_its_widths_and_split(quick: Path, tmp_path: Path) -> None:
    recipe = {"loss": {"dims": [16, 8]}, "data": {"held_out": 0.2, "seed": 3}}
    (quick / "report.json").write_text(json.dumps({"recipe": recipe, "after": {"sample-heldout:en": {}}}))
    export_onnx(str(quick), out=tmp_path / "copy")
    assert {load_engine(str(tmp_path / "copy"), kind).dims for kind in ("torch", "onnx")} == {(16, 8)}
    assert split_of(str(tmp_path / "copy")) == {"share": 0.2, "seed": 3}


def test_a_folder_that_holds_something_is_not_written_over(quick: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    export_onnx(str(quick), out=tmp_path / "empty")
    (tmp_path / "file").touch()
    for taken in (tmp_path / "empty", tmp_path / "file", quick):
        before = content(taken)
        with pytest.raises(ConfigError, match=rf"--out {taken} is there already\. .*anew: tutelage export {taken}\."):
            export_onnx("no such model", out=taken)
        assert content(taken) == before


@pytest.mark.parametrize("last", ["tokenizer.json", MANIFEST])
def test_an_export_killed_between_two_files_leaves_the_old_one(
    last: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(model)

    def write(path: Path, written: object) -> None:
        if path.name == last:
            raise KeyboardInterrupt
        path.write_text("half")

    monkeypatch.setattr(export, "write_graph", lambda model, path: path.write_bytes(b"half"))
    monkeypatch.setattr(export, "write_text", write)
    monkeypatch.setattr(export, "write_json", write)
    monkeypatch.setattr(export, "OnnxEngine", lambda *given: None)
    monkeypatch.setattr(export, "_refuse_another_computation", lambda *given: None)
    monkeypatch.setattr(export, "judge", lambda *given: {"model.onnx": {"dev": figures(0.0)}})
    with pytest.raises(KeyboardInterrupt):
        export_onnx(str(model))
    assert content(model) == before


def test_an_export_killed_between_two_renames_is_still_read_and_put_back(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = load_engine(str(model), "onnx").encode(TEXTS)
    (model / FOLDER).rename(model / REPLACED)
    np.testing.assert_array_equal(load_engine(str(model), "onnx").encode(TEXTS), want)
    monkeypatch.setattr(export, "write_graph", killed)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(str(model))
    np.testing.assert_array_equal(load_engine(str(model), "onnx").encode(TEXTS), want)
    assert (model / FOLDER / MANIFEST).is_file()
    assert not (model / REPLACED).exists()


def killed(*given: object) -> None:
    raise KeyboardInterrupt


def test_a_name_that_is_no_folder_wants_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"export: 'all-MiniLM-L6-v2' is no folder to write into\. .*--out"):
        export_onnx("all-MiniLM-L6-v2")


def test_smoothing_changes_no_vector_and_evens_out_what_a_norm_feeds(minilm: SentenceTransformer) -> None:
    even = smoothed(minilm, TEXTS)
    np.testing.assert_allclose(encode(even, TEXTS), encode(minilm, TEXTS), atol=1e-5)  # float32 rounding
    changed = {name for name, module in even.named_modules() if type(module).__name__ == "Smoothed"}
    layers = {name.rpartition("layer.")[2].partition(".")[2] for name in changed}
    assert layers == {"attention.self.query", "attention.self.key", "attention.self.value", "intermediate.dense"}
    assert len(changed) == 4 * 6
    assert not any(type(module).__name__ == "Smoothed" for module in minilm.modules())
