"""Run and qrels files: other readers find our order and our figures in them, and faults are named."""

from pathlib import Path

import ir_measures
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import DataError
from tutelage.evaluate.retrieval import EncodedSet, measure
from tutelage.evaluate.trec import (
    evaluate_run,
    missing_queries,
    read_run,
    run_of,
    strictly_descending,
    write_qrels,
    write_run,
)
from tutelage.records.retrieval import RetrievalSet


def tied_set(seed: int = 0, queries: int = 12, corpus: int = 60, exclude_self: bool = False) -> EncodedSet:
    """Vectors of -1, 0 and 1: few scores, hence many ties; ids that sort neither as the corpus nor against it."""
    random = np.random.default_rng(seed)
    ids = [f"{place:03}" for place in random.permutation(corpus)]
    asked = [f"{place:03}" for place in range(queries)] if exclude_self else [f"q{place}" for place in range(queries)]
    relevant = [random.permutation(corpus)[: random.integers(1, 15)].tolist() for _ in asked]
    relevant = [[row for row in rows if ids[row] != query] for query, rows in zip(asked, relevant, strict=True)]
    relevance = {query: frozenset(ids[row] for row in rows) for query, rows in zip(asked, relevant, strict=True)}
    retrieval = RetrievalSet("tied", dict.fromkeys(asked, "t"), dict.fromkeys(ids, "t"), relevance, exclude_self)
    vectors = torch.from_numpy(random.integers(-1, 2, (queries + corpus, 3)).astype(np.float32))
    excluded = [ids.index(query) for query in asked] if exclude_self else None
    return EncodedSet(retrieval, asked, ids, vectors[:queries], vectors[queries:], relevant, excluded)


THEIRS = {"map": "AP", "mrr": "RR", "ndcg@10": "nDCG@10", "precision@5": "P@5", "recall@30": "R@30",
          "accuracy@3": "Success@3"}  # fmt: skip


def test_an_entry_that_is_the_query_itself_is_not_right_where_it_is_left_out() -> None:
    texts, right = {"a": "nurse", "b": "cook"}, {"a": frozenset("ab"), "b": frozenset("b")}
    retrieval = RetrievalSet("own", texts, texts, right, exclude_self=True)
    assert retrieval.relevance == {"a": frozenset("b"), "b": frozenset()}
    assert evaluate_run(retrieval, {"a": [("a", 0.9), ("b", 0.5)]}, ["map"]).means == {"map": 1.0}


@pytest.mark.parametrize("provider", ["pytrec_eval", "default"])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_ir_measures_finds_our_figures_in_the_files(provider: str, exclude_self: bool, tmp_path: Path) -> None:
    encoded = tied_set(exclude_self=exclude_self)
    write_run(tmp_path / "run", run_of(encoded, depth=60))
    write_qrels(tmp_path / "qrels", encoded.retrieval)
    qrels = [*ir_measures.read_trec_qrels(str(tmp_path / "qrels"))]
    run = [*ir_measures.read_trec_run(str(tmp_path / "run"))]
    measures = {ours: ir_measures.parse_measure(name) for ours, name in THEIRS.items()}
    if provider == "pytrec_eval":
        calculate = ir_measures.pytrec_eval.calc_aggregate
        measures = {o: m for o, m in measures.items() if ir_measures.pytrec_eval.supports(m)}
    else:
        calculate = ir_measures.calc_aggregate
    want = calculate([*measures.values()], qrels, run)
    got = measure(encoded, [*measures]).means
    assert len(measures) >= 5
    assert got == pytest.approx({ours: want[theirs] for ours, theirs in measures.items()}, abs=1e-9)


@pytest.mark.parametrize("exclude_self", [False, True])
def test_a_run_read_back_has_the_figures_and_first_entries_it_came_from(exclude_self: bool, tmp_path: Path) -> None:
    encoded = tied_set(1, exclude_self=exclude_self)
    metrics = [*THEIRS, "map@7"]
    write_run(tmp_path / "run", run_of(encoded, depth=60))
    got, want = evaluate_run(encoded.retrieval, read_run(tmp_path / "run"), metrics), measure(encoded, metrics)
    for metric in metrics:
        np.testing.assert_allclose(got.values[metric], want.values[metric], rtol=0, atol=1e-12)
    assert [[entry for entry, _ in top] for top in got.top] == [[entry for entry, _ in top] for top in want.top]
    assert (got.name, got.queries, got.cluster) == (want.name, want.queries, want.cluster)


def test_a_shallow_run_has_the_same_figures_within_its_depth(tmp_path: Path) -> None:
    encoded = tied_set(2)
    metrics = ["ndcg@10", "map@10", "precision@3"]
    run = run_of(encoded, depth=10)
    assert {len(hits) for hits in run.values()} == {10}
    assert evaluate_run(encoded.retrieval, run, metrics).means == pytest.approx(measure(encoded, metrics).means)


def test_the_public_talentclef_definition_read_from_the_files(tmp_path: Path) -> None:
    encoded = tied_set(3)
    write_run(tmp_path / "run", run_of(encoded, depth=60))
    write_qrels(tmp_path / "qrels", encoded.retrieval)
    right: dict[str, set[str]] = {}
    for line in (tmp_path / "qrels").read_text().splitlines():
        query, _, entry, relevance = line.split()
        right.setdefault(query, set()).update([entry] * int(relevance))
    scores: dict[str, dict[str, float]] = {}
    for line in (tmp_path / "run").read_text().splitlines():
        query, _, entry, _, score, _ = line.split()
        scores.setdefault(query, {})[entry] = float(score)
    precisions = []
    for query, entries in right.items():  # average precision over all relevant, the whole corpus ranked by score
        order = sorted(scores[query], key=scores[query].__getitem__, reverse=True)
        assert len(order) == 60
        found = [place for place, entry in enumerate(order, start=1) if entry in entries]
        precisions.append(sum(n / place for n, place in enumerate(found, start=1)) / len(entries))
    assert measure(encoded, ["map"]).means["map"] == pytest.approx(np.mean(precisions), abs=1e-12)


def test_a_run_file_holds_what_the_format_asks(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {"q1": [("7", 0.25), ("d", 0.5), ("c", 0.5)], "2": [("7", -1.0)]}, tag="mine")
    assert (tmp_path / "run").read_text() == (
        "q1 Q0 d 1 0.5 mine\nq1 Q0 c 2 0.49999997 mine\nq1 Q0 7 3 0.25 mine\n2 Q0 7 1 -1 mine\n"
    )


def test_qrels_stand_in_the_order_of_the_sets_files(tmp_path: Path) -> None:
    relevance = {"b": frozenset(["9", "10"]), "a": frozenset(["8"])}
    write_qrels(
        tmp_path / "qrels", RetrievalSet("s", {"a": "x", "b": "y"}, dict.fromkeys(["9", "10", "8"], "t"), relevance)
    )
    assert (tmp_path / "qrels").read_text() == "a 0 8 1\nb 0 9 1\nb 0 10 1\n"


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=30), st.integers(1, 4))
def test_written_scores_are_unique_as_text_and_hardly_moved(scores: list[float], times: int) -> None:
    scores = sorted(scores * times, reverse=True)
    lowered = strictly_descending(np.array(scores))
    assert (np.diff(lowered) < 0).all()
    read = [float(f"{score:.9g}") for score in lowered.tolist()]
    assert np.float32(read).tolist() == lowered.tolist()
    steps = np.array(scores, dtype=np.float32)
    for _ in range(len(scores)):
        steps = np.nextafter(steps, np.float32(-np.inf))
    assert (lowered <= np.float32(scores)).all()
    assert (lowered > steps).all()


def some_set(exclude_self: bool = False) -> RetrievalSet:
    texts = dict.fromkeys(["a", "b", "c"], "text")
    return RetrievalSet("some", texts, texts, {"a": frozenset({"b"}), "b": frozenset({"a"})}, exclude_self)


def test_missing_queries_count_nothing_and_are_named() -> None:
    run = {"a": [("b", 1.0)], "c": [("a", 1.0)]}
    result = evaluate_run(some_set(), run, ["mrr"])
    assert result.queries == ["a", "b"]
    assert result.values["mrr"].tolist() == [1, 0]
    assert result.top == [[("b", 1.0)], []]
    assert missing_queries(some_set(), run) == ["b"]


def test_scores_decide_not_the_order_of_rows_which_only_breaks_ties() -> None:
    run = {"a": [("c", 0.1), ("a", 0.7), ("b", 0.7)]}
    assert evaluate_run(some_set(), run, ["mrr"]).values["mrr"].tolist() == [1 / 2, 0]
    assert evaluate_run(some_set(exclude_self=True), run, ["mrr"]).values["mrr"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            {"z": [("a", 1.0)], "y": [("a", 1.0)]},
            "some: the run names 2 unknown query ids (first: 'y'); 3 are known. Use the run that belongs to this set.",
        ),
        (
            {"a": [("z", 1.0)]},
            "some: the run names 1 unknown corpus id (first: 'z'); 3 are known. "
            "Use the run that belongs to this set.",
        ),
        (
            {"a": [("b", 1.0), ("c", 0.5), ("b", 0.2)]},
            "some: the run lists 'b' twice for query 'a'. Keep one row.",
        ),
        (
            {"a": [("b", float("nan"))]},
            "some: the run's score of 'b' for query 'a' is not a number. Mend what wrote the run.",
        ),
    ],
)  # fmt: skip
def test_a_faulty_run_is_refused(run: dict[str, list[tuple[str, float]]], message: str) -> None:
    with pytest.raises(DataError) as fault:
        evaluate_run(some_set(), run)
    assert str(fault.value) == message


@pytest.mark.parametrize("line", ["q1 Q0 d1 1 0.5", "q1 Q0 d1 1 0.5 mine more", "q1 Q0 d1 1 much mine"])
def test_a_row_that_is_none_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text(f"q1 Q0 d0 1 0.9 mine\n\n{line}\n")
    with pytest.raises(DataError) as fault:
        read_run(path)
    assert str(fault.value) == (
        f"{path} row 3: '{line}'. Wanted six fields: query id, Q0, corpus id, rank, score, tag."
    )


def test_a_run_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("\n")
    with pytest.raises(DataError, match=r"run: no rows\. Wanted a TREC run"):
        read_run(tmp_path / "run")


@pytest.mark.parametrize("id_", ["a b", "a\t", ""])
def test_an_id_that_the_format_cannot_hold_is_refused_before_anything_is_written(id_: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    for write in (
        lambda: write_run(path, {"q": [(id_, 1.0)]}),
        lambda: write_run(path, {id_: [("d", 1.0)]}),
        lambda: write_qrels(path, RetrievalSet("s", {"q": "x"}, {id_: "y"}, {"q": frozenset([id_])})),
    ):
        with pytest.raises(DataError) as fault:
            write()
        assert str(fault.value) == (
            f"{path}: id '{id_}' cannot stand in a TREC file, whose fields end at white space. Rename it."
        )
    assert not path.exists()
