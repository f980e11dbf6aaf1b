"""Guides by name, and several of them in one store: the mean and the largest of their cosines."""

import json
import re

import numpy as np
import pytest
import torch

from tutelage.encode.encoder import encode
from tutelage.errors import CacheMismatch, ConfigError, DataError
from tutelage.guide import fingerprint as fp
from tutelage.guide.sources import Source, combined, is_model, named, of_model, of_tfidf, refuse_absent
from tutelage.guide.store import MANIFEST, GuideStore
from tutelage.losses.screen import similarities
from tutelage.records.texts import text_ids

TEXTS = ["nurse", "registered nurse", "welder", "head of logistics", "a", "fitter"]


def letters(these):
    """Letters counted, far from unit length."""
    return Source({"letters": these}, (lambda texts: np.array([[t.count(c) + 0.5 for c in these] for t in texts]),))


FIRST, SECOND = letters("aei"), letters("nrwst")


def store_of(source, path, texts=TEXTS, dtype="float64"):
    return GuideStore.build(source, texts, path, dtype=dtype)


def cosines(source):
    (embed,) = source.embeds
    unit = torch.nn.functional.normalize(torch.from_numpy(embed(TEXTS)))
    return unit @ unit.T


def test_the_dot_product_of_a_mean_is_the_mean_of_the_cosines(tmp_path):
    store = store_of(combined([FIRST, SECOND]), tmp_path / "store")
    vectors = store.vectors(text_ids(TEXTS))
    assert store.guide_dims is None
    torch.testing.assert_close(vectors @ vectors.T, (cosines(FIRST) + cosines(SECOND)) / 2)


def test_the_slices_of_a_maximum_are_unit_vectors_of_the_guides(tmp_path):
    built = store_of(combined([FIRST, SECOND], "max"), tmp_path / "store")
    for store in (built, GuideStore.open(tmp_path / "store")):
        assert store.guide_dims == (3, 5)
        vectors = store.vectors(text_ids(TEXTS))
        want = torch.maximum(cosines(FIRST), cosines(SECOND))
        torch.testing.assert_close(similarities(vectors, vectors, store.guide_dims), want)
    assert json.loads((tmp_path / "store" / MANIFEST).read_text())["guide_dims"] == [3, 5]


def test_a_text_that_a_guide_knows_nothing_of_is_left_to_the_others(tmp_path):
    blind = Source({"blind": ""}, (lambda texts: np.zeros((len(texts), 2)),))
    for combine in ("mean", "max"):
        store = store_of(combined([blind, FIRST], combine), tmp_path / combine)
        vectors = store.vectors(text_ids(TEXTS))
        torch.testing.assert_close(similarities(vectors, vectors, store.guide_dims), cosines(FIRST))


def test_a_text_that_one_guide_of_two_knows_counts_by_the_root_of_who_knows_what(tmp_path):
    """cos = .8 by the one that knows both: .8 / sqrt(1 x 2) in the mean; in the maximum the other adds a 0."""
    knows = {"anchor": ([1.0, 0.0], [1.0, 0.0]), "new": ([0.8, 0.6], [0.0, 0.0]), "far": ([-0.6, 0.8], [0.0, 0.0])}
    guides = [Source({f"guide {n}": ""}, (lambda texts, n=n: np.array([knows[t][n] for t in texts]),)) for n in (0, 1)]
    for combine, new, far in (("mean", 0.8 / 2**0.5, -0.6 / 2**0.5), ("max", 0.8, 0.0)):
        store = GuideStore.build(combined(guides, combine), list(knows), tmp_path / combine, dtype="float64")
        vectors = store.vectors(text_ids(knows))
        found = similarities(vectors, vectors, store.guide_dims)[0, 1:]
        torch.testing.assert_close(found, torch.tensor([new, far], dtype=found.dtype))


def test_the_fingerprint_holds_the_fields_of_each_guide_and_what_is_made_of_them(tiny):
    found = combined([of_model(tiny), of_tfidf(TEXTS), FIRST], "max").fields
    assert found["guide 1 weights"] == fp.of_model(tiny)["weights"]
    assert found["guide 2 fitted_on"] == fp.of_texts(text_ids(TEXTS))
    assert found["guide 3 letters"] == "aei"
    assert found["combine"] == "max"


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        (combined([FIRST, SECOND], "max"), "combine"),
        (combined([FIRST, FIRST]), "guide 2 letters"),
        (combined([FIRST, SECOND, letters("z")]), "guide 3 letters"),
        (FIRST, "letters, guide 1 letters, guide 2 letters, combine"),
    ],
)
def test_another_combination_is_another_store(other, changed, tmp_path):
    store_of(combined([FIRST, SECOND]), tmp_path / "store")
    with pytest.raises(CacheMismatch, match=re.escape(f"({changed} changed)")):
        store_of(other, tmp_path / "store")


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_a_store_of_several_guides_grows(combine, tmp_path):
    source = combined([FIRST, SECOND], combine)
    store_of(source, tmp_path / "store", TEXTS[:2])
    grown, whole = store_of(source, tmp_path / "store"), store_of(source, tmp_path / "whole")
    assert grown.guide_dims == whole.guide_dims
    assert torch.equal(grown.vectors(text_ids(TEXTS)), whole.vectors(text_ids(TEXTS)))


def test_a_guide_among_several_that_returns_another_shape_is_refused(tmp_path):
    short = Source({"short": ""}, (lambda texts: np.ones((2, 2)),))
    with pytest.raises(
        DataError, match=re.escape("guide: 6 texts gave an array of shape (2, 2); wanted (texts, dim).")
    ):
        store_of(combined([FIRST, short]), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_prompt_for_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="guide: a prompt is for models"):
        GuideStore.build(of_tfidf(TEXTS), TEXTS, tmp_path / "store", prompt="query: ")


def test_sixteen_bit_vectors_are_measured_in_more():
    long = Source({"long": ""}, (lambda texts: np.full((len(texts), 64), 1000, dtype=np.float16),))
    np.testing.assert_allclose(np.linalg.norm(long.embed(TEXTS)[0], axis=1), 1, rtol=1e-6)


def test_names_mean_models_ngrams_and_files(tiny, tmp_path):
    np.save(tmp_path / "vectors.npy", np.eye(6))
    (tmp_path / "vectors.txt").write_text("\n".join(TEXTS))
    asked = []

    def load(name):
        asked.append(name)
        return tiny

    names = ["start", "tfidf", str(tmp_path / "vectors.npy"), "some/model"]
    source = named(names, TEXTS, load, prompt="title: ")
    assert asked == ["start", "some/model"]
    parts = [embed(TEXTS) for embed in source.embeds]
    assert [part.shape[1] for part in parts] == [16, 6, 6, 16]
    np.testing.assert_array_equal(parts[0], encode(tiny, TEXTS, prompt="title: "))
    assert [is_model(name) for name in names] == [True, False, False, True]
    assert named(["tfidf"], TEXTS, load).fields == of_tfidf(TEXTS).fields, "one is no combination"


def test_what_is_not_there_is_refused_by_name(tmp_path):
    for name in ("tfidf", "start", "some/model-of-the-hub"):
        refuse_absent(name)
    for name, message in {
        "./nowhere": "model './nowhere': no such folder",
        str(tmp_path / "v.npy"): "no such file. Give a .npy with its texts beside it, or a .parquet.",
    }.items():
        with pytest.raises(ConfigError, match=re.escape(message)):
            refuse_absent(name)
