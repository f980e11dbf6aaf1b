"""One suite for every kind of index: the same answers, in the same order, with the same counts."""

import numpy as np
import pytest
from index_fixture import DIM, KINDS, brute_force, empty_index, made_up, unit
from qdrant_client import QdrantClient

from tutelage.errors import CacheMismatch, ConfigError, DataError
from tutelage.serve.qdrant_index import QdrantIndex
from tutelage.serve.rollup import nearest_concepts

ENTRIES, VECTORS = made_up(90), unit(90)
QUERIES = unit(7, seed=1)


@pytest.fixture(params=KINDS)
def empty(request, tmp_path):
    return empty_index(request.param, tmp_path)


@pytest.fixture
def index(empty):
    empty.build(ENTRIES, VECTORS, "f1", {"model": "m"})
    return empty


def assert_finds(index, wanted, queries=QUERIES, **how):
    found = index.search(queries, **how)
    assert [[hit.entry for hit in row] for row in found] == [[entry for entry, _ in row] for row in wanted]
    for row, want in zip(found, wanted, strict=True):
        # float32 against float64: 16 products, each off by at most 6e-8
        assert [hit.score for hit in row] == pytest.approx([score for _, score in want], abs=1e-6)


@pytest.mark.parametrize("k", [1, 5, 90, 200])
def test_search_equals_brute_force(index, k):
    assert_finds(index, brute_force(ENTRIES, VECTORS, QUERIES, k), k=k)


@pytest.mark.parametrize(
    "how",
    [
        {"languages": ["de"]},
        {"languages": ["tr", "en"]},
        {"groups": ["2"]},
        {"groups": ["11", "4"]},
        {"groups": ["1111"], "languages": ["en", "de"]},
        {"languages": ["xx"]},
        {"groups": ["0"]},
    ],
    ids=str,
)
def test_filters_equal_brute_force(index, how):
    wanted = brute_force(ENTRIES, VECTORS, QUERIES, 4, **how)
    assert_finds(index, wanted, k=4, **how)


def test_a_group_or_language_never_seen_finds_nothing(index):
    assert index.search(QUERIES[:1], 3, languages=["xx"]) == [[]]
    assert index.search(QUERIES[:1], 3, groups=["99999"]) == [[]]


@pytest.mark.parametrize("k", [1, 6, 40])
def test_equal_scores_stand_in_the_order_of_language_text_and_concept(empty, k):
    entries, vectors = made_up(60), np.repeat(unit(2), 30, axis=0)  # two vectors, thirty times each
    empty.build(entries, vectors, "f1")
    assert_finds(empty, brute_force(entries, vectors, QUERIES, k), k=k)
    for row in empty.search(QUERIES, k):
        assert len({hit.score for hit in row}) == (1 if k <= 30 else 2)


def test_a_query_alone_equals_the_same_query_among_others(index):
    among = index.search(QUERIES, 5)
    assert [index.search(query[None], 5)[0] for query in QUERIES] == among


def test_no_query_finds_nothing(index):
    assert index.search(QUERIES[:0], 3) == []


def test_stats(index):
    stats = index.stats()
    assert stats[1:-1] == ("000001", "f1", DIM, 90, 30, {"de": 30, "en": 30, "tr": 30})
    assert index.stats().notes == {"model": "m"}


def test_upsert_adds_and_replaces(index):
    changed = ENTRIES[0]._replace(code="changed", preferred="changed")
    added = ENTRIES[1]._replace(text="quite new", language="fr")
    vectors = unit(2, seed=5)
    index.upsert([changed, added], vectors)
    entries = [changed, *ENTRIES[1:], added]
    now = np.concatenate([vectors[:1], VECTORS[1:], vectors[1:]])
    assert_finds(index, brute_force(entries, now, vectors, 3), queries=vectors, k=3)
    assert_finds(index, brute_force(entries, now, QUERIES, 91), k=91)
    stats = index.stats()
    assert (stats.entries, stats.concepts, stats.version) == (91, 30, "000002")
    assert stats.languages == {"de": 30, "en": 30, "fr": 1, "tr": 30}
    assert index.stats().notes == {"model": "m"}


def test_of_equal_entries_the_last_stays(empty):
    twice = [ENTRIES[0], ENTRIES[0]._replace(code="last")]
    empty.build(twice, unit(2), "f1")
    [[hit]] = empty.search(unit(2)[1:], 5)
    assert hit.entry.code == "last"
    assert hit.score == pytest.approx(1, abs=1e-6)
    assert empty.stats().entries == 1


def test_delete_removes_a_concept_whole(index):
    gone = ENTRIES[0].concept
    assert index.delete([gone, "never there"]) == 3
    left = [row for row, entry in enumerate(ENTRIES) if entry.concept != gone]
    assert_finds(index, brute_force([ENTRIES[row] for row in left], VECTORS[left], QUERIES, 90), k=90)
    assert index.stats().entries == 87
    assert index.stats().concepts == 29


def test_delete_of_nothing_changes_nothing(index):
    before = index.stats()
    assert index.delete(["never there"]) == 0
    assert index.delete([]) == 0
    assert index.stats() == before


def test_build_replaces_everything(index):
    index.build(ENTRIES[:3], VECTORS[:3], "f2", {"model": "other"})
    assert_finds(index, brute_force(ENTRIES[:3], VECTORS[:3], QUERIES, 9), k=9)
    assert index.stats()[1:5] == ("000002", "f2", DIM, 3)
    assert index.stats().notes == {"model": "other"}


def test_an_index_that_another_builds_anew_is_seen_or_refused_but_never_asked_with_another_models_vectors():
    client = QdrantClient(":memory:")
    index, other = QdrantIndex(client, "labels"), QdrantIndex(client, "labels")
    index.build(ENTRIES, VECTORS, "f1")
    other.build(ENTRIES[:3], VECTORS[:3], "f1")
    assert index.stats().entries == 3
    other.build(ENTRIES, VECTORS, "f2")
    for call in (lambda: index.search(QUERIES, 1), index.stats, lambda: index.upsert(ENTRIES[:1], VECTORS[:1])):
        with pytest.raises(CacheMismatch, match=r"built anew with another model \(f2\) since it was opened \(f1\)"):
            call()
    index.build(ENTRIES, VECTORS, "f3")
    assert index.stats().fingerprint == "f3"


def test_concepts_come_out_as_many_as_asked_for(index):
    """Most of the near labels are of one concept, so the first fetch cannot do."""
    query = QUERIES[:1]
    crowd = [ENTRIES[0]._replace(text=f"crowd {i}") for i in range(40)]
    index.upsert(crowd, np.repeat(query, 40, axis=0))
    [found] = nearest_concepts(index, query, 4)
    entries, vectors = [*ENTRIES, *crowd], np.concatenate([VECTORS, np.repeat(query, 40, axis=0)])
    [wanted] = brute_force(entries, vectors, query, len(entries))
    best = {}
    for entry, _ in wanted:
        best.setdefault(entry.concept, entry)
    assert [hit.matched for hit in found] == list(best.values())[:4]
    assert [hit.concept for hit in found] == list(best)[:4]
    assert found[0].label == ENTRIES[0].preferred
    [everything] = nearest_concepts(index, query, 1000)
    assert [hit.concept for hit in everything] == list(best)


def test_nothing_is_found_before_it_is_built(empty):
    for call in (lambda: empty.search(QUERIES, 1), empty.stats, lambda: empty.upsert(ENTRIES, VECTORS)):
        with pytest.raises(ConfigError, match=r"no (finished )?index"):
            call()


def test_vectors_of_another_width_are_refused(index):
    with pytest.raises(CacheMismatch, match="holds vectors 16 wide, these are 8"):
        index.upsert(ENTRIES[:1], unit(1, dim=8))
    with pytest.raises(DataError, match="queries are 8 wide, the index is 16"):
        index.search(unit(1, dim=8), 1)


def test_vectors_that_are_not_unit_or_finite_are_refused(index):
    for bad in (2 * VECTORS[:1], np.full((1, DIM), np.nan, np.float32), np.zeros((1, DIM), np.float32)):
        with pytest.raises(DataError, match="is not of length 1"):
            index.upsert(ENTRIES[:1], bad)
    with pytest.raises(DataError, match="NaN or infinity"):
        index.search(np.full((1, DIM), np.nan, np.float32), 1)
    with pytest.raises(DataError, match="2 entries and 1 vectors"):
        index.build(ENTRIES[:2], VECTORS[:1], "f1")
