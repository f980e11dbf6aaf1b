"""A recipe's guides, by whatever they are: the store holds them, the loss goes by them, and a run checks them first."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tutelage.encode.encoder import encode
from tutelage.encode.models import load_model
from tutelage.errors import CacheMismatch, ConfigError, DataError
from tutelage.guide.audit import positive_sims
from tutelage.losses.contrastive import plan_of
from tutelage.records.texts import text_ids
from tutelage.train import build
from tutelage.train.recipe import load_recipe
from tutelage.train.run import prepare

TEXTS = ["nurse", "registered nurse", "welder", "head of logistics"]


@pytest.fixture
def recipe(tiny, tmp_path):
    """Build a recipe over the tiny model and these guides."""
    tiny.save_pretrained(str(tmp_path / "tiny"))
    names = [f"model.name={tmp_path / 'tiny'}", f"output={tmp_path / 'run'}"]
    return lambda guide, *more: load_recipe("demo_sample", [*names, f"guide={yaml.safe_dump(guide)}", *more])


@pytest.fixture
def store(recipe, tmp_path):
    def build_store(guide, *more, texts=TEXTS, at="store"):
        return build.guide_store(recipe({"dtype": "float32"} | guide, *more), texts, tmp_path / at, overwrite=False)

    return build_store


def vectors_of(store, texts=TEXTS):
    return store.vectors(text_ids(texts)).numpy()


@pytest.mark.parametrize(("settings", "length"), [({}, 5), ({"max_length": 7}, 7)])
def test_start_is_the_encoder_before_training_cut_where_it_cuts(store, tmp_path, settings, length):
    found = store({"name": "start"} | settings, "model.max_length=5")
    model = load_model(str(tmp_path / "tiny"), max_length=length)
    np.testing.assert_allclose(vectors_of(found), encode(model, TEXTS), atol=1e-6)
    assert found.fingerprint["max_length"] == str(length)


def test_a_matrix_must_hold_every_text(store, tmp_path):
    np.save(tmp_path / "vectors.npy", np.eye(4)[:3])
    (tmp_path / "vectors.txt").write_text("\n".join(TEXTS[:3]))
    guide = {"name": str(tmp_path / "vectors.npy")}
    with pytest.raises(DataError, match=r"no vector for 1 of 4 texts \(first: 'head of logistics'\)"):
        store(guide)
    np.testing.assert_array_equal(vectors_of(store(guide, texts=TEXTS[:3]), TEXTS[:3]), np.eye(4)[:3])


def test_ngrams_are_of_the_texts_of_the_run(store):
    store({"name": "tfidf"})
    assert len(store({"name": "tfidf"}, texts=[*TEXTS, *TEXTS])) == 4
    with pytest.raises(CacheMismatch, match=r"\(fitted_on changed\)"):
        store({"name": "tfidf"}, texts=TEXTS[:3])


@pytest.mark.parametrize(
    ("combine", "guide_dims", "of_both"),
    [
        (None, None, lambda a, b: (a + b) / 2),
        ("mean", None, lambda a, b: (a + b) / 2),
        ("max", (4, 16), torch.maximum),
    ],
)
def test_the_loss_learns_from_the_store_how_its_guides_go_together(store, recipe, tiny, combine, guide_dims, of_both):
    alone = [store({"name": name}, at=name) for name in ("tfidf", "start")]
    found = store({"name": ["tfidf", "start"], "combine": combine})
    loss = build.guided_loss(recipe({"name": None}), tiny, found)
    assert loss.options["guide_dims"] == guide_dims
    ids = [torch.from_numpy(text_ids(side)) for side in (TEXTS[:2], TEXTS[2:])]
    plan = plan_of(*loss.embedded([torch.randn(2, 16), torch.randn(2, 16)], ids, [None, None]), **loss.options)
    cosines = [(each.vectors(ids[0]) * each.vectors(ids[1])).sum(1) for each in alone]
    assert (cosines[0] - cosines[1]).abs().min() > 0.01
    torch.testing.assert_close(positive_sims(plan)[0], of_both(*cosines))


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        ({"name": "./no/such.npy"}, "guide 'no/such.npy': no such file. Give a .npy with its texts beside it"),
        ({"name": ["tfidf", "v.parquet"]}, "guide 'v.parquet': no such file."),
        ({"name": ["start", "./nowhere"]}, "model './nowhere': no such folder."),
    ],
)
def test_guides_that_are_not_there_are_refused_before_anything_is_loaded(recipe, guide, message, monkeypatch):
    monkeypatch.setattr(build, "load_model", None)
    monkeypatch.setattr(build, "training_data", None)
    with pytest.raises(ConfigError, match=re.escape(message)):
        prepare(recipe(guide), None)


PAGE = (Path(__file__).parents[2] / "docs" / "guides.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_the_guides_of_the_page_are_guides(recipe, block):
    assert recipe(yaml.safe_load(block)["guide"]).guide.names


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(compile(block, "guides.md", "exec"), found)
    assert found["store"].guide_dims == (3, 384)
