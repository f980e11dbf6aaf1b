"""The ONNX engine gives the torch engine's vectors, without torch, and refuses an export that no longer fits."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tutelage.errors import CacheMismatch, ConfigError
from tutelage.serve import onnx_engine
from tutelage.serve.engine import Engine, TorchEngine, load_engine
from tutelage.serve.onnx_engine import OnnxEngine, cores_at_hand, open_onnx
from tutelage.serve.onnx_folder import MANIFEST

TEXTS = ["nurse", "senior java developer", "Krankenpfleger/in", "", "nurse", "welder " * 40, "NURSE", "ß"]


@pytest.fixture(scope="module")
def torch_engine(exported: Path) -> Engine:
    return load_engine(str(exported), "torch")


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(exported, tmp_path / "model")


def test_vectors_are_the_torch_engines(exported: Path, torch_engine: Engine) -> None:
    engine = load_engine(str(exported), "onnx")
    got, want = engine.encode(TEXTS), torch_engine.encode(TEXTS)
    np.testing.assert_allclose(got, want, atol=1e-5)  # float32 sums in another order
    assert got.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)


def test_in_8_bits_they_are_near(exported: Path, torch_engine: Engine) -> None:
    got = load_engine(str(exported), "onnx-int8").encode(TEXTS)
    cosine = (got * torch_engine.encode(TEXTS)).sum(1)
    assert (cosine > 0.99).all()
    assert not np.allclose(got, torch_engine.encode(TEXTS), atol=1e-6), "the graph in 8 bits was not used"


@pytest.mark.parametrize("kind", ["onnx", "onnx-int8"])
def test_texts_that_the_tokenizer_cannot_tell_apart_have_equal_vectors(kind: str, exported: Path) -> None:
    vectors = open_onnx(str(exported), kind).encode([*TEXTS, *(f"filler {i}" for i in range(300)), "nurse"])
    for again in (4, 6, -1):
        np.testing.assert_array_equal(vectors[again], vectors[0])


@pytest.mark.parametrize("budget", [1, 7, 64, 100_000])
def test_batches_and_their_size_change_speed_only(budget: int, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want = open_onnx(str(exported)).encode(TEXTS)
    monkeypatch.setattr(onnx_engine, "TOKEN_BUDGET", budget)
    np.testing.assert_allclose(open_onnx(str(exported)).encode(TEXTS), want, atol=1e-6)  # float32 rounding


@pytest.mark.parametrize("wide", [1, 1000])
def test_cores_share_batches_or_take_one_each(wide: int, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want = open_onnx(str(exported)).encode(TEXTS)
    monkeypatch.setattr(onnx_engine, "WIDE", wide)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    np.testing.assert_allclose(open_onnx(str(exported)).encode(TEXTS), want, atol=1e-6)  # float32 rounding


def test_no_text_is_no_vector(exported: Path) -> None:
    assert open_onnx(str(exported)).encode([]).shape == (0, 16)


def test_a_prompt_stands_before_every_text(exported: Path, torch_engine: Engine) -> None:
    engine = open_onnx(str(exported))
    np.testing.assert_array_equal(engine.encode(["nurse"], prompt="job: "), engine.encode(["job: nurse"]))
    assert engine.tokens(["nurse"], prompt="job: ") == torch_engine.tokens(["nurse"], prompt="job: ")


def test_tokens_are_not_cut_even_after_an_encode(exported: Path, torch_engine: Engine) -> None:
    engine = open_onnx(str(exported))
    engine.encode(TEXTS)
    assert engine.tokens(TEXTS) == torch_engine.tokens(TEXTS)
    assert len(engine.tokens(TEXTS)[5]) > engine.max_length


def test_pieces_tell_the_special_ones(exported: Path) -> None:
    engine = open_onnx(str(exported))
    assert engine.pieces(engine.tokens(["nu"])[0]) == [("[CLS]", True), ("n", False), ("##u", False), ("[SEP]", True)]


def test_it_is_called_and_described_as_the_torch_engine(exported: Path, torch_engine: Engine) -> None:
    whole, int8 = (load_engine(str(exported), kind) for kind in ("onnx", "onnx-int8"))
    for name in ("name", "dims", "max_length", "prompts", "default_prompt", "fingerprint"):
        assert getattr(whole, name) == getattr(torch_engine, name)
    assert int8.fingerprint != whole.fingerprint, "vectors in 8 bits are others"


def test_auto_is_torch_unless_there_are_no_weights(model: Path) -> None:
    assert isinstance(load_engine(str(model)), TorchEngine)
    (model / "model.safetensors").unlink()
    assert isinstance(load_engine(str(model)), OnnxEngine)


def test_an_export_of_other_weights_is_refused(model: Path) -> None:
    with (model / "model.safetensors").open("ab") as weights:
        weights.write(b"more")
    with pytest.raises(CacheMismatch) as refused:
        load_engine(str(model), "onnx")
    assert str(refused.value) == (
        f"{model / 'onnx'}: made of another model.safetensors than {model} holds now. "
        f"Export anew: tutelage export {model}."
    )


def test_a_graph_that_changed_is_refused(model: Path) -> None:
    (model / "onnx" / "model_int8.onnx").write_bytes(b"half")
    load_engine(str(model), "onnx")
    with pytest.raises(CacheMismatch, match=r"model_int8\.onnx: missing, or not as it was exported\. .* --int8\.$"):
        load_engine(str(model), "onnx-int8")


def test_a_manifest_of_others_is_refused(model: Path) -> None:
    (model / "onnx" / MANIFEST).write_text("{}")
    with pytest.raises(CacheMismatch, match="no manifest of ours"):
        load_engine(str(model), "onnx")


def test_what_was_not_exported_is_named_with_its_cure(model: Path, tmp_path: Path) -> None:
    manifest = json.loads((model / "onnx" / MANIFEST).read_text())
    del manifest["files"]["model_int8.onnx"]
    (model / "onnx" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"holds no model_int8\.onnx\. Make it: tutelage export .* --int8\.$"):
        load_engine(str(model), "onnx-int8")
    with pytest.raises(ConfigError, match=r"no ONNX export there\. Make one: tutelage export .*/none\.$"):
        load_engine(str(tmp_path / "none"), "onnx")


def test_cores_are_those_that_torch_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cores_at_hand() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert cores_at_hand() == len(os.sched_getaffinity(0))


def test_it_runs_without_torch(exported: Path) -> None:
    code = (
        "import sys\nfrom tutelage.serve.onnx_engine import open_onnx\n"
        f"print(open_onnx({str(exported)!r}).encode(['nurse']).shape)\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(1, 16)", "[]"]
