"""Our routes: search and match over an index, and what the page needs at its start."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tutelage.errors import ConfigError
from tutelage.records.texts import canonical, canonical_texts
from tutelage.serve.contract import ConceptHit, Match
from tutelage.serve.errors import Refused
from tutelage.serve.finding import Finder, Finding
from tutelage.serve.learned import Learned, LearnedPair
from tutelage.serve.limits import check_texts
from tutelage.serve.served import Served, answered, unless_gone

Words = Annotated[list[Annotated[str, Field(max_length=32)]], Field(max_length=100)]
Prefixes = Annotated[list[Annotated[str, Field(min_length=1, max_length=32)]], Field(max_length=100)]


class Filters(BaseModel):
    """Which labels to look among: languages, and ISCO groups by prefix; none named: all."""

    model_config = ConfigDict(extra="forbid")

    languages: Words = []  # labels without a language have the empty one
    groups: Prefixes = []


class SearchRequest(Filters):
    """One query, or several in ``queries``; ``k`` concepts for each."""

    query: str | None = None
    queries: Annotated[list[str], Field(min_length=1)] | None = None
    k: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> "SearchRequest":
        if (self.query is None) == (self.queries is None):
            raise ValueError("wanted query (a text) or queries (a list), and not both")
        return self


class MatchRequest(Filters):
    """Texts to match; below ``threshold`` (default: the server's own) a match is not believed.

    ``learned``: how many training pairs are wanted beside each match, where the server knows its run.
    """

    texts: Annotated[list[str], Field(min_length=1)]
    k: int = Field(default=3, ge=1)
    threshold: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    learned: int = Field(default=0, ge=0, le=20)


def routes(served: Served, finding: Finding) -> APIRouter:
    """The routes over a server's parts."""
    router = APIRouter(tags=["tutelage"])

    def finder(k: int) -> Finder:
        if served.finder is None:
            raise Refused(404, "This server has no index. Start it with --index DIR.", code="no_index")
        if k > served.limits.hits:
            raise Refused(422, f"k: at most {served.limits.hits}.", param="k")
        return served.finder

    @router.post("/v1/search")
    async def search(request: Request, body: SearchRequest) -> Response:
        """The nearest concepts of each query, by the best of their labels."""
        index = finder(body.k)
        asked = [body.query] if body.query is not None else body.queries or []
        check_texts(asked, served.limits, "queries")
        queries = [canonical(each) for each in asked]
        with finding.place():
            encoded = await served.encode(request, queries, param="queries")
            work = finding.run(partial(index.search, encoded.vectors, body.k, body.languages, body.groups))
            rows = await unless_gone(request, work)
        return answered({"results": [[_concept(hit) for hit in row] for row in rows]}, encoded)

    @router.post("/v1/match")
    async def match(request: Request, body: MatchRequest) -> Response:
        """What each text means, how much that is to be believed, and, if wanted, what was learned nearest to it."""
        index = finder(body.k)
        check_texts(body.texts, served.limits, "texts")
        wanted = canonical_texts(body.texts)

        def matched(vectors: Mapping[str, Float[np.ndarray, " dim"]]) -> list[dict[str, Any]]:
            pairs = _learned(served.learned, vectors, body.learned)
            matches = index.match(body.texts, vectors, body.k, body.languages, body.groups, threshold=body.threshold)
            return [_match(found, pairs.get(canonical(found.text), [])) for found in matches]

        with finding.place():
            encoded = await served.encode(request, wanted, param="texts") if wanted else None
            vectors = dict(zip(wanted, encoded.vectors, strict=True)) if encoded else {}
            results = await unless_gone(request, finding.run(partial(matched, vectors)))
        return answered({"results": results}, encoded)

    @router.get("/v1/about")
    async def about() -> Response:
        """Model, index and report in figures."""
        engine, index = served.engine, None
        if served.finder is not None:
            with finding.place():
                stats = await finding.run(served.finder.stats)  # a Qdrant server counts for a while
            index = {
                "kind": stats.kind,
                "version": stats.version,
                "entries": stats.entries,
                "concepts": stats.concepts,
                "languages": dict(stats.languages),
            }
        return answered(
            {
                "model": engine.name,
                "dim": engine.dims[0],
                "dims": engine.dims,
                "max_texts": served.limits.texts,
                "threshold": served.finder.threshold if served.finder else None,
                "calibrated": served.finder.calibrated if served.finder else None,
                "index": index,
                "report": served.report is not None,
            }
        )

    @router.get("/v1/worst")
    async def worst() -> Response:
        """The worst queries of a run."""
        if served.report is None:
            raise Refused(404, "This server has no report. Start it with --report FILE.", code="no_report")
        return answered(served.report)

    return router


def _learned(
    learned: Learned | None, vectors: Mapping[str, Float[np.ndarray, " dim"]], count: int
) -> dict[str, list[LearnedPair]]:
    """The ``count`` nearest training pairs of each text."""
    if learned is None or not vectors or not count:
        return {}
    return dict(zip(vectors, learned.nearest(np.stack([*vectors.values()]), count), strict=True))


def _match(found: Match, pairs: Sequence[LearnedPair]) -> dict[str, Any]:
    return {
        "text": found.text,
        "known": found.known,
        "confidence": found.confidence,
        "concepts": [_concept(hit) for hit in found.concepts],
        "learned": [pair._asdict() for pair in pairs],
    }


def _concept(hit: ConceptHit) -> dict[str, Any]:
    return {
        "concept": hit.concept,
        "code": hit.code,
        "label": hit.label,
        "group": hit.group,
        "score": hit.score,
        "matched": {"text": hit.matched.text, "language": hit.matched.language},
    }


def read_worst(file: Path) -> dict[str, Any]:
    """The worst queries of a run's report.json, in the page's shape.

    Raises:
        ConfigError: no such file, no report, or one without worst queries.
    """
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(report, dict):
            raise TypeError(f"a {type(report).__name__}")
        return worst_of(report)
    except OSError as fault:
        raise ConfigError(f"--report {file}: {fault.strerror}. Give the report.json of a run.") from fault
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise ConfigError(
            f"--report {file}: no worst queries in it ({type(fault).__name__}: {fault}). Give the report.json of a run."
        ) from fault


def worst_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Name and worst queries of a report: query, value after training, right entries, what was found instead."""
    return {
        "name": report.get("name") or "",
        "sets": {
            name: {
                "metric": rows[0]["metric"] if rows else "",
                "queries": [
                    {
                        "query": row["text"],
                        "value": row["after"],
                        "gold": [entry["text"] for entry in row["gold"]],
                        "predicted": [[entry["text"], entry["score"]] for entry in row["predicted"]],
                    }
                    for row in rows
                ],
            }
            for name, rows in report["worst"].items()
        },
    }
