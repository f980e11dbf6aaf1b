"""How well a model ranks a corpus for each query: encode once, rank in tiles, metrics on arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator
from torch import Tensor

from tutelage.encode.encoder import distinct_rows, encode
from tutelage.evaluate.metrics import DEFAULT_METRICS, Ranks, per_query
from tutelage.records.retrieval import RetrievalSet

SCORES_AT_ONCE = 16 * 1024 * 1024  # elements of a queries x corpus tile


@dataclass(frozen=True)
class RetrievalResult:
    """Per-query values of each metric on one set; ``queries`` and ``cluster`` follow the values' order.

    ``dim``: the Matryoshka width measured, None for the whole. ``top``: each query's first corpus ids with scores.
    """

    name: str
    queries: list[str]
    cluster: list[str]
    values: dict[str, Float[np.ndarray, " queries"]]
    dim: int | None = None
    top: list[list[tuple[str, float]]] = field(default_factory=list)

    @property
    def means(self) -> dict[str, float]:
        """Mean over the queries that have a relevant entry."""
        return {metric: float(values.mean()) for metric, values in self.values.items()}


def ranks_of_relevant(
    queries: Float[Tensor, "queries dim"],
    corpus: Float[Tensor, "corpus dim"],
    relevant: Sequence[Sequence[int]],
    excluded: Sequence[int] | None = None,
) -> Ranks:
    """Ranks of each query's relevant corpus rows by descending dot product; equal scores stand in corpus order.

    Args:
        queries: query vectors.
        corpus: corpus vectors, in the order that decides ties.
        relevant: for each query the corpus rows that are right.
        excluded: for each query a corpus row to leave out of its ranking, or -1.

    Returns:
        Ascending ranks from 1, padded with infinity to the longest list.
    """
    ranks = np.full((len(relevant), max(map(len, relevant))), np.inf)
    # Products with distinct rows only: they may round equal columns differently, and a tie would be none.
    first, rows = (torch.from_numpy(part).to(corpus.device) for part in distinct_rows(corpus.cpu().numpy()))
    distinct = corpus[first]
    tile = max(SCORES_AT_ONCE // max(len(corpus), 1), 1)
    for start in range(0, len(queries), tile):
        scores = (queries[start : start + tile] @ distinct.T)[:, rows]
        if excluded is not None:
            own = torch.tensor(excluded[start : start + tile], device=scores.device)
            asked = (own >= 0).nonzero()[:, 0]
            scores[asked, own[asked]] = -torch.inf
        order = torch.sort(scores, dim=1, descending=True, stable=True).indices
        rank = torch.empty_like(order).scatter_(
            1, order, torch.arange(len(corpus), device=order.device).expand_as(order)
        )
        for row in range(len(rank)):
            right = relevant[start + row]
            ranks[start + row, : len(right)] = np.sort(rank[row, list(right)].cpu().numpy() + 1)
    return ranks


def evaluate_retrieval(
    model: SentenceTransformer,
    retrieval: RetrievalSet,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    ties: Literal["corpus", "id"] = "corpus",
    progress: bool = True,
) -> RetrievalResult:
    """Encode the set's distinct texts once, rank the whole corpus for each query, and measure.

    Queries without a relevant entry are left out. Entries of equal score stand in the order of the corpus, or with
    ``ties="id"`` by ascending id as a string, which is sentence-transformers' rule ("10" before "9").

    Example::

        result = evaluate_retrieval(model, retrieval_set("talentclef:en", data_folder()))
        result.means["map"]
    """
    asked = [query for query in retrieval.queries if retrieval.relevance.get(query)]
    entries = sorted(retrieval.corpus) if ties == "id" else list(retrieval.corpus)
    texts = list(dict.fromkeys([*(retrieval.queries[q] for q in asked), *(retrieval.corpus[c] for c in entries)]))
    vectors = torch.from_numpy(encode(model, texts, progress=retrieval.name if progress else None))
    place = {text: row for row, text in enumerate(texts)}
    row_of = {entry: row for row, entry in enumerate(entries)}
    ranks = ranks_of_relevant(
        vectors[[place[retrieval.queries[query]] for query in asked]],
        vectors[[place[retrieval.corpus[entry]] for entry in entries]],
        [sorted(row_of[entry] for entry in retrieval.relevance[query]) for query in asked],
        [row_of.get(query, -1) for query in asked] if retrieval.exclude_self else None,
    )
    relevant = np.array([len(retrieval.relevance[query]) for query in asked], dtype=float)
    cluster = [retrieval.cluster.get(query, query) for query in asked]
    return RetrievalResult(retrieval.name, asked, cluster, per_query(metrics, ranks, relevant))


class RetrievalEvaluator(SentenceEvaluator):
    """One set as sentence-transformers' trainer wants it: call it with a model, get ``{name}_cosine_{metric}``.

    The name is the set's, with "-" for ":" and ",", as in ``talentclef-en_cosine_map``.
    ``result`` keeps the per-query values of the last call.

    Example::

        SentenceTransformerTrainer(..., evaluator=RetrievalEvaluator(retrieval_set("esco-heldout:en", folder)))
    """

    def __init__(self, retrieval: RetrievalSet, *, metrics: Sequence[str] = DEFAULT_METRICS, main: str = "map"):
        super().__init__()
        self.retrieval, self.metrics = retrieval, list(dict.fromkeys([*metrics, main]))
        self.name = key_name(retrieval.name)
        self.primary_metric = f"cosine_{main}"
        self.result: RetrievalResult | None = None

    def __call__(  # type: ignore[override]  # the base admits any model; these sets need one of texts
        self, model: SentenceTransformer, output_path: str | None = None, epoch: Any = -1, steps: int = -1
    ) -> dict[str, float]:
        """Every metric of the set; the figures also go to the model's card."""
        self.result = evaluate_retrieval(model, self.retrieval, metrics=self.metrics)
        means = {f"cosine_{metric}": value for metric, value in self.result.means.items()}
        values = self.prefix_name_to_metrics(means, self.name)
        self.store_metrics_in_model_card_data(model, values, epoch, steps)
        return values


def key_name(name: str) -> str:
    """A set's name inside a metric key.

    >>> key_name("talentclef:en")
    'talentclef-en'
    """
    return name.replace(":", "-").replace(",", "-").replace("/", "-")
