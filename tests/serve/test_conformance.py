"""One suite for every kind of index: the same answers, in the same order, with the same counts."""

import numpy as np
import pytest
from index_fixture import DIM, KINDS, brute_force, empty_index, made_up, unit
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from tutelage.errors import CacheMismatch, ConfigError, DataError
from tutelage.serve import rollup
from tutelage.serve.qdrant_index import QdrantIndex
from tutelage.serve.qdrant_points import address_of
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


@pytest.mark.parametrize("how", [{"groups": ["0"]}, {"languages": ["fr"]}], ids=str)
def test_what_passes_a_filter_is_found_however_far_it_lies(empty, how):
    """Far more entries lie near the queries than a graph walks over, and none of them passes."""
    far = made_up(12, seed=3)
    far = [each._replace(concept=f"far {i}", group="0001", language="fr") for i, each in enumerate(far)]
    entries, near = [*made_up(1500), *far], unit(1500, seed=2) * 0.3 + QUERIES[np.arange(1500) % 7]
    vectors = np.concatenate([near / np.linalg.norm(near, axis=1, keepdims=True), -unit(12, seed=4)])
    empty.build(entries, vectors, "f1")
    assert_finds(empty, brute_force(entries, vectors, QUERIES, 5, **how), k=5, **how)


def test_an_empty_group_is_none(index):
    wanted = brute_force(ENTRIES, VECTORS, QUERIES, 4, groups=["1"])
    assert_finds(index, wanted, k=4, groups=["1", ""])


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


def test_of_two_builds_at_once_the_first_to_end_stands():
    client = QdrantClient(":memory:")
    index, slow, quick = (QdrantIndex(client, "labels") for _ in range(3))
    index.build(ENTRIES[:3], VECTORS[:3], "f1")
    add = slow._add

    def overtaken(collection, entries, vectors):
        add(collection, entries, vectors)
        if not hasattr(slow, "done"):
            slow.done = quick.build(ENTRIES, VECTORS, "quick")

    slow._add = overtaken
    with pytest.raises(ConfigError, match="another build came first and stands"):
        slow.build(ENTRIES, unit(90, seed=9), "slow")
    found = QdrantIndex(client, "labels")
    assert found.stats().fingerprint == "quick"
    assert_finds(found, brute_force(ENTRIES, VECTORS, QUERIES, 5), k=5)
    assert len(client.get_collections().collections) == 1, "what builds left behind is gone"


def test_what_dead_builds_and_older_versions_left_behind_goes_with_the_next():
    client = QdrantClient(":memory:")
    index = QdrantIndex(client, "labels")
    index.build(ENTRIES[:3], VECTORS[:3], "f1")
    wide = client.get_collection(index._collection()).config.params.vectors
    for left in ("labels-000001-0123abcd", "labels-other-000001-0123abcd"):
        client.create_collection(left, vectors_config=wide)
    index.build(ENTRIES, VECTORS, "f1")
    names = sorted(each.name for each in client.get_collections().collections)
    assert names == [index._collection(), "labels-other-000001-0123abcd"]


def test_a_server_that_goes_away_is_a_fault_of_ours(monkeypatch):
    client = QdrantClient(":memory:")
    index = QdrantIndex(client, "labels")
    index.build(ENTRIES, VECTORS, "f1")

    def gone(*asked, **named):
        raise ResponseHandlingException(ConnectionError("refused"))

    monkeypatch.setattr(client, "get_aliases", gone)
    for call in (lambda: index.search(QUERIES, 1), index.stats, lambda: index.delete(["c"])):
        with pytest.raises(ConfigError, match=r"Qdrant does not do it \(refused\)\. See that the server runs\."):
            call()


@pytest.mark.parametrize("kind", ["exact", "faiss"])
def test_a_folder_that_another_built_anew_takes_no_vectors_of_the_model_before(kind, tmp_path):
    index, other = empty_index(kind, tmp_path), empty_index(kind, tmp_path)
    index.build(ENTRIES, VECTORS, "f1")
    other.build(ENTRIES, VECTORS, "f2")
    for call in (lambda: index.upsert(ENTRIES[:1], VECTORS[:1]), lambda: index.delete([ENTRIES[0].concept])):
        with pytest.raises(CacheMismatch, match=r"built anew with another model \(f2\) since it was opened \(f1\)"):
            call()
    assert other.stats().entries == 90


@pytest.mark.parametrize(
    ("place", "server"),
    [
        ("qdrant+http://127.0.0.1:7000/a", "http://127.0.0.1:7000"),
        ("https://host/a", "https://host:443"),
        ("qdrant+http://[::1]/a", "http://[::1]:6333"),
    ],
)
def test_a_qdrant_address(place, server):
    assert address_of(place) == (server, "a")


@pytest.mark.parametrize(
    "place", ["http://host:abc/a", "http://[bad/a", "http://u:p@host/a", "http://host", "http:///a"]
)
def test_what_is_no_qdrant_address_is_refused(place):
    with pytest.raises(ConfigError, match="wanted qdrant"):
        address_of(place)


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


def test_few_labels_are_held_at_once(index, monkeypatch):
    """A concept of very many labels makes a search of many queries a long one, not a large one."""
    whole = nearest_concepts(index, QUERIES, 20)
    monkeypatch.setattr(rollup, "LABELS_EACH", 1)
    monkeypatch.setattr(rollup, "LABELS_AT_ONCE", 100)
    asked, search = [], index.search
    monkeypatch.setattr(
        index, "search", lambda vectors, k, **how: asked.append(len(vectors) * k) or search(vectors, k, **how)
    )
    assert nearest_concepts(index, QUERIES, 20) == whole
    assert max(asked) <= 100
    assert len(asked) > 7, "five queries at once, then one by one"


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
