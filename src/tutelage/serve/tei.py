"""Routes in the manner of Text Embeddings Inference (TEI): embed, similarity, rerank, tokenize, info.

``POST /`` answers as ``/embed`` or ``/similarity``, by the shape of ``inputs``: Hugging Face's client sends both there.
"""

import asyncio
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from tutelage import __version__
from tutelage.serve.engine import Engine, cut
from tutelage.serve.errors import Refused
from tutelage.serve.limits import check_texts
from tutelage.serve.served import Served, answered, prompt_of, refuse_untrained, unless_gone

Texts = Annotated[list[str], Field(min_length=1)]
Direction = Literal["right", "Right", "left", "Left"]


class Cutting(BaseModel):
    """What several requests take: the prompt's name, and whether and where a text too long is cut."""

    prompt_name: str | None = None
    truncate: bool | None = None
    truncation_direction: Direction = "right"

    def cut(self) -> bool:
        """Whether to cut texts that are too long: yes, unless told otherwise.

        Raises:
            Refused: on the left, which no engine does.
        """
        if self.truncation_direction.lower() == "left":
            raise Refused(422, "truncation_direction: texts are cut on the right only.", param="truncation_direction")
        return self.truncate is not False


class EmbedRequest(Cutting):
    """Texts to embed. ``normalize`` false is refused: an engine's vectors have unit length."""

    inputs: str | Texts
    normalize: bool | None = None
    dimensions: int | None = Field(default=None, ge=1)


class SimilarityInput(BaseModel):
    """A sentence, and those to compare it with."""

    source_sentence: str
    sentences: Texts


class SimilarityRequest(BaseModel):
    """Cosine similarity of one sentence to others."""

    inputs: SimilarityInput
    parameters: Cutting | None = None


class RerankRequest(Cutting):
    """Texts to put in order by a query.

    A bi-encoder does it: by cosine similarity, not by reading query and text together as a cross-encoder does.
    ``raw_scores`` true: the cosine; false: moved from -1..1 to 0..1.
    """

    query: str
    texts: Texts
    raw_scores: bool = False
    return_text: bool = False


class TokenizeRequest(BaseModel):
    """Texts to cut into tokens."""

    inputs: str | Texts
    add_special_tokens: bool = True
    prompt_name: str | None = None


def routes(served: Served) -> APIRouter:
    """The routes over a server's parts."""
    router = APIRouter(tags=["Text Embeddings Inference"])
    engine = served.engine

    @router.post("/embed")
    async def embed(request: Request, body: EmbedRequest) -> Response:
        """Vectors of one text or several."""
        if body.normalize is False:
            raise Refused(422, "normalize: this server's vectors have unit length. Leave it out, or send true.")
        refuse_untrained(engine.dims, body.dimensions)
        encoded = await served.encode(
            request, _listed(body.inputs), param="inputs", prompt_name=body.prompt_name, truncate=body.cut()
        )
        return answered(cut(encoded.vectors, body.dimensions or engine.dims[0]).tolist(), encoded)

    @router.post("/similarity")
    async def similarity(request: Request, body: SimilarityRequest) -> Response:
        """Cosine similarity of one sentence to others."""
        given = body.parameters or Cutting()
        encoded = await served.encode(
            request, body.inputs.sentences, param="inputs", also={"source_sentence": body.inputs.source_sentence},
            prompt_name=given.prompt_name, truncate=given.cut(),
        )  # fmt: skip
        return answered(_cosines(encoded.vectors).tolist(), encoded)

    @router.post("/")
    async def either(request: Request, body: EmbedRequest | SimilarityRequest) -> Response:
        """`/embed` or `/similarity`."""
        return await (embed(request, body) if isinstance(body, EmbedRequest) else similarity(request, body))

    @router.post("/rerank")
    async def rerank(request: Request, body: RerankRequest) -> Response:
        """The texts, nearest to the query first."""
        encoded = await served.encode(
            request, body.texts, param="texts", also={"query": body.query}, prompt_name=body.prompt_name,
            truncate=body.cut(),
        )  # fmt: skip
        scores = _cosines(encoded.vectors)
        shown = scores if body.raw_scores else (1 + scores) / 2
        order = np.argsort(-scores, kind="stable").tolist()
        ranks = [{"index": row, "score": float(shown[row])} for row in order]
        if body.return_text:
            ranks = [{**rank, "text": body.texts[row]} for rank, row in zip(ranks, order, strict=True)]
        return answered(ranks, encoded)

    @router.post("/tokenize")
    async def tokenize(request: Request, body: TokenizeRequest) -> Response:
        """Each text's tokens, not cut; where they stand in the text is not told."""
        texts = _listed(body.inputs)
        check_texts(texts, served.limits, "inputs")
        prompt = prompt_of(engine, body.prompt_name)
        found = await unless_gone(request, served.batcher.tokens(texts, prompt=prompt))
        if (count := sum(map(len, found))) > served.limits.queue_tokens:
            raise Refused(
                413, f"inputs: {count} tokens; at most {served.limits.queue_tokens} in one request. Send several.",
                param="inputs",
            )  # fmt: skip
        return await asyncio.to_thread(_told, engine, found, body.add_special_tokens)

    @router.get("/info")
    async def info() -> Response:
        """Model and limits. A queue is bounded by tokens here, and every request has one at least."""
        return answered(
            {
                "model_id": engine.name,
                "model_sha": engine.fingerprint,
                "model_dtype": "float32",
                "model_type": {"embedding": {"pooling": "unknown"}},
                "max_concurrent_requests": served.limits.queue_tokens,
                "max_input_length": engine.max_length,
                "max_batch_tokens": served.batcher.room,
                "max_batch_requests": None,
                "max_client_batch_size": served.limits.texts,
                "auto_truncate": True,
                "tokenization_workers": 1,
                "version": __version__,
            }
        )

    return router


def _told(engine: Engine, ids: list[list[int]], add_special_tokens: bool) -> Response:
    """Each text's tokens. Of many it takes seconds: not in the event loop."""
    rows = [
        [
            {"id": each, "text": text, "special": special, "start": None, "stop": None}
            for each, (text, special) in zip(row, engine.pieces(row), strict=True)
            if add_special_tokens or not special
        ]
        for row in ids
    ]
    return answered(rows)


def _listed(inputs: str | list[str]) -> list[str]:
    return [inputs] if isinstance(inputs, str) else inputs


def _cosines(vectors: np.ndarray) -> np.ndarray:
    """Of the last vector with each of the others."""
    found: np.ndarray = vectors[:-1] @ vectors[-1]
    return found
