"""Search is exact: what a sort of all scores finds, whatever the tiles, ties and filters, and the same to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_fixture import brute_force, made_up, unit

from tutelage.encode.encoder import encode
from tutelage.serve import nearest as nearest_rows
from tutelage.serve.contract import Entry
from tutelage.serve.nearest import nearest
from tutelage.serve.snapshot import Snapshot

TEXTS = ["nurse", "registered nurse", "welder", "pipe welder", "hemşire", "data engineer", "chef", "pastry chef"]


def whole(vectors):
    return [slice(0, len(vectors))]


def in_order(queries, vectors, rows, k):
    """What a stable sort of float64 scores of quarter-integer vectors finds: no rounding, so ties are ties."""
    scores = queries.astype(np.float64) @ vectors[rows].astype(np.float64).T
    return np.array(rows)[np.argsort(-scores, axis=1, kind="stable")[:, :k]]


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 700),
    queries=st.integers(1, 9),
    k=st.integers(1, 80),
    distinct=st.integers(1, 40),
    at_once=st.sampled_from([64, 1000, 10**6]),
    seed=st.integers(0, 2**20),
)
def test_equals_a_stable_sort_with_many_ties(count, queries, k, distinct, at_once, seed):
    random = np.random.default_rng(seed)
    # Of four entries of a half each: length 1 and products that are exact.
    kinds = np.zeros((distinct, 12), dtype=np.float32)
    for row in kinds:
        row[random.choice(12, 4, replace=False)] = random.choice([-0.5, 0.5], 4)
    vectors, asked = kinds[random.integers(0, distinct, count)], kinds[random.integers(0, distinct, queries)]
    chosen = np.sort(random.choice(count, random.integers(1, count + 1), replace=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest_rows, "SCORES_AT_ONCE", at_once)
        patch.setattr(nearest_rows, "QUERIES_AT_ONCE", 4)
        patch.setattr(nearest_rows, "ROWS_AT_ONCE", 50)
        patch.setattr(nearest_rows, "PAIRS_AT_ONCE", 20)
        for parts, rows in ((whole(vectors), range(count)), ([chosen], chosen)):
            scores, found = nearest(asked, vectors, k, parts)
            assert (found == in_order(asked, vectors, list(rows), k)).all()
            assert (scores == (asked[:, None] * vectors[found]).sum(-1)).all()


@settings(deadline=None, max_examples=25)
@given(
    k=st.integers(1, 20),
    languages=st.sets(st.sampled_from(["en", "de", "tr", "xx"]), max_size=2),
    groups=st.sets(st.sampled_from(["1", "2", "33", "4441", "9"]), max_size=2),
    seed=st.integers(0, 2**20),
)
def test_filters_equal_brute_force(k, languages, groups, seed):
    entries, vectors, queries = made_up(80, seed), unit(80, seed), unit(3, seed + 1)
    how = {"languages": sorted(languages), "groups": sorted(groups)}
    found = Snapshot.of(entries, vectors).search(queries, k, **how)
    wanted = brute_force(entries, vectors, queries, k, **how)
    assert [[hit.entry for hit in row] for row in found] == [[entry for entry, _ in row] for row in wanted]


@pytest.mark.parametrize("copies", [1, 63, 64, 65, 700])
def test_copies_of_one_vector_stand_in_order_wherever_they_lie(copies):
    vectors = np.concatenate([unit(100), np.repeat(unit(1, seed=9), copies, axis=0), unit(100, seed=3)])
    for queries in (unit(1, seed=9), unit(5, seed=9)):
        scores, rows = nearest(queries, vectors, copies, whole(vectors))
        assert rows[0].tolist() == list(range(100, 100 + copies))
        assert len(set(scores[0].tolist())) == 1


def test_a_query_alone_has_the_bits_that_it_has_among_others():
    vectors, queries = unit(5000, dim=384), unit(70, seed=1, dim=384)
    scores, rows = nearest(queries, vectors, 10, whole(vectors))
    for query in range(70):
        alone = nearest(queries[query : query + 1], vectors, 10, whole(vectors))
        assert (alone[0] == scores[query]).all()
        assert (alone[1] == rows[query]).all()


def test_reads_no_row_that_was_not_asked_for():
    vectors = unit(1000)
    vectors[:100], vectors[200:] = np.nan, np.nan
    scores, rows = nearest(unit(3, seed=1), vectors, 5, [slice(100, 200)])
    assert np.isfinite(scores).all()
    assert ((rows >= 100) & (rows < 200)).all()


def test_nothing_asked_and_nothing_there():
    assert nearest(unit(0), unit(5), 3, whole(unit(5)))[1].shape == (0, 0)
    assert nearest(unit(2), unit(5), 3, [])[1].shape == (2, 0)
    assert nearest(unit(2), unit(5), 3, [slice(2, 2)])[1].shape == (2, 0)


@pytest.fixture
def snapshot(minilm):
    entries = [Entry(text, f"c{i}", "", text, "", "en") for i, text in enumerate(TEXTS)]
    return Snapshot.of(entries, encode(minilm, TEXTS))


def test_a_text_finds_itself_with_score_one(snapshot, minilm):
    for text, [hit] in zip(TEXTS, snapshot.search(encode(minilm, TEXTS), 1), strict=True):
        assert hit.entry.text == text
        assert hit.score == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("copies", [11, 37])
def test_equal_texts_score_the_same_under_the_real_model(minilm, copies):
    entries = [Entry("nurse", f"c{i:02d}", "", "nurse", "", "en") for i in range(copies)]
    held = Snapshot.of(entries, encode(minilm, ["nurse"] * copies))
    for row in held.search(encode(minilm, TEXTS), copies):
        assert len({hit.score for hit in row}) == 1
        assert [hit.entry for hit in row] == entries
