"""The forgetting guard: what a model could do outside its training domain, before and after, and whether it fell."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap, rankdata
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from tutelage.encode.encoder import encode
from tutelage.evaluate.retrieval import evaluate_retrieval, key_name, refuse_nan
from tutelage.evaluate.significance import paired_differences
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.scored import ScoredPairs

SPEARMAN, MAP = "spearman", "map"
DRAWS = 2000  # each ranks every row three times; the interval only has to tell a fall from noise


@dataclass(frozen=True)
class GeneralResult:
    """What each row of a general set got: its cosine (``spearman``, against ``gold``) or its query's ``map``."""

    name: str
    metric: str
    values: Float[np.ndarray, " rows"]
    gold: Float[np.ndarray, " rows"] | None
    cluster: list[str]

    @property
    def score(self) -> float:
        """Spearman's ρ of cosine and human score, or mean average precision."""
        return float(self.values.mean() if self.gold is None else spearman(self.values, self.gold))


@dataclass(frozen=True)
class Retained:
    """A general set before and after, with the 95 % interval of the change; ``warn``: the whole interval is a fall.

    Rows of one cluster tell nothing of the spread: ``low`` and ``high`` are None then, and there is no warning.
    """

    metric: str
    before: float
    after: float
    low: float | None
    high: float | None
    warn: bool

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers for a report."""
        return asdict(self)


def spearman(one: Float[np.ndarray, "*draws rows"], other: Float[np.ndarray, "*draws rows"]) -> Any:
    """Spearman's ρ along the last axis: Pearson's r of the ranks, equal values at their mean rank.

    0 where one side is constant.

    >>> float(spearman(np.array([0.1, 0.2, 0.9]), np.array([1.0, 3.0, 2.0])))
    0.5
    """
    a, b = (rankdata(values, axis=-1) for values in (one, other))
    a, b = (ranks - ranks.mean(-1, keepdims=True) for ranks in (a, b))
    length = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.where(length > 0, (a * b).sum(-1) / np.where(length > 0, length, 1), 0.0)


def evaluate_general(
    model: SentenceTransformer, general: ScoredPairs | RetrievalSet, *, progress: bool = True
) -> GeneralResult:
    """Cosines of scored pairs, or the average precision of a retrieval set's queries.

    Example::

        evaluate_general(model, general_set("stsb-tr:dev", data_folder())).score
    """
    if isinstance(general, RetrievalSet):
        found = evaluate_retrieval(model, general, metrics=[MAP], progress=progress)
        return GeneralResult(general.name, MAP, found.values[MAP], None, found.cluster)
    texts = list(dict.fromkeys([*general.left, *general.right]))
    vectors = encode(model, texts, progress=general.name if progress else None)
    refuse_nan(vectors, texts, general.name)
    place = {text: row for row, text in enumerate(texts)}
    left, right = (vectors[[place[text] for text in side]] for side in (general.left, general.right))
    cosine = (left.astype(np.float64) * right).sum(1)
    rows = [str(row) for row in range(len(cosine))]
    return GeneralResult(general.name, SPEARMAN, cosine, np.array(general.scores, dtype=float), rows)


class GeneralEvaluator(SentenceEvaluator):
    """A general set as sentence-transformers' trainer wants it: its score under the key of the stock evaluator.

    That is ``{name}_spearman_cosine`` of scored pairs, ``{name}_cosine_map`` of a retrieval set. ``result`` keeps the
    values of the last call.
    """

    def __init__(self, general: ScoredPairs | RetrievalSet):
        super().__init__()
        self.general = general
        figure = f"cosine_{MAP}" if isinstance(general, RetrievalSet) else f"{SPEARMAN}_cosine"
        self.name = key_name(general.name)
        self.primary_metric = self.key = f"{self.name}_{figure}"
        self.result: GeneralResult | None = None

    def __call__(  # type: ignore[override]  # the base admits any model; these sets need one of texts
        self, model: SentenceTransformer, output_path: str | None = None, epoch: Any = -1, steps: int = -1
    ) -> dict[str, float]:
        """The score, which also goes to the model's card."""
        self.result = evaluate_general(model, self.general)
        values = {self.key: self.result.score}
        self.store_metrics_in_model_card_data(model, values, epoch, steps)
        return values


def retained(before: GeneralResult, after: GeneralResult, *, draws: int = DRAWS, seed: int = 0) -> Retained:
    """The change on a general set with its paired percentile interval: rows are resampled, or whole clusters.

    Args:
        before: of the untrained model.
        after: of the trained one, same rows.
        draws: bootstrap resamples.
        seed: of the draws.
    """
    if before.gold is None:
        found = paired_differences({MAP: before.values}, {MAP: after.values}, before.cluster, draws=draws, seed=seed)[
            MAP
        ]
        low, high = found.low, found.high
    elif np.array_equal(before.values, after.values):
        low = high = 0.0
    else:
        low, high = _interval(before.values, after.values, before.gold, draws, seed)
    return Retained(before.metric, before.score, after.score, low, high, warn=high is not None and high < 0)


def _interval(
    before: Float[np.ndarray, " rows"],
    after: Float[np.ndarray, " rows"],
    gold: Float[np.ndarray, " rows"],
    draws: int,
    seed: int,
) -> tuple[float, float]:
    def change(before: Any, after: Any, gold: Any, axis: int = -1) -> Any:
        return spearman(after, gold) - spearman(before, gold)

    interval = bootstrap(
        (before, after, gold), change, paired=True, vectorized=True, n_resamples=draws, batch=100, method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return float(interval.low), float(interval.high)


def warnings_of(report: dict[str, dict[str, Any]]) -> list[str]:
    """One line for each general set that fell by more than its interval."""
    return [
        f"forgotten: {name} fell from {row['before']:.4f} to {row['after']:.4f} ({row['metric']}; 95 % interval of the "
        f"change {row['low']:+.4f} {row['high']:+.4f})"
        for name, row in report.items()
        if row["warn"]
    ]


def fell(before: Sequence[GeneralResult], after: Sequence[GeneralResult]) -> bool:
    """Whether any general set fell by more than its interval."""
    return any(retained(one, other).warn for one, other in zip(before, after, strict=True))
