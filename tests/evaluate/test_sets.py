"""Several sets at several widths from one encode each, and the files beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import ir_measures
import pytest
from sentence_transformers import SentenceTransformer

from tutelage.errors import ConfigError, DataError
from tutelage.evaluate.compare import compare_systems, load_system
from tutelage.evaluate.per_query import PER_QUERY, load_per_query
from tutelage.evaluate.retrieval import evaluate_dims, evaluate_retrieval
from tutelage.evaluate.sets import evaluate_sets, means_by_dim, split_of
from tutelage.records.judged import retrieval_set
from tutelage.records.retrieval import RetrievalSet


@pytest.fixture
def sets() -> list[RetrievalSet]:
    return [retrieval_set(name) for name in ("sample-heldout:en", "sample-mix:en-de")]


def test_each_set_at_its_whole_width_and_at_every_dim(tiny: SentenceTransformer, sets: list[RetrievalSet]) -> None:
    results = evaluate_sets(tiny, sets, dims=[8, 3])
    assert [(result.name, result.dim) for result in results] == [(s.name, dim) for s in sets for dim in (None, 8, 3)]
    assert results[0].means == evaluate_retrieval(tiny, sets[0]).means
    assert [result.means for result in results[4:]] == [r.means for r in evaluate_dims(tiny, sets[1], [8, 3])]
    assert means_by_dim(results) == {
        "sample-heldout:en": {"8": results[1].means, "3": results[2].means},
        "sample-mix:en-de": {"8": results[4].means, "3": results[5].means},
    }


def test_ir_measures_confirms_the_figures_from_the_files_alone(
    tiny: SentenceTransformer, sets: list[RetrievalSet], tmp_path: Path
) -> None:
    results = evaluate_sets(tiny, sets, metrics=["map", "ndcg@10"], dims=[4], folder=tmp_path / "out", depth=10_000)
    for result, key in ((results[0], "sample-heldout-en"), (results[2], "sample-mix-en-de")):
        qrels = ir_measures.read_trec_qrels(str(tmp_path / "out" / f"{key}.qrels"))
        run = ir_measures.read_trec_run(str(tmp_path / "out" / f"{key}.run"))
        want = ir_measures.calc_aggregate([ir_measures.AP, ir_measures.nDCG @ 10], qrels, run)
        assert result.means["map"] == pytest.approx(want[ir_measures.AP], abs=1e-9)
        assert result.means["ndcg@10"] == pytest.approx(want[ir_measures.nDCG @ 10], abs=1e-9)
    for dim, found in ((None, results[::2]), (4, results[1::2])):
        kept = load_per_query(tmp_path / "out" / PER_QUERY, dim)["after"]
        assert {name: result.means for name, result in kept.items()} == {each.name: each.means for each in found}


def test_the_per_query_values_of_a_run_or_an_earlier_evaluation_are_not_replaced(
    tiny: SentenceTransformer, sets: list[RetrievalSet], tmp_path: Path
) -> None:
    evaluate_sets(tiny, sets[:1], folder=tmp_path / "out")
    held = {file: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    with pytest.raises(ConfigError) as refused:
        evaluate_sets(tiny, sets[1:], folder=tmp_path / "out")
    assert str(refused.value) == (
        f"output {tmp_path / 'out'}: holds per_query.parquet of an earlier evaluation. Give another output, or remove "
        "it."
    )
    assert {file: file.read_bytes() for file in (tmp_path / "out").iterdir()} == held


@pytest.mark.parametrize(
    "change",
    [
        {"corpus": {"x": "registered nurse", "y": "cook"}},
        {"queries": {"1": "head nurse", "2": "chef"}},
        {"relevance": {"1": frozenset({"x"}), "2": frozenset({"x"})}},
        {"exclude_self": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_two_sets_of_one_name_are_not_compared(
    tiny: SentenceTransformer, tmp_path: Path, change: dict[str, Any]
) -> None:
    right = {"1": frozenset({"x"}), "2": frozenset({"y"})}
    one = RetrievalSet("dev", {"1": "nurse", "2": "chef"}, {"x": "carer", "y": "cook"}, right)
    for folder, retrieval in (("a", one), ("b", replace(one, **change)), ("c", one)):
        evaluate_sets(tiny, [retrieval], folder=tmp_path / folder)
    a, b, c = (load_system(str(tmp_path / folder)) for folder in "abc")
    assert compare_systems(a, c)["rows"][0]["mean"] == 0
    with pytest.raises(DataError, match=r"^A and B: 'dev' is not the same set in both"):
        compare_systems(a, b)


def test_nothing_is_written_unless_asked(
    tiny: SentenceTransformer,
    sets: list[RetrievalSet],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluate_sets(tiny, sets[:1])
    assert [each.name for each in tmp_path.iterdir()] == ["tiny"]


def test_an_output_that_is_a_file_is_refused(
    tiny: SentenceTransformer, sets: list[RetrievalSet], tmp_path: Path
) -> None:
    path = tmp_path / "out"
    path.write_text("")
    with pytest.raises(ConfigError) as fault:
        evaluate_sets(tiny, sets, folder=path)
    assert str(fault.value) == f"output {path}: a file, where a folder was wanted. Give another output."


def test_a_saved_model_tells_the_split_that_it_was_trained_with(tmp_path: Path) -> None:
    assert split_of(None) == split_of(str(tmp_path)) == {}
    (tmp_path / "report.json").write_text('{"recipe": {"data": {"held_out": 0.3, "seed": 7}}}')
    assert split_of(str(tmp_path)) == {"share": 0.3, "seed": 7}
    (tmp_path / "report.json").write_text('{"accuracy": 1}')
    with pytest.raises(DataError, match=r"report\.json: no report of a run of ours\. Move it away"):
        split_of(str(tmp_path))
