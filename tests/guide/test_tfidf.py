"""A guide of letters: near in spelling is near, and who has read other texts is another guide."""

import numpy as np
import pytest
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer

from tutelage.errors import CacheMismatch
from tutelage.guide import fingerprint as fp
from tutelage.guide import tfidf
from tutelage.guide.sources import of_tfidf
from tutelage.guide.store import GuideStore
from tutelage.records.texts import text_ids

TEXTS = ["software developer", "Software Developers", "softwareentwickler", "nurse", "registered nurse", "welder"]


def cosines(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def test_with_axes_enough_the_cosines_are_those_of_the_ngrams():
    sparse = TfidfVectorizer(**tfidf.OPTIONS).fit_transform(TEXTS)
    vectors = tfidf.embed(TEXTS, fitted_on=TEXTS)
    assert vectors.shape == (6, 6)
    np.testing.assert_allclose(cosines(vectors), (sparse @ sparse.T).toarray(), atol=1e-5)


def test_texts_that_are_spelled_alike_are_near():
    near = cosines(tfidf.embed(TEXTS, fitted_on=TEXTS))
    assert near[0, 1] > near[0, 2] > near[0, 3] + 0.1
    assert near[3, 4] > near[3, 5] + 0.1


def test_fewer_axes_may_be_asked_for():
    assert tfidf.embed(TEXTS, fitted_on=TEXTS, dim=2).shape == (6, 2)


def test_order_and_repetition_of_what_it_is_fitted_on_do_not_count():
    once = tfidf.embed(TEXTS[:2], fitted_on=TEXTS, dim=3)
    again = tfidf.embed(TEXTS[:2], fitted_on=[*reversed(TEXTS), " nurse "], dim=3)
    assert np.array_equal(once, again)
    assert tfidf.fields(TEXTS) == tfidf.fields([*reversed(TEXTS), " nurse "])


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("tfidf", lambda patch: tfidf.fields(TEXTS, dim=100)),
        ("tfidf", lambda patch: patch.setitem(tfidf.OPTIONS, "lowercase", False)),
        ("scikit-learn", lambda patch: patch.setattr(sklearn, "__version__", "0.1")),
        ("fitted_on", lambda patch: tfidf.fields(TEXTS[1:])),
    ],
)
def test_all_that_determines_its_vectors_counts(field, change, monkeypatch):
    before = tfidf.fields(TEXTS)
    after = change(monkeypatch) or tfidf.fields(TEXTS)
    assert fp.differences(before, after) == [field]


def test_a_store_that_was_fitted_on_other_texts_is_not_extended(tmp_path, monkeypatch):
    def build(texts, **options):
        return GuideStore.build(of_tfidf(texts), texts, tmp_path / "store", **options)

    build(TEXTS[:4])
    with pytest.raises(CacheMismatch, match=r"\(fitted_on changed\)\. Choose another folder"):
        build(TEXTS)
    with pytest.raises(CacheMismatch, match=r"\(fitted_on changed\)"):
        build(TEXTS[:3])  # it holds them all, by the weights of four
    grown = build(TEXTS, overwrite=True, dtype="float32")
    near = grown.vectors(text_ids(TEXTS)).numpy()
    np.testing.assert_allclose(near @ near.T, cosines(tfidf.embed(TEXTS, fitted_on=TEXTS)), atol=1e-5)
    monkeypatch.setattr(tfidf, "TfidfVectorizer", None)
    assert len(build(TEXTS, dtype="float32")) == len(TEXTS), "found, not fitted again"
