"""Whether the server lives, whether it is ready, and its counters: open to whoever watches it."""

from contextlib import suppress

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tutelage.serve.errors import Refused
from tutelage.serve.finding import Finding
from tutelage.serve.served import Served, answered


def routes(served: Served, finding: Finding) -> APIRouter:
    """The routes over a server's parts."""
    router = APIRouter(tags=["health"])

    @router.get("/health")
    async def health() -> Response:
        """The process answers."""
        return answered({"status": "ok"})

    @router.get("/ready")
    async def ready() -> Response:
        """The model has embedded a text, the index does not fail, and no shutdown has begun."""
        if not served.warm or served.batcher.closing:
            raise Refused(503, "shutting down" if served.batcher.closing else "warming up")
        if finding.fault and served.finder:  # it may have come back: nobody else asks a server that is not ready
            with suppress(Refused):
                await finding.run(served.finder.stats)
        if finding.fault:
            raise Refused(503, "the index fails; the log and /v1/search say why")
        return answered({"status": "ready"})

    @router.get("/metrics")
    async def metrics() -> Response:
        """Counters in Prometheus' text form."""
        return Response(generate_latest(served.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
