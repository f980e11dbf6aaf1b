"""What every route works with, and the one way from a request's texts to vectors."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic_core import to_json

from tutelage.serve.access import NOTES
from tutelage.serve.batching import Batcher, Encoded
from tutelage.serve.engine import Engine
from tutelage.serve.errors import GONE, Refused
from tutelage.serve.finding import Finder
from tutelage.serve.learned import Learned
from tutelage.serve.limits import Limits, check_texts
from tutelage.serve.metrics import Metrics

T = TypeVar("T")
TRUNCATED = "x-tutelage-truncated"  # header: how many texts were cut at the model's length


@dataclass
class Served:
    """A server's parts. ``report`` is what `tutelage.serve.own.worst_of` made of a run's report, ``learned`` the pairs
    that the model was trained on."""

    engine: Engine
    batcher: Batcher
    metrics: Metrics
    limits: Limits
    finder: Finder | None = None
    report: Mapping[str, Any] | None = None
    learned: Learned | None = None
    warm: bool = field(default=False, init=False)

    async def encode(
        self,
        request: Request,
        texts: list[str],
        *,
        param: str,
        also: Mapping[str, str] = MappingProxyType({}),
        prompt_name: str | None = None,
        truncate: bool = True,
    ) -> Encoded:
        """Vectors of a request's texts; what was embedded and cut is counted and noted.

        Args:
            request: whose client is waited for no longer than it waits itself.
            texts: as many as `Limits` allows.
            param: their field in the request.
            also: single texts by their fields, which are no part of that number; their vectors are the last.
            prompt_name: of the model's prompts; default: its own.
            truncate: as `Batcher.encode`.

        Raises:
            Refused: `check_texts`, an unknown prompt, `Batcher.encode`, or the client has gone.
        """
        check_texts(texts, self.limits, param)
        for name, text in also.items():
            check_texts([text], self.limits, name)
        texts = [*texts, *also.values()]
        prompt = prompt_of(self.engine, prompt_name)
        encoded = await unless_gone(request, self.batcher.encode(texts, prompt=prompt, truncate=truncate))
        tokens = sum(encoded.tokens)
        self.metrics.texts.inc(len(texts))
        self.metrics.tokens.inc(tokens)
        self.metrics.truncated.inc(encoded.truncated)
        request.scope[NOTES].update(texts=len(texts), tokens=tokens, truncated=encoded.truncated)
        return encoded


def prompt_of(engine: Engine, name: str | None) -> str | None:
    """The prompt of that name; none: the model's own default.

    Raises:
        Refused: the model has no prompt of that name.
    """
    if name is None:
        return None
    if name not in engine.prompts:
        known = ", ".join(engine.prompts) or "none"
        raise Refused(422, f"prompt_name: the model has no prompt of that name. Its prompts: {known}.")
    return engine.prompts[name] or ""


def refuse_untrained(dims: Sequence[int], dim: int | None) -> None:
    """Raise, before anything is embedded, for a width that is none of ``dims``; none asked for: the whole.

    Raises:
        Refused: a width that the model was not trained for.
    """
    if dim is not None and dim not in dims:
        raise Refused(
            400,
            f"dimensions: the model was not trained for vectors {dim} wide. Trained: {', '.join(map(str, dims))}.",
            param="dimensions",
        )


def answered(content: Any, encoded: Encoded | None = None) -> Response:
    """Content as JSON; what was cut stands in a header."""
    headers = {TRUNCATED: str(encoded.truncated)} if encoded and encoded.truncated else None
    return Response(to_json(content), headers=headers, media_type="application/json")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await the work, and cancel it when the client closes the connection.

    Raises:
        Refused: the client has gone.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refused(GONE, "The client has gone.")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    """Returns when the connection is closed; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
