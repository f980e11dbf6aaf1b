"""A made-up engine and index behind the server's contracts, requests without a socket, and a server with one."""

import asyncio
import contextlib
import json
import threading
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import numpy as np
from fastapi import FastAPI

from tutelage.records.texts import canonical
from tutelage.serve.app import create_app
from tutelage.serve.contract import ConceptHit, Entry, Match, Stats
from tutelage.serve.running import configured

ENTRIES = [
    Entry("data engineer", "urn:1", "2511.1", "data engineer", "2511", "en"),
    Entry("Dateningenieur", "urn:1", "2511.1", "Dateningenieur", "2511", "de"),
    Entry("nurse", "urn:2", "2221.1", "nurse", "2221", "en"),
    Entry("Krankenpfleger", "urn:2", "2221.1", "Krankenpfleger", "2221", "de"),
]


class FakeEngine:
    """A token a word and two around them; equal prompt and text have equal vectors. ``gate`` holds the engine up."""

    name, dims, max_length = "fake", (8, 4), 16
    prompts = {"query": "query: "}  # noqa: RUF012
    default_prompt = None
    fingerprint = "f" * 12

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[list[str]] = []

    def encode(self, texts: Sequence[str], *, prompt: str | None = None, progress: str | None = None):
        self.calls.append(list(texts))
        assert self.gate.wait(20), "nobody opened the gate"
        if any("boom" in text for text in texts):
            raise RuntimeError("the engine broke on secret text")
        seeds = [zlib.crc32(((prompt or "") + text).encode()) for text in texts]
        found = np.stack([np.random.default_rng(seed).normal(size=8) for seed in seeds]).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[list[int]]:
        return [[1, *(5 for _ in ((prompt or "") + text).split()), 2] for text in texts]

    def pieces(self, ids: Sequence[int]) -> list[tuple[str, bool]]:
        return [(str(each), each in (1, 2)) for each in ids]


class FakeFinder:
    """Brute force over a few labels, embedded by the server's engine or one like it."""

    threshold, calibrated = 0.5, True

    def __init__(self, engine=None):
        vectors = (engine or FakeEngine()).encode([entry.text for entry in ENTRIES])
        self.labels = list(zip(ENTRIES, vectors, strict=True))

    def stats(self) -> Stats:
        return Stats(
            kind="exact", version="000001", fingerprint="f" * 12, dim=8, entries=len(ENTRIES), concepts=2,
            languages={"de": 2, "en": 2},
        )  # fmt: skip

    def search(self, vectors, k, languages, groups):
        labels = [(e, label) for e, label in self.labels if not languages or e.language in languages]
        labels = [(e, label) for e, label in labels if not groups or e.group.startswith(tuple(groups))]
        hits = [
            [ConceptHit(e.concept, e.code, e.preferred, e.group, e, float(vector @ label)) for e, label in labels]
            for vector in vectors
        ]
        return [sorted(row, key=lambda hit: -hit.score)[:k] for row in hits]

    def match(self, texts, vectors, k, languages, groups, *, threshold=None):
        found = {text: self.search(vector[None], k, languages, groups)[0] for text, vector in vectors.items()}
        rows = [found.get(canonical(text), []) for text in texts]
        return [
            Match(text, bool(row) and _believed(row[0].score, threshold), row[0].score if row else 0.0, row)
            for text, row in zip(texts, rows, strict=True)
        ]


def _believed(score: float, threshold: float | None) -> bool:
    return score > 0.5 if threshold is None else score >= threshold


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: FastAPI, method: str, path: str, body: Any = b"", *, headers: dict[str, str] | None = None, parts: int = 1
) -> Answer:
    """One request straight into the application; a body that is no bytes goes as JSON, in ``parts`` pieces."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = max(-(-len(content) // parts), 1)
    pieces = [content[i : i + size] for i in range(0, len(content), size)] or [b""]
    waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    waiting[-1]["more_body"] = False
    named = {"host": "127.0.0.1", "content-type": "application/json", **(headers or {})}
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode("utf-8", "replace"),
        "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80), "headers": [(k.encode(), v.encode()) for k, v in named.items()], "state": {},
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else await asyncio.Event().wait()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    found = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, b"".join(part.get("body", b"") for part in sent[1:]))


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[FastAPI]:
    """The application between its start and its end, warm."""
    async with app.router.lifespan_context(app):
        while not app.state.served.warm:
            await asyncio.sleep(0.001)
        yield app


def requests(app: FastAPI, *asked: tuple[Any, ...], **options: Any) -> list[Answer]:
    """These requests (method, path, body), one after another."""

    async def all_of_them() -> list[Answer]:
        async with running(app):
            return [await ask(app, *each, **options) for each in asked]

    return asyncio.run(all_of_them())


def fake_app(**options: Any) -> FastAPI:
    return create_app(options.pop("engine", None) or FakeEngine(), **{"finder": FakeFinder(), **options})


@contextlib.contextmanager
def live(app: FastAPI) -> Iterator[str]:
    """The address of a real server on a free port of loopback, in a thread."""
    server = configured(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not (server.started and app.state.served.warm):
            assert thread.is_alive(), "the server did not start"
            threading.Event().wait(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
