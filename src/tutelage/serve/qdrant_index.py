"""Qdrant behind the five methods: the way beyond one machine. Needs a server of 1.16 or newer.

An index is an alias that names the collection of its last build, so that a search sees the old one or the new one. An
upsert or delete is acknowledged by the server once it is in its log. Scores are computed anew from the vectors found,
so they, and the order of equal ones, are those of the exact index; the server may miss a neighbour where it searches
by its graph.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from jaxtyping import Float

from tutelage.errors import ConfigError, first_line
from tutelage.serve.contract import Entry, Hit, Stats
from tutelage.serve.nearest import dots, rounding
from tutelage.serve.qdrant_points import INDEXED, address_of, entry_of, filter_of, id_of, payload_of, reached
from tutelage.serve.settled import MORE
from tutelage.serve.snapshot import check, check_queries, place_of, refuse_other_model, refuse_width

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from qdrant_client.models import Filter, ScoredPoint

AT_ONCE = 500  # points of a request
QUERIES_AT_ONCE = 64
COUNTED = 10_000_000  # distinct concepts at most


def qdrant_index(place: str) -> "QdrantIndex":
    """The index at ``qdrant+http://HOST:PORT/NAME`` (or plain ``http://``, ``https://``).

    Raises:
        ConfigError: no name in it; no server there; the client is not installed.
    """
    if find_spec("qdrant_client") is None:
        raise ConfigError(f'index {place}: Qdrant needs an extra package: pip install "tutelage[qdrant]".')
    from qdrant_client import QdrantClient
    from qdrant_client.http.exceptions import ApiException

    server, name = address_of(place)
    client = QdrantClient(url=server, check_compatibility=False)
    try:
        client.get_aliases()
    except ApiException as fault:
        raise ConfigError(
            f"index {place}: no Qdrant server answers there ({first_line(fault)}). Start it, or mend the address."
        ) from None
    return QdrantIndex(client, name)


class QdrantIndex:
    """`tutelage.serve.contract.Index` in a Qdrant server, or in the client's own memory.

    Others may build it anew meanwhile: once it was looked into, every method but `build` raises CacheMismatch where the
    vectors have become another model's.

    Example::

        index = QdrantIndex(QdrantClient(":memory:"), "esco")
    """

    def __init__(self, client: "QdrantClient", name: str) -> None:
        self.client, self.name = client, name
        self._fingerprint: str | None = None  # of the model whose vectors it was found to hold

    @reached
    def build(
        self,
        entries: Sequence[Entry],
        vectors: Float[np.ndarray, "entries dim"],
        fingerprint: str,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace everything by these entries.

        Raises:
            DataError: vectors that are not unit, or not one for each entry.
            ConfigError: another build came first.
        """
        from qdrant_client import models

        check(entries, vectors)
        old = self._collection()
        number = self._read(old)["version"] + 1 if old else 1
        fresh = f"{self.name}-{number:06d}-{uuid4().hex[:8]}"  # two builds at once write to two collections
        told = {"fingerprint": fingerprint, "version": number, "dim": int(vectors.shape[1]), "notes": dict(notes or {})}
        wide = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
        self.client.create_collection(fresh, vectors_config=wide, metadata=told)
        with warnings.catch_warnings():  # in memory there is nothing to make faster, and the client says so
            warnings.simplefilter("ignore", UserWarning)
            for field in INDEXED:
                self.client.create_payload_index(fresh, field, models.PayloadSchemaType.KEYWORD)
        self._add(fresh, entries, vectors)
        naming = models.CreateAlias(collection_name=fresh, alias_name=self.name)
        renames: list[Any] = [models.CreateAliasOperation(create_alias=naming)]
        if old:
            gone = models.DeleteAlias(alias_name=self.name)
            renames.insert(0, models.DeleteAliasOperation(delete_alias=gone))
        if self._collection() != old:
            self.client.delete_collection(fresh)
            raise ConfigError(f"index {self.name}: another build came first and stands. Build again if need be.")
        self.client.update_collection_aliases(change_aliases_operations=renames)
        self._fingerprint = fingerprint
        self._remove_older(number, old)

    @reached
    def upsert(self, entries: Sequence[Entry], vectors: Float[np.ndarray, "entries dim"]) -> None:
        """Add entries; one of the same text, concept and language is replaced.

        Raises:
            CacheMismatch: vectors of another width.
            ConfigError, DataError: as `build`; nothing built yet.
        """
        check(entries, vectors)
        told = self._told()
        refuse_width(self.name, vectors, told["dim"], told["fingerprint"])
        self._add(self.name, entries, vectors)
        self._next(told)

    @reached
    def delete(self, concepts: Sequence[str]) -> int:
        """Remove all entries of these concepts; how many entries there were."""
        told = self._told()
        chosen = filter_of(concept=concepts)
        if chosen is None:
            return 0
        count: int = self.client.count(self.name, count_filter=chosen, exact=True).count
        if count:
            self.client.delete(self.name, points_selector=chosen, wait=True)
            self._next(told)
        return count

    @reached
    def search(
        self,
        vectors: Float[np.ndarray, "queries dim"],
        k: int,
        *,
        languages: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> list[list[Hit]]:
        """As `tutelage.serve.contract.Index.search`."""
        check_queries(vectors, self._told()["dim"])
        chosen = filter_of(language=languages, prefixes=[*filter(None, groups)])
        starts = range(0, len(vectors), QUERIES_AT_ONCE)
        return [row for start in starts for row in self._search(vectors[start : start + QUERIES_AT_ONCE], k, chosen)]

    @reached
    def stats(self) -> Stats:
        """The index in figures."""
        told = self._told()
        count = self.client.count(self.name, exact=True).count
        concepts = self.client.facet(self.name, "concept", limit=COUNTED, exact=True).hits
        languages = self.client.facet(self.name, "language", limit=COUNTED, exact=True).hits
        counts = {str(hit.value): hit.count for hit in languages}
        return Stats(
            "qdrant",
            f"{told['version']:06d}",
            told["fingerprint"],
            told["dim"],
            count,
            len(concepts),
            {language: counts[language] for language in sorted(counts)},
            told["notes"],
        )

    def _search(
        self, queries: Float[np.ndarray, "queries dim"], k: int, chosen: "Filter | None"
    ) -> Iterator[list[Hit]]:
        wanted = k + MORE
        points = self._points(queries, wanted, chosen)
        while any(_torn(each, k, wanted, queries.shape[1]) for each in points):
            wanted *= 4
            points = self._points(queries, wanted, chosen)
        for query, each in zip(queries, points, strict=True):
            found = [entry_of(point) for point in each]
            held = np.array([point.vector for point in each], dtype=np.float32).reshape(len(each), len(query))
            scores = dots(query[None], np.zeros(len(each), np.int64), held, np.arange(len(each))).tolist()
            hits = [Hit(entry, score) for entry, score in zip(found, scores, strict=True)]
            yield sorted(hits, key=lambda hit: (-hit.score, place_of(hit.entry)))[:k]

    def _points(
        self, queries: Float[np.ndarray, "queries dim"], limit: int, chosen: "Filter | None"
    ) -> list[list["ScoredPoint"]]:
        from qdrant_client import models

        requests = [
            models.QueryRequest(query=query.tolist(), limit=limit, filter=chosen, with_payload=True, with_vector=True)
            for query in queries
        ]
        return [found.points for found in self.client.query_batch_points(self.name, requests)]

    def _add(self, collection: str, entries: Sequence[Entry], vectors: Float[np.ndarray, "entries dim"]) -> None:
        from qdrant_client import models

        last = {place_of(entry): row for row, entry in enumerate(entries)}  # a request may hold a point once
        rows = list(last.values())
        for start in range(0, len(rows), AT_ONCE):
            points = [
                models.PointStruct(
                    id=id_of(entries[row]), vector=vectors[row].tolist(), payload=payload_of(entries[row])
                )
                for row in rows[start : start + AT_ONCE]
            ]
            self.client.upsert(collection, points, wait=True)

    def _remove_older(self, number: int, old: str) -> None:
        """The collection before, and those of builds that died: of a number that is no longer in use."""
        ours = re.compile(rf"{re.escape(self.name)}-(\d{{6}})-[0-9a-f]{{8}}")
        for each in self.client.get_collections().collections:
            found = ours.fullmatch(each.name)
            if each.name == old or (found and int(found[1]) < number):
                self.client.delete_collection(each.name)

    def _collection(self) -> str:
        """The collection that the name stands for; "" for none."""
        named = {each.alias_name: each.collection_name for each in self.client.get_aliases().aliases}
        return named.get(self.name, "")

    def _told(self) -> dict[str, Any]:
        """What its builder said of the index.

        Raises:
            CacheMismatch: another model's vectors have taken the place of those that were found here before.
            ConfigError: nothing built yet.
        """
        told = self._read(self.name if self._collection() else "")
        self._fingerprint = self._fingerprint or told["fingerprint"]
        refuse_other_model(self.name, self._fingerprint, told["fingerprint"])
        return told

    def _read(self, collection: str) -> dict[str, Any]:
        told = self.client.get_collection(collection).config.metadata if collection else None
        if not told or "fingerprint" not in told:
            raise ConfigError(
                f"index {self.name}: no index of that name in this Qdrant (of 1.16 or newer). Build one: tutelage "
                "index MODEL LABELS PLACE."
            )
        return told

    def _next(self, told: dict[str, Any]) -> None:
        """Count a change."""
        self.client.update_collection(self._collection(), metadata={"version": told["version"] + 1})


def _torn(points: Sequence["ScoredPoint"], k: int, wanted: int, dim: int) -> bool:
    """Whether more points may belong to the k best than were asked for."""
    return len(points) == wanted and points[-1].score >= points[k - 1].score - rounding(dim)
