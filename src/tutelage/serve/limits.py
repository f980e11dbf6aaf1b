"""What one client may ask for: bytes of a body, texts of a request, characters of a text, tokens that wait."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tutelage.serve.errors import Refused, response


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Args:
        body_bytes: of a request's body; beyond it 413, also where no Content-Length announces it.
        texts: of one request; 2,048 is OpenAI's own bound.
        characters: of one text. A text is cut at the model's length anyway; this bounds the time it takes to tokenise.
        queue_tokens: that wait for the engine; beyond it 429.
        hits: the largest ``k`` of a search.
        searches: requests to the index that are under way; beyond it 429, before their texts are embedded.
    """

    body_bytes: int = 8 * 2**20
    texts: int = 2048
    characters: int = 100_000
    queue_tokens: int = 200_000
    hits: int = 100
    searches: int = 64


def check_texts(texts: Sequence[str], limits: Limits, param: str) -> None:
    """Refuse too many texts, one that is too long, one that is no Unicode.

    Raises:
        Refused: 413, or 422 for a lone surrogate, which no tokenizer can read.
    """
    if len(texts) > limits.texts:
        raise Refused(
            413, f"{param}: {len(texts)} texts; at most {limits.texts} in one request. Send several.", param=param
        )
    for row, text in enumerate(texts):
        if len(text) > limits.characters:
            raise Refused(
                413,
                f"{param}: text {row} has {len(text)} characters, at most {limits.characters} are taken. Shorten it.",
                param=param,
            )
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refused(422, f"{param}: text {row} holds half a surrogate pair. Send Unicode.", param=param) from None


class BodyLimit:
    """ASGI middleware: a body beyond the limit is 413, before it is read where its length is announced.

    FastAPI and Starlette have one of their own in their newest versions only; an older FastAPI would take its option
    for any other and leave bodies without a limit.
    """

    def __init__(self, app: ASGIApp, body_bytes: int):
        self.app, self.body_bytes = app, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what comes in."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        message = f"The body is larger than {self.body_bytes} bytes. Send several requests."
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > self.body_bytes:
            return await response(scope["path"], Refused(413, message))(scope, receive, send)
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            part = await receive()
            taken += len(part.get("body", b""))
            if taken > self.body_bytes:
                raise HTTPException(413, message)  # the one exception that FastAPI lets through while it reads
            return part

        await self.app(scope, counted, send)
