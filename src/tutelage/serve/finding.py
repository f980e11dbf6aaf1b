"""Search and match behind the server: in one thread of their own, with vectors that came through the batcher."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from tutelage.errors import TutelageError
from tutelage.serve.contract import ConceptHit, Match, Stats
from tutelage.serve.errors import Refused, overloaded

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
    """Runs a finder's work in one thread, so that an index need not bear several; so many requests wait at most.

    ``fault`` is what the index last failed with, until it answers again: it was built anew with another model, say.
    """

    def __init__(self, most: int):
        self.most, self.waiting = most, 0
        self.fault: str | None = None

    def start(self) -> None:
        """Have a thread."""
        self._thread = ThreadPoolExecutor(1, "search")

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those that wait, held from before a request's texts are embedded until it is answered.

        Raises:
            Refused: 429, there is none left.
        """
        if self.waiting >= self.most:
            raise overloaded(1)
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def run(self, work: Callable[[], T]) -> T:
        """The work's outcome. Cancelled before it began, it does not begin.

        Raises:
            Refused: 503, the index fails; no client can mend that.
        """
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TutelageError as fault:
            self.fault = str(fault)
            raise Refused(503, self.fault) from fault
        self.fault = None
        return found

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
