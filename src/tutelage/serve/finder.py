"""An index and its matcher behind the server's search and match."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tutelage.serve.contract import ConceptHit, Stats
from tutelage.serve.engine import Engine
from tutelage.serve.match import Matcher
from tutelage.serve.places import open_index
from tutelage.serve.rollup import nearest_concepts


class IndexFinder:
    """A `tutelage.serve.finding.Finder` over any kind of index; whose it is was asked once, by its matcher.

    Example::

        create_app(engine, finder=open_finder("labels", engine, threshold=0.5))
    """

    def __init__(self, matcher: Matcher):
        self.index, self.threshold, self.calibrated = matcher.index, matcher.threshold, matcher.calibrated
        self.match = matcher.judge

    def stats(self) -> Stats:
        """The index in figures."""
        return self.index.stats()

    def search(
        self, vectors: Float[np.ndarray, "texts dim"], k: int, languages: Sequence[str], groups: Sequence[str]
    ) -> list[list[ConceptHit]]:
        """`tutelage.serve.rollup.nearest_concepts`."""
        return nearest_concepts(self.index, vectors, k, languages=languages, groups=groups)


def open_finder(place: str, engine: Engine, threshold: float) -> IndexFinder:
    """The finder of an index that was built with this engine's model.

    Raises:
        ConfigError, DataError: no index there, or a torn one.
        CacheMismatch: it was built with another model.
    """
    return IndexFinder(Matcher(engine, open_index(place), threshold))
