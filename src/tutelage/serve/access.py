"""Around every request: a log line without its texts, counters, security headers, and an answer when all else fails."""

import json
import logging
import time
import uuid
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tutelage.serve.errors import Refused, response
from tutelage.serve.metrics import Metrics

log = logging.getLogger("tutelage.access")
faults = logging.getLogger("tutelage.faults")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NOTES = "tutelage.notes"  # what a route adds to its line: texts, tokens, truncated


class Access:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, watch the answer, and note it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, status = time.perf_counter(), 0
        notes = scope[NOTES] = {}

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-cache" if _is_page(scope) else "no-store")
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            fault = uuid.uuid4().hex
            faults.exception("fault %s", fault)
            if status:
                raise  # half an answer is out: the connection must break, or the client would take it for whole
            refused = Refused(500, f"Unexpected fault {fault}. The server's log has it by this number.")
            await response(scope["path"], refused)(scope, receive, watched)
        finally:
            self._note(scope, status, time.perf_counter() - start, notes)

    def _note(self, scope: Scope, status: int, seconds: float, notes: dict[str, Any]) -> None:
        route = route_of(scope)
        self.metrics.requests.labels(route, status).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        if log.isEnabledFor(logging.INFO):
            client = (scope.get("client") or ("",))[0]
            line = {"method": scope["method"], "route": route, "status": status, "ms": round(1000 * seconds, 1)}
            log.info(json.dumps({"time": round(time.time(), 3), "client": client, **line, **notes}))


def route_of(scope: Scope) -> str:
    """The path's pattern as the server knows it; a file of the page or an unknown path is "other"."""
    return getattr(scope.get("route"), "path", "") or "other"


def _is_page(scope: Scope) -> bool:
    return route_of(scope) in ("/", "other")
