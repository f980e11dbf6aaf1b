"""A server for the page with no model behind it: the sample's labels, found by their letters, under the real policy.

It can be told to wait, to refuse and to ask for a key, and it remembers what it was asked.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn
from sklearn.feature_extraction.text import TfidfVectorizer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import tutelage.serve
from tutelage.records.concepts import Concept
from tutelage.records.taxonomy import concepts
from tutelage.serve.contract import Entry

PAGE = Path(tutelage.serve.__file__).with_name("page")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
THRESHOLD = 0.5
LEARNED = "Software"  # a text with this word has a training pair
LONGEST = 200  # letters that are read of a text
LANGUAGES = ("en", "de", "es", "tr")
HOSTILE = Entry("<img src=x onerror=alert(1)>", "sample:hostile", "0000.0", "<b>bold</b>", "0000", "en")


@cache
def sample() -> list[Concept]:
    return [concept for language in LANGUAGES for concept in concepts(f"sample:{language}")]


class Letters:
    """Labels by the letters that they share with a text: good enough to look like a model."""

    def __init__(self) -> None:
        self.entries = [
            Entry(text, c.uri, c.code, c.preferred, c.group, c.language) for c in sample() for text in c.labels
        ]
        self.entries.append(HOSTILE)
        self.vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
        self.vectors = self.vectorizer.fit_transform(entry.text for entry in self.entries)

    def match(self, text: str, k: int, languages: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
        scores = (self.vectors @ self.vectorizer.transform([text]).T).toarray()[:, 0]
        found: dict[str, dict[str, Any]] = {}
        for place in (-scores).argsort(kind="stable").tolist():
            entry = self.entries[place]
            in_group = not groups or entry.group.startswith(tuple(groups))
            if (
                len(found) < k
                and entry.concept not in found
                and in_group
                and entry.language in (languages or LANGUAGES)
            ):
                found[entry.concept] = {
                    "concept": entry.concept, "code": entry.code, "label": entry.preferred, "group": entry.group,
                    "score": float(scores[place]), "matched": {"text": entry.text, "language": entry.language},
                }  # fmt: skip
        best = next(iter(found.values()))["score"] if found else 0.0
        return {
            "text": text, "known": best >= THRESHOLD, "confidence": best, "concepts": list(found.values()),
            "learned": [{"anchor": HOSTILE.text, "positive": text, "score": best}] if LEARNED in text else [],
        }  # fmt: skip


@cache
def letters() -> Letters:
    return Letters()


@cache
def worst() -> dict[str, Any]:
    """The sample's last labels as queries, the others of the same concept as gold."""
    sets = {}
    for language in ("de", "es"):
        rows = []
        for concept in [c for c in sample() if c.language == language and len(c.labels) > 2][::4]:
            *gold, query = concept.labels
            found = letters().match(query, 6, [language], [])["concepts"]
            predicted = [[hit["matched"]["text"], hit["score"]] for hit in found if hit["matched"]["text"] != query]
            right = [text in gold for text, _ in predicted]
            precisions = [sum(right[: at + 1]) / (at + 1) for at, hit in enumerate(right) if hit]
            value = sum(precisions) / len(gold)
            rows.append({"query": query, "value": value, "gold": gold, "predicted": predicted})
        rows.sort(key=lambda row: row["value"])
        sets[f"sample:{language}"] = {"metric": "map", "queries": rows[:25]}
    return {"name": "demo", "sets": sets}


class Canned:
    """What the server is to do, and what it was asked."""

    def __init__(self) -> None:
        self.origin = ""
        self.reset()

    def reset(self) -> None:
        """As at the start: it answers at once, to everyone."""
        self.asked: list[dict[str, Any]] = []
        self.gates: dict[str, threading.Event] = {}  # a text -> it is answered only when this is set
        self.refusals: list[tuple[int, dict[str, str]]] = []  # status and headers of the next matches
        self.key = ""
        self.max_texts = 2048
        self.has_index = self.has_report = self.calibrated = True

    def texts(self) -> list[list[str]]:
        return [body["texts"] for body in self.asked]

    def until_asked(self, text: str) -> None:
        """Until a request with this text has come."""
        while not any(text in texts for texts in self.texts()):
            time.sleep(0.01)

    def locked(self, request: Request) -> Response | None:
        is_open = not self.key or request.headers.get("authorization") == f"Bearer {self.key}"
        return None if is_open else error(401, "a key is needed")

    async def about(self, request: Request) -> Response:
        return self.locked(request) or JSONResponse(self.facts())

    def facts(self) -> dict[str, Any]:
        entries = letters().entries
        languages = {language: sum(entry.language == language for entry in entries) for language in LANGUAGES}
        index = {
            "kind": "exact", "version": "000001", "entries": len(entries), "languages": languages,
            "concepts": len({entry.concept for entry in entries}),
        }  # fmt: skip
        return {
            "model": "demo", "dim": 384, "dims": [384], "max_texts": self.max_texts, "threshold": THRESHOLD,
            "calibrated": self.calibrated, "report": self.has_report, "index": index if self.has_index else None,
        }  # fmt: skip

    async def match(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.asked.append(body)
        if self.refusals:
            status, headers = self.refusals.pop(0)
            return error(status, "no such luck", headers)
        for gate in [self.gates[text] for text in body["texts"] if text in self.gates]:
            while not gate.is_set():
                await asyncio.sleep(0.01)
        found = [letters().match(text, body["k"], body["languages"], body["groups"]) for text in body["texts"]]
        for each in found:
            each["learned"] = each["learned"][: body.get("learned", 0)]
        cut = sum(len(text) > LONGEST for text in body["texts"])
        headers = {"x-tutelage-truncated": str(cut)} if cut else None
        return self.locked(request) or JSONResponse({"results": found}, headers=headers)

    async def worst(self, request: Request) -> Response:
        return self.locked(request) or JSONResponse(worst())


def error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message}}, status, headers)


def with_policy(app: Any) -> Callable[..., Any]:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await app(scope, receive, send_with_policy)

    return wrapped


@contextlib.contextmanager
def running() -> Iterator[Canned]:
    """The server on a free port of this machine."""
    canned = Canned()
    routes = [
        Route("/v1/about", canned.about),
        Route("/v1/match", canned.match, methods=["POST"]),
        Route("/v1/worst", canned.worst),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    config = uvicorn.Config(
        with_policy(Starlette(routes=routes)), host="127.0.0.1", port=0, ws="none", lifespan="off", log_level="warning",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    canned.origin = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield canned
    server.should_exit = True
    thread.join()
