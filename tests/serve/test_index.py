"""Search is exact: what a loop over all labels finds, in an order that never changes."""

import numpy as np
import pytest

from tutelage.encode.encoder import encode
from tutelage.records.concepts import Label
from tutelage.serve.index import LabelIndex

TEXTS = [
    "nurse",
    "registered nurse",
    "welder",
    "pipe welder",
    "hemşire",
    "data engineer",
    "chef",
    "pastry chef",
    "cook",
]
QUERIES = ["night nurse", "head cook", "engineer of data"]


def labelled(texts):
    return [Label(text, f"c{i}", "", "en") for i, text in enumerate(texts)]


def build(model, texts=TEXTS):
    return LabelIndex.build(model, labelled(texts), progress=False)


def found(rows):
    return [[hit.label for hit in row] for row in rows]


@pytest.mark.parametrize("k", [1, 4, len(TEXTS)])
def test_equals_brute_force(tiny, k):
    corpus, wanted = (encode(tiny, texts).astype(np.float64) for texts in (TEXTS, QUERIES))
    rows = build(tiny).search(tiny, QUERIES, k)
    for query, row in zip(wanted, rows, strict=True):
        scores = [sum(a * b for a, b in zip(query, label, strict=True)) for label in corpus]
        best = sorted(range(len(TEXTS)), key=lambda i: -scores[i])[:k]
        assert [hit.label for hit in row] == [labelled(TEXTS)[i] for i in best]
        assert [hit.score for hit in row] == pytest.approx([scores[i] for i in best], abs=1e-6)


@pytest.mark.parametrize("copies", [2, 11, 37, 100])  # a matrix product may round its last columns otherwise
@pytest.mark.parametrize("queries", [1, 3, 11])
def test_equal_texts_stand_in_the_order_of_the_labels(tiny, copies, queries):
    labels = labelled(["nurse"] * copies)
    rows = LabelIndex.build(tiny, labels, progress=False).search(tiny, [*QUERIES, *TEXTS][:queries], k=copies)
    assert found(rows) == [labels] * queries


@pytest.mark.parametrize("copies", [11, 37])
def test_equal_texts_score_the_same_under_the_real_model(minilm, copies):
    labels = labelled(["nurse"] * copies)
    rows = LabelIndex.build(minilm, labels, progress=False).search(minilm, TEXTS, k=copies)
    assert [len({hit.score for hit in row}) for row in rows] == [1] * len(TEXTS)


def test_a_text_finds_itself_with_score_one(tiny):
    for text, [hit] in zip(TEXTS, build(tiny).search(tiny, TEXTS, k=1), strict=True):
        assert hit.label.text == text
        assert hit.score == pytest.approx(1, abs=1e-6)


def test_a_query_alone_equals_the_same_query_among_others(tiny):
    index = build(tiny)
    for query, among in zip(QUERIES, index.search(tiny, QUERIES), strict=True):
        [alone] = index.search(tiny, [query])
        assert [hit.label for hit in alone] == [hit.label for hit in among]
        assert [hit.score for hit in alone] == pytest.approx([hit.score for hit in among], abs=1e-6)


def test_two_searches_agree_to_the_bit(tiny):
    index = build(tiny)
    assert index.search(tiny, QUERIES) == index.search(tiny, QUERIES)


def test_scores_never_rise_down_the_list(tiny):
    for row in build(tiny).search(tiny, QUERIES, len(TEXTS)):
        scores = [hit.score for hit in row]
        assert scores == sorted(scores, reverse=True)


def test_more_than_there_is_gives_all_there_is(tiny):
    assert [len(row) for row in build(tiny).search(tiny, QUERIES, k=1000)] == [len(TEXTS)] * len(QUERIES)


def test_no_query_finds_nothing(tiny):
    assert build(tiny).search(tiny, []) == []


def test_no_label_is_found_by_nothing(tiny):
    assert build(tiny, []).search(tiny, QUERIES) == [[]] * len(QUERIES)


def test_equal_texts_stand_once_a_concept(tiny):
    labels = [Label("taxi", "c1", "", "en"), Label("taxi", "c1", "", "de"), Label("taxi", "c2", "", "en")]
    index = LabelIndex.build(tiny, labels, progress=False)
    assert [label.concept for label in index.labels] == ["c1", "c2"]
    assert index.vectors.shape == (2, 16)
