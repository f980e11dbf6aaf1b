"""Texts into token ids: short ones at once, long ones in a thread, and no more of them than may wait."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tutelage.serve.engine import Engine
from tutelage.serve.errors import overloaded

INLINE = 4096  # characters that are tokenised in the event loop: a thread would take longer to reach
CHARACTERS = 8  # for each token that may wait: texts have 3 to 5, so what the engine's queue would take is counted


class Counting:
    """An engine's tokenizer, with a thread of its own for long texts.

    Args:
        engine: its ``tokens`` must allow to be called while ``encode`` runs in another thread.
        queue_tokens: as many as may wait for the engine. A request that finds nothing being counted is always taken.
    """

    def __init__(self, engine: Engine, queue_tokens: int):
        self.engine, self.most = engine, CHARACTERS * queue_tokens
        self.characters = 0  # that are with the thread

    def start(self) -> None:
        """Have a thread."""
        self._thread = ThreadPoolExecutor(1, "tokenizer")

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[list[int]]:
        """Token ids of the texts, uncut.

        Raises:
            Refused: 429 where too much waits.
        """
        new = sum(map(len, texts))
        if new <= INLINE:
            return self.engine.tokens(texts, prompt=prompt)
        if self.characters and self.characters + new > self.most:
            raise overloaded(1)
        self.characters += new
        try:
            work = partial(self.engine.tokens, texts, prompt=prompt)
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.characters -= new
