"""Search and match behind the server: in one thread of their own, with vectors that came through the batcher."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from tutelage.serve.batching import Batcher
from tutelage.serve.contract import ConceptHit, Match, Stats
from tutelage.serve.engine import Engine
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
        self, engine: Engine, texts: Sequence[str], k: int, languages: Sequence[str], groups: Sequence[str]
    ) -> list[list[ConceptHit]]:
        """The k best concepts of each text."""
        ...

    def match(
        self,
        engine: Engine,
        texts: Sequence[str],
        k: int,
        languages: Sequence[str],
        groups: Sequence[str],
        threshold: float | None,
    ) -> list[Match]:
        """What each text means; ``threshold``: of this call, default: the finder's own."""
        ...


class Embedded:
    """An engine for one request: its texts have their vectors already; any other text waits its turn.

    ``encode`` is called in the search thread, never in the event loop.
    """

    def __init__(
        self, batcher: Batcher, loop: asyncio.AbstractEventLoop, vectors: Mapping[str, Float[np.ndarray, " dim"]]
    ):
        engine = batcher.engine
        self.name, self.dims, self.max_length, self.prompts = (
            engine.name,
            engine.dims,
            engine.max_length,
            engine.prompts,
        )
        self.default_prompt, self.fingerprint = engine.default_prompt, engine.fingerprint
        self.tokens, self.pieces = engine.tokens, engine.pieces
        self._batcher, self._loop, self._vectors = batcher, loop, vectors

    def encode(
        self, texts: Sequence[str], *, prompt: str | None = None, progress: str | None = None
    ) -> Float[np.ndarray, "texts dim"]:
        """As `Engine.encode`; ``progress`` shows nothing here."""
        own = self._vectors if prompt is None else {}
        missing = [text for text in dict.fromkeys(texts) if text not in own]
        if missing:
            waiting = asyncio.run_coroutine_threadsafe(self._batcher.encode(missing, prompt=prompt), self._loop)
            own = {**own, **dict(zip(missing, waiting.result().vectors, strict=True))}
        return np.stack([own[text] for text in texts]) if texts else np.zeros((0, self.dims[0]), dtype=np.float32)


class Finding:
    """Runs a finder's work in one thread, so that an index need not bear several; so many requests wait at most."""

    def __init__(self, batcher: Batcher, most: int):
        self.batcher, self.most, self.waiting = batcher, most, 0

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

    async def run(self, work: Callable[[Engine], T], vectors: Mapping[str, Float[np.ndarray, " dim"]]) -> T:
        """The work, given an engine that knows these texts' vectors. Cancelled before it began, it does not begin."""
        self.admit()
        loop = asyncio.get_running_loop()
        engine = Embedded(self.batcher, loop, vectors)
        self.waiting += 1
        try:
            return await loop.run_in_executor(self._thread, work, engine)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
