"""How often the positive is nearer to the anchor than the negative, at every Matryoshka width from one encode."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from tutelage.encode.encoder import encode
from tutelage.errors import ConfigError
from tutelage.evaluate.retrieval import key_name, refuse_nan
from tutelage.records.triplets import TripletSet

Vectors = Float[np.ndarray, "triplets dim"]


@dataclass(frozen=True)
class TripletResult:
    """Which triplets came out right at each width; triplets of one anchor are not independent (``cluster``)."""

    name: str
    cluster: list[str]
    right: dict[int, Bool[np.ndarray, " triplets"]]

    @property
    def values(self) -> dict[str, Float[np.ndarray, " triplets"]]:
        """1 or 0 for each triplet, under sentence-transformers' key: ``{name}-{dim}d_cosine_accuracy``."""
        return {f"{key_name(self.name)}-{dim}d_cosine_accuracy": row.astype(float) for dim, row in self.right.items()}

    @property
    def means(self) -> dict[str, float]:
        """The share of right ones."""
        return {key: float(row.mean()) for key, row in self.values.items()}


def nearer(anchors: Vectors, positives: Vectors, negatives: Vectors) -> Bool[np.ndarray, " triplets"]:
    """Whether cos(anchor, positive) > cos(anchor, negative), strictly: a tie is not right.

    >>> one, other = np.array([[1.0, 0.0]]), np.array([[0.6, 0.8]])
    >>> nearer(one, one, other).tolist(), nearer(one, other, other).tolist()
    ([True], [False])
    """

    def cosine(vectors: Vectors) -> Float[np.ndarray, " triplets"]:
        # The anchor's length divides both sides alike. Double precision: near ties are decided, not rounded.
        length = np.linalg.norm(vectors, axis=1).clip(min=1e-12)
        return (anchors * vectors).sum(1) / length

    anchors, positives, negatives = (np.asarray(part, dtype=np.float64) for part in (anchors, positives, negatives))
    return cosine(positives) > cosine(negatives)


def evaluate_triplets(
    model: SentenceTransformer, triplets: TripletSet, dims: Sequence[int] | None = None, *, progress: bool = True
) -> TripletResult:
    """Encode the distinct texts once and judge every triplet at every width.

    Args:
        model: a sentence-transformers model.
        triplets: what to judge.
        dims: Matryoshka widths; default: the model's whole width.
        progress: show a bar on a terminal.

    Raises:
        ConfigError: a width that the model does not have.

    Example::

        evaluate_triplets(model, read_triplets("dev.csv"), dims=[1024, 256]).means["dev-256d_cosine_accuracy"]
    """
    width = model.get_embedding_dimension() or 0
    dims = list(dims or [width])
    if wrong := [dim for dim in dims if not 0 < dim <= width]:
        raise ConfigError(f"triplets '{triplets.name}': {wrong[0]} dimensions of {width}. Name 1 to {width}.")
    columns = (triplets.anchors, triplets.positives, triplets.negatives)
    texts = list(dict.fromkeys(text for column in columns for text in column))
    vectors = encode(model, texts, progress=triplets.name if progress else None)
    refuse_nan(vectors, texts, triplets.name)
    place = {text: row for row, text in enumerate(texts)}
    rows = [[place[text] for text in column] for column in columns]
    right = {dim: nearer(*(vectors[of, :dim] for of in rows)) for dim in dims}
    return TripletResult(triplets.name, triplets.anchors, right)


class TripletEvaluator(SentenceEvaluator):
    """Triplets as sentence-transformers' trainer wants them: call it with a model, get every width's accuracy.

    Unlike sentence-transformers' own it encodes once for all widths, and a text that stands in many triplets once.
    ``result`` keeps the triplets' values of the last call.
    """

    def __init__(self, triplets: TripletSet, dims: Sequence[int] | None = None):
        super().__init__()
        self.triplets, self.dims = triplets, dims
        self.name = key_name(triplets.name)
        self.result: TripletResult | None = None

    def __call__(  # type: ignore[override]  # the base admits any model; these sets need one of texts
        self, model: SentenceTransformer, output_path: str | None = None, epoch: Any = -1, steps: int = -1
    ) -> dict[str, float]:
        """Accuracy at every width; the figures also go to the model's card."""
        self.result = evaluate_triplets(model, self.triplets, self.dims)
        values = self.result.means
        self.primary_metric = next(iter(values))
        self.store_metrics_in_model_card_data(model, values, epoch, steps)
        model.model_card_data.training_logs[-1].update(values)  # every width, not only the first
        return values
