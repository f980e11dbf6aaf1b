"""What a refused request gets back: OpenAI's nested form on ``/v1``, TEI's flat one elsewhere, never a traceback."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from tutelage.errors import TutelageError

GONE = 499  # nobody reads it: the client has closed the connection; for the log alone
MOST_SHOWN = 300  # characters of a message that may name what the client sent
TOKEN_IDS = "token_ids"  # the type of a validation error that is 400, as OpenAI has it
KINDS = {  # status: the type in OpenAI's form, in TEI's
    401: ("invalid_request_error", "Unauthorized"),
    429: ("rate_limit_exceeded", "Overloaded"),
    500: ("server_error", "Backend"),
    503: ("server_error", "Unhealthy"),
}
CODES = {401: "invalid_api_key", 404: "not_found", 413: "too_large", 429: "rate_limit_exceeded"}


class Refused(Exception):
    """A request that is not answered: with which status, why, and what the client can do.

    ``param`` is the field at fault and ``code`` a word for programs, in OpenAI's form only.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        self.code, self.headers = code or CODES.get(status), headers


def overloaded(seconds: int) -> Refused:
    """Too much waits; come back after so many seconds."""
    return Refused(
        429, f"The queue is full. Come back in {seconds} s (Retry-After).", headers={"retry-after": str(seconds)}
    )


def form(path: str, refused: Refused) -> dict[str, Any]:
    """The body of a refusal, in the manner of the protocol that the path belongs to.

    >>> form("/embed", Refused(413, "Too long."))
    {'error': 'Too long.', 'error_type': 'Validation'}
    >>> form("/v1/embeddings", Refused(413, "Too long.", param="input"))["error"]["param"]
    'input'
    """
    openai, tei = KINDS.get(refused.status, ("invalid_request_error", "Validation"))
    message = refused.message.encode("utf-8", "backslashreplace").decode()
    if not path.startswith("/v1/"):
        return {"error": message, "error_type": tei}
    return {"error": {"message": message, "type": openai, "param": refused.param, "code": refused.code}}


def response(path: str, refused: Refused) -> Response:
    """A refusal as a response."""
    headers = dict(refused.headers or {})
    return Response(to_json(form(path, refused)), refused.status, headers, media_type="application/json")


def handle_errors(app: FastAPI) -> None:
    """Answer refusals, faults in a body, unknown paths and a user's mistakes in the form of their path."""

    async def refused(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, Refused)
        return response(request.url.path, fault)

    async def invalid(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, RequestValidationError)
        return response(request.url.path, _invalid(fault.errors()))

    async def http(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)
        return response(request.url.path, Refused(fault.status_code, str(fault.detail), headers=fault.headers))

    async def mistaken(request: Request, fault: Exception) -> Response:
        return response(request.url.path, Refused(422, str(fault)))

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(TutelageError, mistaken)


def _invalid(errors: Sequence[Any]) -> Refused:
    """What is wrong with a body, without the values that it holds."""
    for error in errors:
        if error["type"] == TOKEN_IDS:
            return Refused(400, error["msg"], param="input")
        if error["type"] == "json_invalid":  # its place is a character's number, no field
            return Refused(422, f"The body is not JSON: {error['ctx']['error']} at character {error['loc'][-1]}.")
    named = [(".".join(str(part) for part in error["loc"][1:]), error["msg"]) for error in errors[:3]]
    said = "; ".join(f"{where}: {what}" if where else what for where, what in named)[:MOST_SHOWN]
    return Refused(422, said, param=named[0][0][:MOST_SHOWN] or None)
