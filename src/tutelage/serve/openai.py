"""OpenAI's routes: ``/v1/embeddings`` and ``/v1/models``."""

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from tutelage.serve.engine import cut
from tutelage.serve.errors import TOKEN_IDS, Refused
from tutelage.serve.served import Served, answered, refuse_untrained


def _no_token_ids(value: Any) -> Any:
    first = value[0] if isinstance(value, list) and value else ""
    if isinstance(first, (int, float, list)):
        raise PydanticCustomError(
            TOKEN_IDS,
            "input: token ids of another tokenizer mean nothing to this model. Send texts; in LangChain: "
            "OpenAIEmbeddings(check_embedding_ctx_length=False).",
        )
    return value


class EmbeddingsRequest(BaseModel):
    """OpenAI's request, with ``prompt_name`` and ``truncate`` beside it.

    ``dimensions`` must be a width that the model was trained for. ``truncate`` false: a text beyond the model's length
    is refused; true: it is cut, and the header ``x-tutelage-truncated`` says how many were.
    """

    model_config = ConfigDict(extra="forbid")

    input: Annotated[str | Annotated[list[str], Field(min_length=1)], BeforeValidator(_no_token_ids)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
    user: str | None = None
    prompt_name: str | None = None
    truncate: bool = True


def routes(served: Served) -> APIRouter:
    """The routes over a server's parts."""
    router = APIRouter(tags=["OpenAI"])
    name = served.engine.name
    card = {"id": name, "object": "model", "created": 0, "owned_by": "tutelage"}

    def known(model: str) -> None:
        if model != name:
            raise Refused(
                404, f"The model `{model[:200]}` does not exist. This server has `{name}`.", param="model",
                code="model_not_found",
            )  # fmt: skip

    @router.post("/v1/embeddings")
    async def embeddings(request: Request, body: EmbeddingsRequest) -> Response:
        """Vectors of one text or several."""
        known(name if body.model is None else body.model)
        texts = [body.input] if isinstance(body.input, str) else body.input
        refuse_untrained(served.engine.dims, body.dimensions)
        encoded = await served.encode(
            request, texts, param="input", prompt_name=body.prompt_name, truncate=body.truncate
        )
        vectors = cut(encoded.vectors, body.dimensions or served.engine.dims[0])
        rows = _base64(vectors) if body.encoding_format == "base64" else vectors.tolist()
        tokens = sum(encoded.tokens)
        content = {
            "object": "list",
            "data": [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)],
            "model": name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return answered(content, encoded)

    @router.get("/v1/models")
    async def models() -> Response:
        """The one model of this server."""
        return answered({"object": "list", "data": [card]})

    @router.get("/v1/models/{model:path}")
    async def model(model: str) -> Response:
        """The model of that name."""
        known(model)
        return answered(card)

    return router


def _base64(vectors: np.ndarray) -> list[str]:
    """Each vector as little-endian float32, which is what OpenAI's clients decode.

    >>> _base64(np.array([[1.0]], dtype=np.float32))
    ['AACAPw==']
    """
    return [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
