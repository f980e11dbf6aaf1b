"""What a guide can be, and how its vectors come about: a model, a function, character n-grams, a matrix; or several.

A recipe names them: ``tfidf``; ``start``, the encoder as it is before training; a ``.npy`` or ``.parquet`` file; any
other name is a model's.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Shaped
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import encode
from tutelage.encode.models import resolve_model
from tutelage.errors import ConfigError, DataError
from tutelage.guide import fingerprint as fp
from tutelage.guide import matrix, tfidf

TFIDF, START = "tfidf", "start"
Embed = Callable[[list[str]], np.ndarray]
Combine = Literal["mean", "max"]


class Source(NamedTuple):
    """One guide or several, as a store takes them.

    Args:
        fields: of the fingerprint: all that determines the vectors.
        embeds: of each guide, a function from a list of n texts to an (n, dim) array.
        combine: what becomes of the similarities of several guides.
    """

    fields: dict[str, str]
    embeds: tuple[Embed, ...]
    combine: Combine = "mean"

    def embed(self, texts: list[str]) -> tuple[np.ndarray, tuple[int, ...] | None]:
        """Vectors of the texts, and the widths of slices whose largest similarity counts, if it does.

        For the mean unit vectors stand side by side, and all are of unit length again: their dot product is the mean of
        the guides' cosines. Where some know nothing of a text (a zero vector), it is the sum of the cosines of those
        that know both texts, over the root of (those that know the one x those that know the other); to the largest
        similarity such a guide adds a 0.

        Raises:
            DataError: a guide returned another number of vectors, or vectors that are not numbers.
        """
        parts = [_unit(_checked(np.asarray(embed(texts)), len(texts))) for embed in self.embeds]
        joined = np.concatenate(parts, axis=1)
        if self.combine == "max":
            return joined, tuple(part.shape[1] for part in parts)
        return _unit(joined), None


Guide = SentenceTransformer | Embed | Source


def of_model(
    model: SentenceTransformer,
    prompt: str | None = None,
    *,
    token_budget: int | None = None,
    progress: str | None = None,
) -> Source:
    """A sentence-transformers model; the options are those of `encode`."""
    embed = partial(encode, model, prompt=prompt, token_budget=token_budget, progress=progress)
    return Source(fp.of_model(model, prompt), (embed,))


def of_tfidf(texts: Iterable[str], dim: int = tfidf.DIM) -> Source:
    """Character n-grams, weighted by how common they are in these texts."""
    fitted_on = list(texts)
    return Source(tfidf.fields(fitted_on, dim), (partial(tfidf.embed, fitted_on=fitted_on, dim=dim),))


def of_matrix(path: Path) -> Source:
    """Vectors that were made elsewhere."""
    return Source(matrix.fields(path), (partial(matrix.embed, path=path),))


def of_any(
    guide: Guide, *, prompt: str | None, name: str | None, token_budget: int | None, progress: str | None
) -> Source:
    """Whatever `GuideStore.build` is given.

    Raises:
        ConfigError: a function without a name, a prompt for what is no model.
    """
    if isinstance(guide, SentenceTransformer):
        return of_model(guide, prompt, token_budget=token_budget, progress=progress)
    if prompt is not None:
        raise ConfigError("guide: a prompt is for models; a function puts its own before the texts. Leave prompt out.")
    if isinstance(guide, Source):
        return guide
    if name is None:
        raise ConfigError("guide: a function needs a name, which stands for it in the fingerprint. Give name='...'.")
    return Source({"function": name}, (guide,))


def combined(guides: Sequence[Source], combine: Combine = "mean") -> Source:
    """Several guides as one: the similarity of two texts is the mean, or the largest, of theirs.

    Example::

        store = GuideStore.build(combined([of_model(minilm), of_tfidf(texts)], "max"), texts, "guides/both")
    """
    fields = {f"guide {n} {key}": value for n, guide in enumerate(guides, 1) for key, value in guide.fields.items()}
    return Source({**fields, "combine": combine}, tuple(embed for guide in guides for embed in guide.embeds), combine)


def is_model(name: str) -> bool:
    """Whether a recipe's name of a guide means a model."""
    return name != TFIDF and not matrix.is_matrix(name)


def refuse_absent(name: str) -> None:
    """Raise for a guide that is not there, without loading anything.

    Raises:
        ConfigError: no such folder or file.
    """
    if matrix.is_matrix(name):
        matrix.files_of(Path(name))
    elif name not in (TFIDF, START):
        resolve_model(name)


def named(
    names: Sequence[str],
    texts: Iterable[str],
    load: Callable[[str], SentenceTransformer],
    *,
    combine: Combine = "mean",
    prompt: str | None = None,
) -> Source:
    """The guides of a recipe.

    Args:
        names: one or more.
        texts: of the run.
        load: gives the model of a name, ``start`` among them.
        combine: what becomes of the similarities of several.
        prompt: put before every text, for models.
    """
    texts = list(texts)

    def source(name: str) -> Source:
        if matrix.is_matrix(name):
            return of_matrix(Path(name))
        return of_tfidf(texts) if name == TFIDF else of_model(load(name), prompt, progress="guide")

    found = [source(name) for name in names]
    return combined(found, combine) if len(found) > 1 else found[0]


def _checked(vectors: np.ndarray, count: int) -> Shaped[np.ndarray, "texts dim"]:
    """As many vectors as texts, of numbers, in at least float32."""
    if vectors.ndim != 2 or len(vectors) != count:
        raise DataError(f"guide: {count} texts gave an array of shape {vectors.shape}; wanted (texts, dim).")
    if bad := int((~np.isfinite(vectors).all(1)).sum()):
        raise DataError(f"guide: the vectors of {bad} of {count} texts are not numbers, so nothing would be dropped.")
    return vectors.astype(np.promote_types(vectors.dtype, np.float32), copy=False)


def _unit(vectors: Shaped[np.ndarray, "texts dim"]) -> Shaped[np.ndarray, "texts dim"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
