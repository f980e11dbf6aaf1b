"""How well a model ranks a corpus for each query: encode once, rank in tiles at every width, metrics on arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator
from torch import Tensor

from tutelage.encode.encoder import encode
from tutelage.errors import ConfigError, DataError
from tutelage.evaluate.metrics import DEFAULT_METRICS, PerQuery, per_query
from tutelage.evaluate.ranking import Ranking, rank
from tutelage.records.retrieval import RetrievalSet

TOP = 10  # entries of each query's ranking that a result keeps
Ties = Literal["corpus", "id"]


@dataclass(frozen=True)
class RetrievalResult:
    """Per-query values of each metric on one set; ``queries``, ``cluster`` and ``top`` follow the values' order.

    ``dim`` is the Matryoshka width (none: the model's whole width). ``top`` holds the first corpus ids of each
    query's ranking, with their scores. ``digest`` is the set's, where it is known.
    """

    name: str
    queries: list[str]
    cluster: list[str]
    values: dict[str, Float[np.ndarray, " queries"]]
    dim: int | None = None
    top: list[list[tuple[str, float]]] = field(default_factory=list)
    digest: str | None = None

    @property
    def means(self) -> dict[str, float]:
        """Mean over the queries that have a relevant entry."""
        return {metric: float(values.mean()) for metric, values in self.values.items()}


@dataclass(frozen=True)
class EncodedSet:
    """A set with its vectors: the queries that have a relevant entry, and the corpus in the order that decides ties.

    ``relevant`` and ``excluded`` are `rank`'s: rows of ``entries`` for each of ``asked``.
    """

    retrieval: RetrievalSet
    asked: list[str]
    entries: list[str]
    queries: Float[Tensor, "queries dim"]
    corpus: Float[Tensor, "corpus dim"]
    relevant: list[list[int]]
    excluded: list[int] | None
    dim: int | None = None

    def at(self, dim: int) -> "EncodedSet":
        """The same at a smaller width: the first ``dim`` numbers of each vector, scaled to length 1 again.

        At the whole width vectors stay as they are: another rounding would move near ties.
        """
        if dim == self.queries.shape[1]:
            return replace(self, dim=dim)
        queries, corpus = (
            torch.nn.functional.normalize(vectors[:, :dim], dim=1) for vectors in (self.queries, self.corpus)
        )
        return replace(self, queries=queries, corpus=corpus, dim=dim)


def encode_set(
    model: SentenceTransformer, retrieval: RetrievalSet, *, ties: Ties = "corpus", progress: bool = True
) -> EncodedSet:
    """Encode the set's distinct texts, each once.

    Raises:
        DataError: the model gives vectors that are not numbers.
    """
    return embed_set(
        lambda texts: encode(model, texts, progress=retrieval.name if progress else None), retrieval, ties=ties
    )


def embed_set(
    embed: Callable[[list[str]], Float[np.ndarray, "texts dim"]], retrieval: RetrievalSet, *, ties: Ties = "corpus"
) -> EncodedSet:
    """`encode_set`, by whatever gives unit vectors for texts.

    Raises:
        DataError: vectors that are not numbers.
    """
    asked = retrieval.asked
    entries = sorted(retrieval.corpus) if ties == "id" else list(retrieval.corpus)
    texts = list(dict.fromkeys([*(retrieval.queries[q] for q in asked), *(retrieval.corpus[c] for c in entries)]))
    vectors = embed(texts)
    refuse_nan(vectors, texts, retrieval.name)
    place = {text: row for row, text in enumerate(texts)}
    row_of = {entry: row for row, entry in enumerate(entries)}

    def vectors_of(texts_of: Mapping[str, str], ids: Sequence[str]) -> Float[Tensor, "texts dim"]:
        rows = np.fromiter((place[texts_of[each]] for each in ids), np.int64, len(ids))
        start = int(rows.min(initial=len(vectors)))
        in_order = np.array_equal(rows, np.arange(start, start + len(rows)))  # as where no text stands twice: no copy
        return torch.from_numpy(vectors[start : start + len(rows)] if in_order else vectors[rows])

    return EncodedSet(
        retrieval,
        asked,
        entries,
        vectors_of(retrieval.queries, asked),
        vectors_of(retrieval.corpus, entries),
        [[row_of[entry] for entry in retrieval.relevance[query]] for query in asked],
        [row_of.get(query, -1) for query in asked] if retrieval.exclude_self else None,
    )


def refuse_nan(vectors: Float[np.ndarray, "texts dim"], texts: Sequence[str], name: str) -> None:
    """Raise where a set's vectors cannot be compared: NaN would rank in corpus order, which may look perfect.

    Raises:
        DataError: vectors that are not numbers.
    """
    if len(bad := np.flatnonzero(~np.isfinite(vectors.sum(1)))):
        raise DataError(
            f"{name}: the vectors of {len(bad)} of {len(texts)} texts are not numbers (first: '{texts[bad[0]]}'). The "
            "model's weights are damaged, or its precision is too low; load another."
        )


def ranked(encoded: EncodedSet, metrics: Sequence[str]) -> tuple[Ranking, dict[str, PerQuery]]:
    """The whole corpus ranked for each query, its first ten entries kept, and the metrics of each query."""
    ranking = rank(encoded.queries, encoded.corpus, encoded.relevant, top=TOP, excluded=encoded.excluded)
    relevant = np.array([len(right) for right in encoded.relevant], dtype=float)
    return ranking, per_query(metrics, ranking.ranks, relevant)


def measure(encoded: EncodedSet, metrics: Sequence[str] = DEFAULT_METRICS) -> RetrievalResult:
    """Rank the whole corpus for each query, and measure."""
    ranking, values = ranked(encoded, metrics)
    retrieval, entries = encoded.retrieval, encoded.entries
    return RetrievalResult(
        retrieval.name,
        encoded.asked,
        [retrieval.cluster.get(query, query) for query in encoded.asked],
        values,
        dim=encoded.dim,
        top=[
            [(entries[row], score) for row, score in zip(rows, scores, strict=True) if score > -np.inf]
            for rows, scores in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True)
        ],
        digest=retrieval.digest,
    )


def evaluate_retrieval(
    model: SentenceTransformer,
    retrieval: RetrievalSet,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    ties: Ties = "corpus",
    progress: bool = True,
) -> RetrievalResult:
    """Encode the set's distinct texts once, rank the whole corpus for each query, and measure.

    Queries without a relevant entry are left out. Entries of equal score stand in the order of the corpus, or with
    ``ties="id"`` by ascending id as a string, which is sentence-transformers' rule ("10" before "9").

    Example::

        result = evaluate_retrieval(model, retrieval_set("talentclef:en", data_folder()))
        result.means["map"]
    """
    return measure(encode_set(model, retrieval, ties=ties, progress=progress), metrics)


def evaluate_dims(
    model: SentenceTransformer,
    retrieval: RetrievalSet,
    dims: Sequence[int],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    ties: Ties = "corpus",
    progress: bool = True,
) -> list[RetrievalResult]:
    """One result for each Matryoshka width, from one encode.

    Example::

        for result in evaluate_dims(model, retrieval_set("talentclef:en", data_folder()), [384, 128, 32]):
            print(result.dim, result.means["map"])

    Raises:
        ConfigError: a width that the model's vectors do not have.
    """
    refuse_dims(model, dims)
    encoded = encode_set(model, retrieval, ties=ties, progress=progress)
    return [measure(encoded.at(dim), metrics) for dim in dims]


def refuse_dims(model: SentenceTransformer, dims: Sequence[int]) -> None:
    """Raise, before anything is encoded, when a width is not one of the model's.

    Raises:
        ConfigError: the first such width.
    """
    width = model.get_embedding_dimension() or 0
    for dim in dims:
        if not 1 <= dim <= width:
            raise ConfigError(f"dim {dim}: the model's vectors are {width} wide. Give a dim from 1 to {width}.")


class RetrievalEvaluator(SentenceEvaluator):
    """One set as sentence-transformers' trainer wants it: call it with a model, get ``{name}_cosine_{metric}``.

    The name is the set's, with "-" for ":" and ",", as in ``talentclef-en_cosine_map``.
    ``results`` keeps the per-query values of the last call: at the whole width, then at each of ``dims``.

    Example::

        SentenceTransformerTrainer(..., evaluator=RetrievalEvaluator(retrieval_set("esco-heldout:en", folder)))
    """

    def __init__(
        self,
        retrieval: RetrievalSet,
        *,
        metrics: Sequence[str] = DEFAULT_METRICS,
        main: str = "map",
        dims: Sequence[int] = (),
    ):
        super().__init__()
        self.retrieval, self.metrics, self.dims = retrieval, list(dict.fromkeys([*metrics, main])), dims
        self.name = key_name(retrieval.name)
        self.primary_metric = f"cosine_{main}"
        self.results: list[RetrievalResult] = []

    def __call__(  # type: ignore[override]  # the base admits any model; these sets need one of texts
        self, model: SentenceTransformer, output_path: str | None = None, epoch: Any = -1, steps: int = -1
    ) -> dict[str, float]:
        """Every metric of the set at the whole width; the figures also go to the model's card."""
        refuse_dims(model, self.dims)
        encoded = encode_set(model, self.retrieval)
        self.results = [measure(each, self.metrics) for each in (encoded, *map(encoded.at, self.dims))]
        means = {f"cosine_{metric}": value for metric, value in self.results[0].means.items()}
        values = self.prefix_name_to_metrics(means, self.name)
        self.store_metrics_in_model_card_data(model, values, epoch, steps)
        return values


def key_name(name: str) -> str:
    """A set's name inside a metric key.

    >>> key_name("talentclef:en")
    'talentclef-en'
    """
    return name.replace(":", "-").replace(",", "-").replace("/", "-")
