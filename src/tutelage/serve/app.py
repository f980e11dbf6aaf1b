"""The server as one ASGI application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from tutelage import __version__
from tutelage.serve import health, openai, own, tei
from tutelage.serve.access import Access, faults
from tutelage.serve.batching import Batcher
from tutelage.serve.engine import Engine
from tutelage.serve.errors import handle_errors
from tutelage.serve.finding import Finder, Finding
from tutelage.serve.keys import KeyCheck
from tutelage.serve.learned import Learned
from tutelage.serve.limits import BodyLimit, Limits
from tutelage.serve.metrics import Metrics
from tutelage.serve.served import Served

PAGE = Path(__file__).parent / "page"


def create_app(
    engine: Engine,
    *,
    finder: Finder | None = None,
    report: Mapping[str, Any] | None = None,
    learned: Learned | None = None,
    key: str | None = None,
    hosts: Sequence[str] = ("*",),
    limits: Limits | None = None,
    page: Path = PAGE,
) -> FastAPI:
    """Routes of OpenAI, of Text Embeddings Inference and our own around one engine.

    Args:
        engine: what embeds.
        finder: an index, for ``/v1/search`` and ``/v1/match``.
        report: worst queries of a run, `tutelage.serve.own.read_worst`.
        learned: training pairs, of which ``/v1/match`` gives the nearest where it is asked to.
        key: bearer key that is asked for; none: none.
        hosts: names under which it answers, others are 400; default: any (`tutelage.serve.keys.trusted_hosts`).
        limits: bounds of requests and queues; default: `Limits`.
        page: a folder of static files for ``/``.

    Example::

        uvicorn.run(create_app(load_engine("runs/demo/model")))
    """
    limits = limits or Limits()
    batcher = Batcher(engine, limits.queue_tokens)
    finding = Finding(limits.searches)
    served = Served(engine, batcher, Metrics(batcher), limits, finder, report, learned)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        finding.start()
        warming = asyncio.create_task(_warm(served))
        yield
        await batcher.close()
        await warming
        finding.close()

    app = FastAPI(
        title="tutelage",
        version=__version__,
        docs_url=None,  # these pages load their scripts from elsewhere, which our policy forbids
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(Access, metrics=served.metrics),
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
            Middleware(KeyCheck, key=key),
            Middleware(BodyLimit, body_bytes=limits.body_bytes),
        ],
    )
    handle_errors(app)
    for router in (
        openai.routes(served),
        tei.routes(served),
        own.routes(served, finding),
        health.routes(served, finding),
    ):
        app.include_router(router)
    _add_page(app, page)
    app.state.served = served
    return app


async def _warm(served: Served) -> None:
    """The first pass of a model takes longest: let no client wait for it. A model that fails here is never ready."""
    try:
        await served.batcher.encode(["warm up"])
        served.warm = True
    except Exception:
        faults.exception("the model embeds no text")


def _add_page(app: FastAPI, page: Path) -> None:
    """Files of the page wherever no route answers; a method that a route lacks stays 405."""
    files = StaticFiles(directory=page, html=True, check_dir=False)

    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and page.is_dir():
            return await files(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1000})
        raise HTTPException(404)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: Request) -> Response:
        if not page.is_dir():
            raise HTTPException(404)
        return await files.get_response("index.html", request.scope)

    app.router.default = other
