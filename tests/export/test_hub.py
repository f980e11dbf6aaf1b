"""Pushing to the hub: the saved folder as it is, after all else; a hub that does not take it costs nothing."""

import pytest

from tutelage.errors import ConfigError
from tutelage.export import hub
from tutelage.train.recipe import load_recipe
from tutelage.train.run import run_recipe


class Hub:
    """Stands in for the hub's client, and remembers what it was asked."""

    asked: tuple = ()

    def create_repo(self, repository, *, private, exist_ok):
        Hub.asked = (repository, private, exist_ok)

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        Hub.asked += (repo_id, folder_path, commit_message)


class Offline(Hub):
    def upload_folder(self, *, folder_path, **kwargs):
        Hub.asked += (sorted(path.name for path in folder_path.parent.glob("[mr]*")),)
        raise ConnectionError("Cannot reach https://huggingface.co:\noffline mode is enabled.")


@pytest.fixture
def recipe(tiny, tmp_path):
    tiny.save_pretrained(str(tmp_path / "start"))
    names = [f"model.name={tmp_path / 'start'}", f"guide.name={tmp_path / 'start'}", f"output={tmp_path / 'run'}"]
    short = ["model.max_length=16", "training.max_steps=1", "training.precision=fp32"]
    return lambda *more: load_recipe("demo_sample", [*names, *short, "training.push_to_hub=me/job-titles", *more])


@pytest.mark.parametrize("private", [True, False])
def test_a_folder_is_uploaded_as_it_is(tmp_path, monkeypatch, private):
    monkeypatch.setattr(hub, "HfApi", Hub)
    model = tmp_path / "demo" / "model"
    assert hub.push(model, "me/job-titles", private=private) == "https://huggingface.co/me/job-titles"
    assert Hub.asked == ("me/job-titles", private, True, "me/job-titles", model, "demo: model")


def test_a_hub_that_does_not_take_it_costs_nothing_and_says_how_to_push_by_hand(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "HfApi", Offline)
    with pytest.raises(ConfigError) as fault:
        run_recipe(recipe("training.private=false"))
    model = tmp_path / "run" / "model"
    assert str(fault.value) == (
        "training.push_to_hub: the hub did not take the model (ConnectionError: Cannot reach https://huggingface.co:). "
        "The run is whole and its model kept; go online, log in (hf auth login), and push it: "
        f"hf upload me/job-titles {model} ."
    )
    assert Hub.asked == ("me/job-titles", False, True, ["model", "recipe.yaml", "report.html", "report.json"])
    assert 'SentenceTransformer("me/job-titles")' in (model / "README.md").read_text(encoding="utf-8")
    assert (model / "model.safetensors").is_file()


@pytest.mark.parametrize("repository", ["job-titles", "me/job/titles", "me/", "https://huggingface.co/me/x"])
def test_a_repository_is_an_owner_and_a_name(recipe, repository):
    with pytest.raises(ConfigError, match=r"training: 'push_to_hub' is .* String should match pattern"):
        recipe(f"training.push_to_hub={repository}")
