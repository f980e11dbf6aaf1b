"""Figures agree with two outside oracles, ties are decided, and real data gives the figures known for it."""

from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator, SequentialEvaluator

from tutelage.errors import ConfigError, DataError
from tutelage.evaluate.metrics import per_query
from tutelage.evaluate.ranking import ranks_of_relevant
from tutelage.evaluate.retrieval import (
    TOP,
    RetrievalEvaluator,
    encode_set,
    evaluate_dims,
    evaluate_retrieval,
    key_name,
)
from tutelage.records.judged import retrieval_set
from tutelage.records.retrieval import RetrievalSet


class Spelled(torch.nn.Module):
    """Takes its vectors from the texts: "+-+-" is (1, -1, 1, -1). All of one length, so that ties are exact."""

    def preprocess(self, texts: list[str], prompt: str | None = None, **options: Any) -> dict[str, Any]:
        ids = torch.tensor([[1 if sign == "+" else 0 for sign in text] for text in texts])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return {**features, "sentence_embedding": 2.0 * features["input_ids"] - 1}

    def get_embedding_dimension(self) -> int:
        return 4


whole = Spelled.forward


@pytest.fixture
def spelled() -> SentenceTransformer:
    return SentenceTransformer(modules=[Spelled()], device="cpu")


def spelled_set(seed: int, queries: int, corpus: int, relevant: int) -> RetrievalSet:
    """16 distinct texts at most, hence many ties; ids whose order as strings is not that of the corpus."""
    random = np.random.default_rng(seed)

    def text() -> str:
        return "".join(random.choice(["+", "-"], 4))

    ids = [f"d{i}" for i in random.permutation(corpus)]
    return RetrievalSet(
        "spelled",
        queries={f"q{i}": text() for i in range(queries)},
        corpus={entry: text() for entry in ids},
        relevance={
            f"q{i}": frozenset(random.choice(ids, random.integers(1, min(relevant, corpus) + 1), replace=False))
            for i in range(queries)
            if i % 3 != 1
        },
    )


CUTS = [1, 3, 5, 10, 100, 1000]
SHARED = ("accuracy", "precision", "recall", "mrr", "ndcg", "map")


@pytest.mark.parametrize(("queries", "corpus", "relevant"), [(40, 300, 30), (7, 12, 12), (1, 1, 1), (25, 90, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_every_key_agrees_with_sentence_transformers_under_ties(
    seed: int, queries: int, corpus: int, relevant: int, spelled: SentenceTransformer
) -> None:
    retrieval = spelled_set(seed, queries, corpus, relevant)
    oracle = InformationRetrievalEvaluator(
        retrieval.queries,
        retrieval.corpus,
        {query: set(entries) for query, entries in retrieval.relevance.items()},
        mrr_at_k=CUTS,
        ndcg_at_k=CUTS,
        accuracy_at_k=CUTS,
        precision_recall_at_k=CUTS,
        map_at_k=CUTS,
        write_csv=False,
    )
    want = {key.removeprefix("cosine_"): figure for key, figure in oracle(spelled).items()}
    assert want.keys() == {f"{metric}@{k}" for metric in SHARED for k in CUTS}
    got = evaluate_retrieval(spelled, retrieval, metrics=list(want), ties="id").means
    assert got == pytest.approx(want, abs=1e-9)


def test_the_tie_rule_matters_on_those_sets(spelled: SentenceTransformer) -> None:
    retrieval = spelled_set(0, 40, 300, 30)
    by_id, by_corpus = (evaluate_retrieval(spelled, retrieval, ties=ties).means for ties in ("id", "corpus"))
    assert by_id["map"] != pytest.approx(by_corpus["map"], abs=1e-6)


def test_figures_agree_with_ir_measures() -> None:
    random = np.random.default_rng(5)
    vectors = torch.from_numpy(random.normal(size=(30 + 200, 8)))
    scores = vectors[:30] @ vectors[30:].T
    relevant = [sorted(random.choice(200, random.integers(1, 15), replace=False).tolist()) for _ in range(30)]
    # map@k has no twin there: it divides by all relevant entries, sentence-transformers by at most k.
    names = {"map": "AP", "ndcg@10": "nDCG@10", "precision@5": "P@5", "recall@10": "R@10",
             "mrr": "RR", "accuracy@1": "Success@1", "accuracy@10": "Success@10"}  # fmt: skip
    ranks = ranks_of_relevant(vectors[:30], vectors[30:], relevant)
    got = per_query(names, ranks, np.array([float(len(right)) for right in relevant]))

    qrels = [ir_measures.Qrel(f"q{q}", f"d{d}", 1) for q, right in enumerate(relevant) for d in right]
    run = [ir_measures.ScoredDoc(f"q{q}", f"d{d}", float(scores[q, d])) for q in range(30) for d in range(200)]
    want = ir_measures.calc_aggregate([ir_measures.parse_measure(theirs) for theirs in names.values()], qrels, run)
    for ours, theirs in names.items():
        assert got[ours].mean() == pytest.approx(want[ir_measures.parse_measure(theirs)], abs=1e-9), ours


def ranks(queries: list[list[float]], corpus: list[list[float]], relevant: list[list[int]], *rest: Any) -> Any:
    return ranks_of_relevant(torch.tensor(queries), torch.tensor(corpus), relevant, *rest).tolist()


def test_equal_scores_stand_in_corpus_order() -> None:
    assert ranks([[1.0]], [[0.5], [0.5], [1.0], [0.5]], [[1, 3]]) == [[3, 4]]


def test_short_lists_are_padded_with_infinity() -> None:
    assert ranks([[1.0], [-1.0]], [[1.0], [2.0], [3.0]], [[2], [0, 1]]) == [[1, float("inf")], [1, 2]]


def test_an_excluded_row_gives_up_its_rank_and_minus_one_excludes_nothing() -> None:
    corpus, relevant = [[3.0], [2.0], [1.0]], [[1], [1]]
    assert ranks([[1.0], [1.0]], corpus, relevant) == [[2], [2]]
    assert ranks([[1.0], [1.0]], corpus, relevant, [0, -1]) == [[1], [2]]


@given(seed=st.integers(0, 2**32 - 1), queries=st.integers(1, 12), corpus=st.integers(1, 25), dim=st.integers(1, 3))
def test_ranks_equal_a_sort_of_each_query_by_score_then_place(seed: int, queries: int, corpus: int, dim: int) -> None:
    random = np.random.default_rng(seed)
    q, c = (random.integers(-1, 2, size=(count, dim)).astype(float) for count in (queries, corpus))
    relevant = [random.permutation(corpus)[: random.integers(1, corpus + 1)].tolist() for _ in range(queries)]
    got = ranks_of_relevant(torch.from_numpy(q), torch.from_numpy(c), relevant)
    for row, right in enumerate(relevant):
        order = sorted(range(corpus), key=lambda entry: (-(q[row] @ c[entry]), entry))
        want = sorted(order.index(entry) + 1 for entry in right)
        assert got[row].tolist() == want + [np.inf] * (got.shape[1] - len(want))


@pytest.mark.parametrize("elements", [1, 25, 60, 10_000])
def test_tiles_change_nothing(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    queries, corpus = (torch.from_numpy(random.integers(-1, 2, (n, 3)).astype(float)) for n in (11, 25))
    arguments = queries, corpus, [[row, row + 3] for row in range(11)], [row * (-1) ** row for row in range(11)]
    want = ranks_of_relevant(*arguments)
    monkeypatch.setattr("tutelage.evaluate.ranking.SCORES_AT_ONCE", elements)
    monkeypatch.setattr("tutelage.evaluate.ranking.LEAST_QUERIES", 1)
    np.testing.assert_array_equal(ranks_of_relevant(*arguments), want)


def test_queries_without_a_relevant_entry_are_left_out(spelled: SentenceTransformer) -> None:
    retrieval = RetrievalSet(
        "some", {"q1": "++++", "q2": "----", "q3": "+-+-"}, {"d1": "++++"}, {"q1": frozenset({"d1"}), "q2": frozenset()}
    )
    result = evaluate_retrieval(spelled, retrieval)
    assert result.queries == ["q1"]
    assert result.means["map"] == 1


def test_ties_go_by_the_corpus_or_by_id_as_a_string(spelled: SentenceTransformer) -> None:
    same = dict.fromkeys(("9", "10", "11"), "++++")
    retrieval = RetrievalSet("ties", {"q": "++++"}, same, {"q": frozenset({"9"})})
    assert evaluate_retrieval(spelled, retrieval, metrics=["mrr"]).means["mrr"] == 1
    assert evaluate_retrieval(spelled, retrieval, metrics=["mrr"], ties="id").means["mrr"] == pytest.approx(1 / 3)


def test_a_querys_own_entry_is_left_out_where_the_set_says_so(spelled: SentenceTransformer) -> None:
    texts = {"a": "++++", "b": "+++-", "c": "----"}
    relevance = {"a": frozenset({"b"})}
    with_own = RetrievalSet("own", texts, texts, relevance)
    without = RetrievalSet("own", texts, texts, relevance, exclude_self=True)
    assert evaluate_retrieval(spelled, with_own, metrics=["mrr"]).means["mrr"] == pytest.approx(1 / 2)
    assert evaluate_retrieval(spelled, without, metrics=["mrr"]).means["mrr"] == 1


def test_values_stand_in_the_order_of_queries_and_clusters(spelled: SentenceTransformer) -> None:
    retrieval = RetrievalSet(
        "order",
        {"q1": "----", "q2": "++++", "q3": "+++-"},
        {"d1": "++++", "d2": "+---"},
        {"q3": frozenset({"d2"}), "q1": frozenset({"d2"}), "q2": frozenset({"d2"})},
        cluster={"q1": "one", "q2": "two"},
    )
    result = evaluate_retrieval(spelled, retrieval, metrics=["mrr"])
    assert result.queries == ["q1", "q2", "q3"]
    assert result.cluster == ["one", "two", "q3"]
    assert result.values["mrr"].tolist() == [1, 0.5, 0.5]


def test_the_evaluator_gives_prefixed_keys_and_its_primary_metric(spelled: SentenceTransformer) -> None:
    evaluator = RetrievalEvaluator(spelled_set(0, 9, 30, 4), metrics=["ndcg@10"], main="map@5")
    values = evaluator(spelled)
    assert values.keys() == {"spelled_cosine_ndcg@10", "spelled_cosine_map@5"}
    assert evaluator.primary_metric == "spelled_cosine_map@5"
    assert evaluator.greater_is_better
    (result,) = evaluator.results
    assert values["spelled_cosine_map@5"] == result.means["map@5"]
    assert values == evaluator(spelled)


def test_evaluators_serve_in_a_sequential_evaluator(spelled: SentenceTransformer) -> None:
    one, two = (
        RetrievalEvaluator(RetrievalSet(name, s.queries, s.corpus, s.relevance), metrics=["mrr@10"])
        for name, s in (("talentclef:en", spelled_set(0, 9, 30, 4)), ("mine", spelled_set(1, 9, 30, 4)))
    )
    values = SequentialEvaluator([one, two], main_score_function=sum)(spelled)
    assert set(values) >= {"talentclef-en_cosine_map", "talentclef-en_cosine_mrr@10", "mine_cosine_map"}
    want = values["talentclef-en_cosine_map"] + values["mine_cosine_map"]
    assert values["sequential_score"] == pytest.approx(want)
    assert spelled.model_card_data.eval_results_dict[one] == one(spelled)


def test_the_first_entries_are_kept_with_their_scores(spelled: SentenceTransformer) -> None:
    retrieval = RetrievalSet(
        "top", {"q": "++++", "none": "++++"}, {"a": "+---", "b": "+++-", "c": "+--+"}, {"q": frozenset({"c"})}
    )
    assert evaluate_retrieval(spelled, retrieval).top == [[("b", 0.5), ("c", 0.0), ("a", -0.5)]]


def test_no_more_than_ten_first_entries_and_never_the_querys_own(spelled: SentenceTransformer) -> None:
    texts = spelled_set(0, 1, 30, 1).corpus
    pairs = {entry: frozenset({other}) for entry, other in zip(texts, [*texts][1:], strict=False)}
    result = evaluate_retrieval(spelled, RetrievalSet("own", texts, texts, pairs, exclude_self=True))
    assert {len(top) for top in result.top} == {TOP}
    assert all(query not in dict(top) for query, top in zip(result.queries, result.top, strict=True))
    two = {"a": "++++", "b": "++++"}
    result = evaluate_retrieval(spelled, RetrievalSet("two", two, two, {"a": frozenset("b")}, exclude_self=True))
    assert result.top == [[("b", 1.0)]]


def oracle_at(dim: int, model: SentenceTransformer, retrieval: RetrievalSet) -> dict[str, float]:
    evaluator = InformationRetrievalEvaluator(
        retrieval.queries,
        retrieval.corpus,
        {query: set(entries) for query, entries in retrieval.relevance.items()},
        truncate_dim=dim,
        write_csv=False,
    )
    return {key.removeprefix("cosine_"): figure for key, figure in evaluator(model).items()}


@pytest.mark.parametrize("dim", [1, 4])  # elsewhere lengths are no powers of two, and rounding would decide ties
def test_a_dim_is_sentence_transformers_truncation_under_ties(dim: int, spelled: SentenceTransformer) -> None:
    retrieval = spelled_set(1, 40, 300, 30)
    want = oracle_at(dim, spelled, retrieval)
    (got,) = evaluate_dims(spelled, retrieval, [dim], metrics=list(want), ties="id")
    assert got.means == pytest.approx(want, abs=1e-9)
    assert got.dim == dim


@pytest.mark.parametrize("dim", [2, 7, 16])
def test_a_dim_is_sentence_transformers_truncation_of_any_vectors(dim: int, tiny: SentenceTransformer) -> None:
    random = np.random.default_rng(dim)
    words = sorted({"".join(random.choice([*"abcdefgh"], 8)) for _ in range(90)})
    corpus = {f"d{place}": word for place, word in enumerate(words[20:])}
    retrieval = RetrievalSet(
        "words",
        {f"q{place}": word for place, word in enumerate(words[:20])},
        corpus,
        {f"q{place}": frozenset(random.choice([*corpus], 5, replace=False)) for place in range(20)},
    )
    want = oracle_at(dim, tiny, retrieval)
    (got,) = evaluate_dims(tiny, retrieval, [dim], metrics=list(want), ties="id")
    assert got.means == pytest.approx(want, abs=1e-9)


def test_all_dims_come_from_one_encode(spelled: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(Spelled, "forward", lambda self, features: calls.append(1) or whole(self, features))
    retrieval = spelled_set(2, 10, 20, 5)
    evaluate_retrieval(spelled, retrieval)
    once = len(calls)
    results = evaluate_dims(spelled, retrieval, [4, 3, 2, 1])
    assert len(calls) == 2 * once
    assert [result.dim for result in results] == [4, 3, 2, 1]
    assert results[0].means == evaluate_retrieval(spelled, retrieval).means != results[3].means


@pytest.mark.parametrize("dim", [0, -1, 5])
def test_a_dim_that_the_model_lacks_is_refused(dim: int, spelled: SentenceTransformer) -> None:
    with pytest.raises(ConfigError) as fault:
        evaluate_dims(spelled, spelled_set(0, 9, 30, 4), [4, dim])
    assert str(fault.value) == f"dim {dim}: the model's vectors are 4 wide. Give a dim from 1 to 4."


@pytest.mark.parametrize("damage", [torch.nan, torch.inf])
def test_vectors_that_are_not_numbers_are_refused(
    damage: float, spelled: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(self: Spelled, features: dict[str, Any]) -> dict[str, Any]:
        vectors = whole(self, features)["sentence_embedding"].clone()
        vectors[(features["input_ids"] == torch.tensor([1, 0, 1, 0])).all(1)] = damage
        return {**features, "sentence_embedding": vectors}

    monkeypatch.setattr(Spelled, "forward", damaged)
    retrieval = RetrievalSet("bad", {"q": "++++"}, {"a": "+-+-", "b": "----"}, {"q": frozenset({"b"})})
    with pytest.raises(DataError) as fault:
        encode_set(spelled, retrieval)
    assert str(fault.value) == (
        "bad: the vectors of 1 of 3 texts are not numbers (first: '+-+-'). "
        "The model's weights are damaged, or its precision is too low; load another."
    )


@pytest.mark.parametrize(("name", "want"), [("esco-heldout:en,de", "esco-heldout-en-de"), ("a/b", "a-b"), ("x", "x")])
def test_names_become_keys(name: str, want: str) -> None:
    assert key_name(name) == want


@pytest.mark.parametrize(
    ("language", "mean_average_precision"), [("en", 0.4966), ("es", 0.2840), ("de", 0.2091), ("zh", 0.1383)]
)
def test_untrained_minilm_has_the_figures_known_for_talentclef(
    language: str, mean_average_precision: float, minilm: SentenceTransformer, data: Path
) -> None:
    result = evaluate_retrieval(minilm, retrieval_set(f"talentclef:{language}", data), metrics=["map"])
    assert result.means["map"] == pytest.approx(mean_average_precision, abs=0.002)
