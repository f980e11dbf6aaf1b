"""Texts of many requests through one engine: whenever it is idle it takes what waits. No timer.

A lone request starts at once; requests that come while the engine works meet in the next round, so rounds grow with the
load by themselves. Requests take turns by chunks: a list of 2,000 texts does not hold up a single one.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tutelage.serve.counting import Counting
from tutelage.serve.engine import Engine
from tutelage.serve.errors import Refused, overloaded

CHUNK = 32  # texts that a request may add to a round before the next request has its turn
ROUND_SECONDS = 0.1  # of work in one round: how long a newcomer waits at most for the round before its own
LEAST_ROUND = 512  # tokens: smaller rounds leave the engine's vector units empty
MOST_ROUND = 65_536
MEMORY = 0.9  # of the measured speed, per round
LONGEST_WAIT = 60  # seconds in Retry-After: clients take more for a mistake


class Encoded(NamedTuple):
    """Unit vectors, each text's tokens (cut at the model's length), and how many texts were cut."""

    vectors: Float[np.ndarray, "texts dim"]
    tokens: list[int]
    truncated: int


@dataclass(eq=False)
class Ask:
    """One request's texts, of which the first ``taken`` are on their way and ``left`` are not answered."""

    texts: Sequence[str]
    prompt: str | None
    lengths: list[int]
    answered: "asyncio.Future[Float[np.ndarray, 'texts dim']]"
    taken: int = 0
    left: int = 0
    rows: dict[int, np.ndarray] = field(default_factory=dict)

    def waiting(self) -> int:
        """Tokens that no round has taken yet."""
        return sum(islice(self.lengths, self.taken, None))


class Part(NamedTuple):
    """Texts ``start`` to ``stop`` of an ask, in one round."""

    ask: Ask
    start: int
    stop: int


class Batcher:
    """Lets requests share an engine.

    Args:
        engine: its ``tokens`` must allow to be called while ``encode`` runs in another thread.
        queue_tokens: that may wait. A request that finds nothing waiting is always taken.

    Example::

        batcher = Batcher(engine, queue_tokens=200_000)
        batcher.start()
        (await batcher.encode(["senior java dev"])).vectors.shape
        await batcher.close()
    """

    def __init__(self, engine: Engine, queue_tokens: int):
        self.engine, self.queue_tokens = engine, queue_tokens
        self.queued = 0  # tokens that wait
        self.closing = False
        self._counting = Counting(engine, queue_tokens)
        self._waiting: deque[Ask] = deque()
        self._tokens, self._seconds = 0.0, 0.0  # of the latest rounds

    def start(self) -> None:
        """Begin to work, in the event loop that runs; after `close` too."""
        self.closing = False
        self._arrived = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, "engine")
        self._counting.start()
        self._loop = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Take nothing more, finish what was accepted, and end the threads."""
        self.closing = True
        self._arrived.set()
        await self._loop
        self._worker.shutdown()
        self._counting.close()

    @property
    def tokens_per_second(self) -> float:
        """Measured over the latest rounds, weighted by their size; 0 before the first."""
        return self._tokens / self._seconds if self._seconds else 0.0

    @property
    def room(self) -> int:
        """Tokens in one round: a tenth of a second's work."""
        return min(max(int(self.tokens_per_second * ROUND_SECONDS), LEAST_ROUND), MOST_ROUND)

    async def encode(self, texts: Sequence[str], *, prompt: str | None = None, truncate: bool = True) -> Encoded:
        """Vectors of the texts, in order, when their turn has come. Cancelled, they are dropped.

        Args:
            texts: one or more.
            prompt: put before every text; default: the model's own.
            truncate: cut texts beyond the model's length; else refuse them.

        Raises:
            Refused: 503 at shutdown, 429 where too much waits, 413 for a text too long.
        """
        lengths = [len(ids) for ids in await self.tokens(texts, prompt=prompt)]
        most = self.engine.max_length or max(lengths, default=0)
        long = [row for row, length in enumerate(lengths) if length > most]
        if long and not truncate:
            raise Refused(
                413,
                f"Text {long[0]} has {lengths[long[0]]} tokens, the model takes {most}. Shorten it or let truncate be "
                "true.",
            )
        lengths = [min(length, most) for length in lengths]
        vectors = await self._turn(texts, prompt, lengths)
        return Encoded(vectors, lengths, len(long))

    async def tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[list[int]]:
        """Token ids of the texts, uncut.

        Raises:
            Refused: 503 at shutdown, 429 where too much waits.
        """
        self._admit(0)
        return await self._counting.tokens(texts, prompt=prompt)

    def _admit(self, tokens: int) -> None:
        if self.closing:
            raise Refused(503, "The server is shutting down. Ask another one.", headers={"retry-after": "1"})
        if self.queued and self.queued + tokens > self.queue_tokens:
            raise overloaded(self._patience())

    async def _turn(
        self, texts: Sequence[str], prompt: str | None, lengths: list[int]
    ) -> Float[np.ndarray, "texts dim"]:
        new = sum(lengths)
        self._admit(new)  # again: the server may have begun to shut down while the texts were counted
        ask = Ask(texts, prompt, lengths, asyncio.get_running_loop().create_future(), left=len(texts))
        self._waiting.append(ask)
        self.queued += new
        self._arrived.set()
        try:
            return await ask.answered
        finally:
            self._drop(ask)

    def _drop(self, ask: Ask) -> None:
        """Forget what of an ask still waits: its client has gone, or a round of it failed."""
        if ask.taken < len(ask.texts):
            self.queued -= ask.waiting()
            ask.taken = len(ask.texts)
            self._waiting.remove(ask)

    def _patience(self) -> int:
        """Seconds after which what waits now should be done."""
        speed = self.tokens_per_second
        return min(max(math.ceil(self.queued / speed), 1), LONGEST_WAIT) if speed else 1

    def _take(self) -> list[Part]:
        """The next round: chunks of the requests in turn, until its room is used. Who got a part of a chunk is next."""
        parts: list[Part] = []
        room = self.room
        while self._waiting:
            ask = self._waiting[0]
            stop, spent = ask.taken, 0
            for length in islice(ask.lengths, ask.taken, ask.taken + CHUNK):
                if (parts or spent) and spent + length > room:
                    break
                stop, spent = stop + 1, spent + length
            if stop == ask.taken:
                break
            parts.append(Part(ask, ask.taken, stop))
            ask.taken, room = stop, room - spent
            self.queued -= spent
            if ask.taken == len(ask.texts):
                self._waiting.popleft()
            elif parts[-1].stop - parts[-1].start == CHUNK:
                self._waiting.rotate(-1)
            else:
                break
        return parts

    async def _work(self) -> None:
        while self._waiting or not self.closing:
            parts = self._take()
            if not parts:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            start = time.perf_counter()
            results = await asyncio.get_running_loop().run_in_executor(self._worker, self._results, parts)
            self._measure(sum(sum(p.ask.lengths[p.start : p.stop]) for p in parts), time.perf_counter() - start)
            for part, result in zip(parts, results, strict=True):
                _answer(part, result)

    def _measure(self, tokens: int, seconds: float) -> None:
        self._tokens = MEMORY * self._tokens + tokens
        self._seconds = MEMORY * self._seconds + seconds

    def _results(self, parts: Sequence[Part]) -> list[np.ndarray | Exception]:
        """Each part's vectors. Where the engine fails, every part is tried alone: one request's fault is its own."""
        try:
            return list(self._encode(parts))
        except Exception as fault:
            return [fault] if len(parts) == 1 else [self._results([part])[0] for part in parts]

    def _encode(self, parts: Sequence[Part]) -> list[np.ndarray]:
        """Equal texts of a round share one pass; the engine sorts by length and packs."""
        found = {}
        for prompt in dict.fromkeys(part.ask.prompt for part in parts):
            of_prompt = [part for part in parts if part.ask.prompt == prompt]
            distinct = [*dict.fromkeys(text for part in of_prompt for text in part.ask.texts[part.start : part.stop])]
            vectors = self.engine.encode(distinct, prompt=prompt)
            found[prompt] = dict(zip(distinct, vectors, strict=True))
        return [
            np.stack([found[part.ask.prompt][text] for text in part.ask.texts[part.start : part.stop]])
            for part in parts
        ]


def _answer(part: Part, result: np.ndarray | Exception) -> None:
    """Hand a part's vectors to its ask, which is answered with its last part."""
    ask = part.ask
    if ask.answered.done():
        return
    if isinstance(result, Exception):
        ask.answered.set_exception(result)
        return
    ask.rows[part.start] = result
    ask.left -= part.stop - part.start
    if not ask.left:
        ask.answered.set_result(np.concatenate([ask.rows[start] for start in sorted(ask.rows)]))
