"""A guide that has read nothing but the texts themselves: character n-grams, weighted by TF-IDF.

It knows no word, so it is no wiser in one language than in another, and spelling is all it goes by. Its sparse vectors
are projected on the leading axes of a truncated SVD, since a store holds dense ones.
"""

import json
from collections.abc import Iterable

import numpy as np
import sklearn
from jaxtyping import Float
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from tutelage.guide import fingerprint as fp
from tutelage.records.texts import canonical, text_ids

DIM = 256
SEED = 0  # of the SVD's random start
OPTIONS = {"analyzer": "char_wb", "ngram_range": (2, 4), "sublinear_tf": True, "lowercase": True}


def fields(texts: Iterable[str], dim: int = DIM) -> dict[str, str]:
    """Of its fingerprint: the weights of n-grams come from the texts, so another set of texts is another guide."""
    return {
        "tfidf": json.dumps({**OPTIONS, "dim": dim, "seed": SEED}),
        "scikit-learn": sklearn.__version__,
        "fitted_on": fp.of_texts(text_ids(texts)),
    }


def embed(texts: list[str], *, fitted_on: Iterable[str], dim: int = DIM) -> Float[np.ndarray, "texts axes"]:
    """Vectors of texts, by the n-grams of those it is fitted on, whose order and repetition do not count.

    Args:
        texts: any.
        fitted_on: they tell which n-grams are common.
        dim: axes; fewer where there are fewer texts or n-grams.
    """
    ngrams = TfidfVectorizer(**OPTIONS, dtype=np.float32)
    weights = ngrams.fit_transform(sorted({canonical(text) for text in fitted_on}))
    axes = TruncatedSVD(min(dim, *weights.shape), random_state=SEED).fit(weights)
    return np.asarray(axes.transform(ngrams.transform(texts)))
