"""Sets of three kinds by name, judged and compared in one go; the command that prints them."""

import json
import sys
from pathlib import Path

import pytest
from conftest import tiny_model
from sentence_transformers import SentenceTransformer

from tutelage import cli
from tutelage.errors import ConfigError
from tutelage.evaluate.checks import Checks, compare_checks, load_checks, run_checks
from tutelage.evaluate.gender import evaluate_gender
from tutelage.evaluate.general import evaluate_general
from tutelage.evaluate.triplet import evaluate_triplets


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "dev.csv").write_text("q,p,n\nabc,abd,xyz\nabc,abe,xyz\nfgh,hgf,mno\n")
    rows = [("sentence1", "sentence2", "score"), ("aba", "aba", "4"), ("abb", "xyz", "1"), ("abc", "abb", "3")]
    (tmp_path / "sts.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    (tmp_path / "esco").mkdir()
    titles = ["Koch/Köchin", "Maler/Malerin", "Arzt/Ärztin", "Hausmeister", "Bauer/Bäuerin", "Lehrkraft"]
    labels = "".join(f"c{i},isco/C1,{title},\n" for i, title in enumerate(titles))
    (tmp_path / "esco" / "de.csv").write_text("conceptUri,iscoGroup,preferredLabel,altLabels\n" + labels)
    return {"triplets": str(tmp_path / "dev.csv"), "general": str(tmp_path / "sts.tsv")}


@pytest.fixture
def checks(files: dict[str, str], tmp_path: Path) -> Checks:
    columns = ("q", "p", "n")
    return load_checks(
        tmp_path, triplets=[(files["triplets"], columns)], general=[files["general"]], gender=["esco-gender:de"]
    )


def test_every_set_is_called_by_its_name(checks: Checks) -> None:
    assert checks.names == ["dev", "sts", "esco-gender:de"]


def test_each_kind_is_judged_by_its_own_evaluation(tiny: SentenceTransformer, checks: Checks) -> None:
    found = run_checks(tiny, checks, [16, 4]).to_dict()
    (triplets,), (general,), (titles,) = checks.triplets, checks.general, checks.gender
    gender = evaluate_gender(tiny, titles)
    assert found == {
        "triplets": {"dev": evaluate_triplets(tiny, triplets, [16, 4]).means},
        "general": {"sts": {"spearman": evaluate_general(tiny, general).score}},
        "gender": {"esco-gender:de": {"rbo": gender.mean, "pairs": len(titles.forms)}},
    }


def test_two_models_are_compared_under_the_reports_keys(
    tiny: SentenceTransformer, checks: Checks, tmp_path: Path
) -> None:
    one, other = run_checks(tiny, checks), run_checks(tiny_model(tmp_path / "other", seed=1), checks)
    found = compare_checks(one, other)
    accuracy = found["triplets"]["dev"]["dev-16d_cosine_accuracy"]
    assert (accuracy["before"], accuracy["after"]) == (
        one.triplets[0].right[16].mean(),
        other.triplets[0].right[16].mean(),
    )
    assert found["general"]["sts"].keys() == {"metric", "before", "after", "low", "high", "warn"}
    assert found["general"]["sts"]["after"] == other.general[0].score
    gender = found["gender"]["esco-gender:de"]
    assert (gender["before"], gender["after"]) == (one.gender[0].mean, other.gender[0].mean)
    assert gender["before"] != gender["after"]
    assert gender["low"] <= gender["after"] - gender["before"] <= gender["high"]
    assert gender["pairs"] == len(one.gender[0].overlap)
    assert json.loads(json.dumps(found)) == found


def test_two_sets_of_one_name_are_refused(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as fault:
        load_checks(None, general=[files["general"]] * 2)
    assert str(fault.value) == "'sts': two sets have this name (a file's is its stem). Rename or drop one."


def test_the_command_prints_what_it_found(
    tiny: SentenceTransformer, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tiny.save_pretrained(str(tmp_path / "m"))

    def called(*more: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tutelage", "probe", str(tmp_path / "m"), *more])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code, *capsys.readouterr()

    asked = ["--triplets", files["triplets"], "--columns", "q,p,n", "--dim", "8", "--general", files["general"]]
    code, text, _ = called(*asked, "--json")
    found = json.loads(text)
    assert code == 0
    assert list(found["triplets"]["dev"]) == ["dev-8d_cosine_accuracy"]
    assert found["gender"] == {}
    code, text, _ = called(*asked)
    assert f"{found['general']['sts']['spearman']:.4f}" in text
    assert called() == (
        2, "", "ConfigError: probe: nothing to measure. Name a set with --triplets, --general or --gender.\n"
    )  # fmt: skip
