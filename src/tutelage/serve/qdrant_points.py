"""Where a Qdrant index is, and its faults; entries as its points and back, and the filters that choose among them."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from tutelage.errors import ConfigError, first_line
from tutelage.serve.contract import Entry
from tutelage.serve.snapshot import place_of

if TYPE_CHECKING:
    from qdrant_client.models import Filter, ScoredPoint

P = ParamSpec("P")
T = TypeVar("T")

PREFIXES = "prefixes"  # of a point: every prefix of its group, so that a filter by prefix is one by value
INDEXED = ("language", "concept", PREFIXES)


def address_of(place: str) -> tuple[str, str]:
    """The server's URL, and the index's name there.

    Raises:
        ConfigError: it reads otherwise.

    >>> address_of("qdrant+http://[::1]/esco")
    ('http://[::1]:6333', 'esco')
    """
    try:
        parts = urlsplit(place.removeprefix("qdrant+"))
        host, port, name = parts.hostname, parts.port, parts.path.strip("/")
    except ValueError:  # a port that is no number, a bracket that is not closed
        host, port, name = None, None, ""
    if not host or not name or "/" in name or parts.username is not None:
        raise ConfigError(
            f"index {place}: wanted qdrant+http://HOST:PORT/NAME, as in qdrant+http://127.0.0.1:6333/esco, without "
            "user or password."
        )
    bracketed = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{bracketed}:{port or (443 if parts.scheme == 'https' else 6333)}", name


def reached(method: Callable[P, T]) -> Callable[P, T]:
    """A method whose client's faults are ours: the server is down, or what was asked for is gone."""

    @wraps(method)
    def asked(*args: P.args, **named: P.kwargs) -> T:
        from qdrant_client.http.exceptions import ApiException

        try:
            return method(*args, **named)
        except ApiException as fault:
            raise ConfigError(f"Qdrant does not do it ({first_line(fault)}). See that the server runs.") from fault

    return asked


def id_of(entry: Entry) -> str:
    """Entries of one text, concept and language have one."""
    return str(uuid5(NAMESPACE_URL, "\n".join(place_of(entry))))


def payload_of(entry: Entry) -> dict[str, Any]:
    """The entry's fields, and what its group is found by."""
    return {**entry._asdict(), PREFIXES: [entry.group[:end] for end in range(1, len(entry.group) + 1)]}


def entry_of(point: "ScoredPoint") -> Entry:
    """The entry that a point was made of."""
    payload = point.payload or {}
    return Entry(*(payload[field] for field in Entry._fields))


def filter_of(**values: Sequence[str]) -> "Filter | None":
    """Points whose fields have one of these values each; no values: any."""
    from qdrant_client import models

    must: list[Any] = [
        models.FieldCondition(key=field, match=models.MatchAny(any=list(wanted)))
        for field, wanted in values.items()
        if wanted
    ]
    return models.Filter(must=must) if must else None
