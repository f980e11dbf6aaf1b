"""Search and match behind the server: in one thread of their own, with vectors that came through the batcher."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from tutelage.serve.contract import ConceptHit, Match, Stats
from tutelage.serve.errors import overloaded

T = TypeVar("T")


@runtime_checkable
class Finder(Protocol):
    """An index with what makes concepts and matches of its hits.

    ``threshold`` is the confidence below which a match is not believed; ``calibrated`` tells whether confidences are
    chances or mere scores.
    """

    threshold: float
    calibrated: bool

    def stats(self) -> Stats:
        """The index in figures."""
        ...

    def search(
        self, vectors: Float[np.ndarray, "texts dim"], k: int, languages: Sequence[str], groups: Sequence[str]
    ) -> list[list[ConceptHit]]:
        """The k best concepts of each text."""
        ...

    def match(
        self,
        texts: Sequence[str],
        vectors: Mapping[str, Float[np.ndarray, " dim"]],
        k: int,
        languages: Sequence[str],
        groups: Sequence[str],
        *,
        threshold: float | None = None,
    ) -> list[Match]:
        """What each text means, with the vectors of `tutelage.serve.match.Matcher.judge`.

        ``threshold``: of this call, default: the finder's own.
        """
        ...


class Finding:
    """Runs a finder's work in one thread, so that an index need not bear several; so many requests wait at most."""

    def __init__(self, most: int):
        self.most, self.waiting = most, 0

    def start(self) -> None:
        """Have a thread."""
        self._thread = ThreadPoolExecutor(1, "search")

    def admit(self) -> None:
        """Refuse before anything is embedded.

        Raises:
            Refused: 429, as many requests wait as may.
        """
        if self.waiting >= self.most:
            raise overloaded(1)

    async def run(self, work: Callable[[], T]) -> T:
        """The work's outcome. Cancelled before it began, it does not begin."""
        self.admit()
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
