"""An index and its matcher behind the server's search and match."""

from collections.abc import Sequence

from tutelage.serve.contract import ConceptHit, Index, Match, Stats
from tutelage.serve.engine import Engine
from tutelage.serve.match import Matcher
from tutelage.serve.places import open_index
from tutelage.serve.rollup import search_concepts


class IndexFinder:
    """A `tutelage.serve.finding.Finder` over any kind of index; each request brings its own engine.

    Example::

        create_app(engine, finder=open_finder("labels", engine, threshold=0.5))
    """

    def __init__(self, index: Index, threshold: float, *, calibrated: bool):
        self.index, self.threshold, self.calibrated = index, threshold, calibrated

    def stats(self) -> Stats:
        """The index in figures."""
        return self.index.stats()

    def search(
        self, engine: Engine, texts: Sequence[str], k: int, languages: Sequence[str], groups: Sequence[str]
    ) -> list[list[ConceptHit]]:
        """`tutelage.serve.rollup.search_concepts`."""
        return search_concepts(engine, self.index, texts, k, languages, groups)

    def match(
        self,
        engine: Engine,
        texts: Sequence[str],
        k: int,
        languages: Sequence[str],
        groups: Sequence[str],
        threshold: float | None,
    ) -> list[Match]:
        """`tutelage.serve.match.Matcher`."""
        matcher = Matcher(engine, self.index, self.threshold)
        return matcher.match(texts, k, languages, groups, threshold=threshold)


def open_finder(place: str, engine: Engine, threshold: float) -> IndexFinder:
    """The finder of an index that was built with this engine's model.

    Raises:
        ConfigError, DataError: no index there, or a torn one.
        CacheMismatch: it was built with another model.
    """
    index = open_index(place)
    matcher = Matcher(engine, index, threshold)  # refuses another model's index now, not at the first request
    return IndexFinder(index, threshold, calibrated=matcher.calibrated)
