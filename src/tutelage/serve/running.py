"""The server as a process: uvicorn, logs as JSON lines, and an end that loses no accepted request."""

import contextlib
import logging
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI

LONGEST_END = 30  # seconds to finish what was accepted


class Server(uvicorn.Server):
    """uvicorn, where ``/ready`` turns away as soon as the signal comes and connections that stay open hear 503."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT."""
        self.config.app.state.served.batcher.closing = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def configured(app: FastAPI, host: str, port: int) -> Server:
    """The server of an app. Without proxy headers: who asked is noted as the socket has it."""
    return Server(
        uvicorn.Config(
            app, host, port, log_config=None, access_log=False, server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=LONGEST_END,
        )
    )  # fmt: skip


def listen(app: FastAPI, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again once all is finished
        configured(app, host, port).run()
