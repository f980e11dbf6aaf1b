"""Entries and their vectors in stored order: by language, then text, then concept. One state of an index."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from tutelage.errors import CacheMismatch, DataError
from tutelage.serve.contract import Entry, Hit
from tutelage.serve.nearest import Found, Rows, Scores, nearest

Find = Callable[[Float[np.ndarray, "queries dim"], int, Sequence[Rows]], tuple[Scores, Found]]

KEPT_AT_HAND = 100_000  # entries: those found before, since like queries find like labels


class Snapshot:
    """Entries (a table, a column for each field of `Entry`) and their vectors, one row each.

    A language's rows stand together, so a search in some languages reads only theirs.

    Example::

        snapshot = Snapshot.of(entries, engine.encode([entry.text for entry in entries]))
        snapshot.search(engine.encode(["senior java dev"]), k=5)
    """

    def __init__(self, table: pa.Table, vectors: Float[np.ndarray, "entries dim"], find: Find | None = None) -> None:
        self.table, self.vectors = table, vectors
        self._find: Find = find or (lambda queries, k, parts: nearest(queries, vectors, k, parts))
        self._at_hand: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def of(cls, entries: Sequence[Entry], vectors: Float[np.ndarray, "entries dim"]) -> "Snapshot":
        """Sorted; of entries of one text, concept and language the last stays.

        Raises:
            DataError: a vector that is not unit.
        """
        check(entries, vectors)
        last = {place_of(entry): row for row, entry in enumerate(entries)}
        rows = [last[place] for place in sorted(last)]
        return cls(table_of([entries[row] for row in rows]), np.ascontiguousarray(vectors[rows], dtype=np.float32))

    @cached_property
    def languages(self) -> dict[str, slice]:
        """Language -> its rows, in stored order."""
        named = self.table["language"].combine_chunks()
        counts = {each["values"]: each["counts"] for each in named.value_counts().to_pylist()}
        found, start = {}, 0
        for language in sorted(counts):
            found[language] = slice(start, start + counts[language])
            start += counts[language]
        return found

    @cached_property
    def concepts(self) -> int:
        """How many distinct concepts there are."""
        return len(self.table["concept"].unique())

    @cached_property
    def _groups(self) -> tuple[list[str], np.ndarray]:
        """The distinct groups, and which of them each row has."""
        column = self.table["group"].combine_chunks()
        coded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
        return coded.dictionary.to_pylist(), coded.indices.to_numpy()

    def parts(self, languages: Sequence[str] = (), groups: Sequence[str] = ()) -> list[Rows]:
        """The rows of these languages and of groups with these prefixes (none: all; an empty one is none)."""
        groups = [*filter(None, groups)]
        wanted = sorted({*languages} & self.languages.keys())
        slices = [self.languages[language] for language in wanted] if languages else [slice(0, len(self))]
        if not groups:
            return [*slices]
        chosen = self._of_groups(groups)
        return [part.start + np.flatnonzero(chosen[part]) for part in slices]

    def _of_groups(self, prefixes: Sequence[str]) -> Bool[np.ndarray, " entries"]:
        names, codes = self._groups
        chosen = np.array([name.startswith(tuple(prefixes)) for name in names], dtype=bool)
        return chosen[codes]

    def search(
        self,
        vectors: Float[np.ndarray, "queries dim"],
        k: int,
        *,
        languages: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> list[list[Hit]]:
        """As `tutelage.serve.contract.Index.search`."""
        return self.hits(*self.find(vectors, k, languages=languages, groups=groups))

    def find(
        self,
        vectors: Float[np.ndarray, "queries dim"],
        k: int,
        *,
        languages: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> tuple[Scores, Found]:
        """Scores and rows of the k nearest entries; row -1 where a query has fewer.

        Raises:
            DataError: a vector that is not finite, or of another width.
        """
        check_queries(vectors, self.vectors.shape[1])
        return self._find(np.ascontiguousarray(vectors, dtype=np.float32), k, self.parts(languages, groups))

    def hits(self, scores: Scores, rows: Found) -> list[list[Hit]]:
        """Scores and rows with the entries that stand there."""
        entries = self._entries(rows)
        return [
            [Hit(entries[row], score) for row, score in zip(*each, strict=True) if row >= 0]
            for each in zip(rows.tolist(), scores.tolist(), strict=True)
        ]

    def _entries(self, rows: Found) -> dict[int, Entry]:
        if len(self._at_hand) > KEPT_AT_HAND:
            self._at_hand = {}
        at_hand = self._at_hand
        if missing := [row for row in set(rows.ravel().tolist()) if row >= 0 and row not in at_hand]:
            at_hand.update(zip(missing, entries_of(self.table.take(missing)), strict=True))
        return at_hand


def place_of(entry: Entry) -> tuple[str, str, str]:
    """What an entry is sorted by, and what makes it one."""
    return entry.language, entry.text, entry.concept


def table_of(entries: Sequence[Entry]) -> pa.Table:
    """A column for each field."""
    columns = zip(*entries, strict=True) if entries else [()] * len(Entry._fields)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.table(dict(zip(Entry._fields, arrays, strict=True)))


def entries_of(table: pa.Table) -> list[Entry]:
    """The rows of a table as entries."""
    columns = [table[name].cast(pa.string()).to_pylist() for name in Entry._fields]
    return [Entry(*row) for row in zip(*columns, strict=True)]


def check(entries: Sequence[Entry], vectors: Float[np.ndarray, "entries dim"]) -> None:
    """Vectors are as many as entries, and unit.

    Raises:
        DataError: they are not.
    """
    if len(entries) != len(vectors):
        raise DataError(f"index: {len(entries)} entries and {len(vectors)} vectors. Give one vector for each entry.")
    off = np.flatnonzero(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3))  # float16 vectors pass
    if len(off):
        raise DataError(
            f"index: the vector of entry {int(off[0])} ('{entries[int(off[0])].text[:40]}') is not of length 1. "
            "Normalise the vectors; an engine's are."
        )


def refuse_width(index: object, vectors: Float[np.ndarray, "entries dim"], dim: int, fingerprint: str) -> None:
    """Raise where vectors that come to an index are not as wide as those that it holds.

    Raises:
        CacheMismatch: they are of another width.
    """
    if vectors.shape[1] != dim:
        raise CacheMismatch(
            f"index {index} holds vectors {dim} wide, these are {vectors.shape[1]}. Use its own model ({fingerprint}), "
            "or build it anew: tutelage index."
        )


def refuse_other_model(index: object, held: str, now: str) -> None:
    """Raise where an index was built anew with another model than that whose vectors were found in it before.

    Raises:
        CacheMismatch: the fingerprints differ.
    """
    if now != held:
        raise CacheMismatch(
            f"index {index}: built anew with another model ({now}) since it was opened ({held}). Start again with that "
            "model."
        )


def check_queries(vectors: Float[np.ndarray, "queries dim"], dim: int) -> None:
    """Queries have the index's width and are finite.

    Raises:
        DataError: they are not.
    """
    if vectors.shape[1] != dim:
        raise DataError(f"search: queries are {vectors.shape[1]} wide, the index is {dim}. Use the index's own model.")
    if not np.isfinite(vectors).all():
        raise DataError("search: a query's vector holds NaN or infinity. Look at the model that made it.")
