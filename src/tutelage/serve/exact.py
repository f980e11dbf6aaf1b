"""An index in a folder of immutable versions. Its kind says who searches: exactly (here), or FAISS."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from tutelage.errors import ConfigError
from tutelage.serve.contract import Entry, Hit, Stats
from tutelage.serve.folder import Files, Manifest, folder_of, open_current, write_version, writing
from tutelage.serve.snapshot import (
    Find,
    Snapshot,
    check,
    entries_of,
    place_of,
    refuse_other_model,
    refuse_width,
    table_of,
)


class Kind(NamedTuple):
    """Who searches a version.

    ``files`` are those it wants beside vectors and entries: name -> what writes it, from a path and the vectors;
    ``finder`` makes the search of an opened version from its folder and vectors; none: exact.
    """

    name: str
    files: Files = MappingProxyType({})
    finder: Callable[[Path, np.ndarray], Find] | None = None


EXACT = Kind("exact")


class FolderIndex:
    """`tutelage.serve.contract.Index` in a folder. What was opened stays as it was, whoever writes a newer version.

    Every write makes a whole new version, so add and remove many at once. A search reads the rows of the languages
    asked for, and no others. Once it was looked into, `upsert` and `delete` raise CacheMismatch where another process
    has built it anew with another model.

    Example::

        index = FolderIndex("index")
        index.build(entries, engine.encode([entry.text for entry in entries]), engine.fingerprint)
        FolderIndex("index").search(engine.encode(["nurse"]), k=5, languages=["en", "de"])
    """

    def __init__(self, home: str | Path, kind: Kind = EXACT) -> None:
        self.home, self.kind = Path(home), kind
        self._opened: tuple[int, Manifest, Snapshot] | None = None
        self._fingerprint: str | None = None  # of the model whose vectors it was found to hold

    def build(
        self,
        entries: Sequence[Entry],
        vectors: Float[np.ndarray, "entries dim"],
        fingerprint: str,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace everything by these entries.

        Raises:
            ConfigError: the folder holds something else, or another process writes to it.
            DataError: vectors that are not unit, or not one for each entry.
        """
        snapshot = Snapshot.of(entries, vectors)
        with writing(self.home):
            self._write(snapshot, fingerprint, notes or {})

    def upsert(self, entries: Sequence[Entry], vectors: Float[np.ndarray, "entries dim"]) -> None:
        """Add entries; one of the same text, concept and language is replaced.

        Raises:
            CacheMismatch: vectors of another width; an index that has become another model's.
            ConfigError, DataError: as `build`; nothing built yet.
        """
        check(entries, vectors)
        with writing(self.home):
            _, manifest, held = self._current()
            refuse_width(self.home, vectors, manifest["dim"], manifest["fingerprint"])
            new = {place_of(entry) for entry in entries}
            kept = [row for row, entry in enumerate(entries_of(held.table)) if place_of(entry) not in new]
            whole = _merged(held, np.array(kept, dtype=np.int64), Snapshot.of(entries, vectors))
            self._write(whole, manifest["fingerprint"], manifest["notes"])

    def delete(self, concepts: Sequence[str]) -> int:
        """Remove all entries of these concepts; how many entries there were.

        Raises:
            ConfigError: nothing built yet, or another process writes.
        """
        with writing(self.home):
            _, manifest, held = self._current()
            gone = {*concepts}
            named = held.table["concept"].to_pylist()
            kept = np.array([row for row, concept in enumerate(named) if concept not in gone], dtype=np.int64)
            if len(kept) < len(held):
                rest = Snapshot(held.table.take(kept), held.vectors[kept])
                self._write(rest, manifest["fingerprint"], manifest["notes"])
            return len(held) - len(kept)

    def search(
        self,
        vectors: Float[np.ndarray, "queries dim"],
        k: int,
        *,
        languages: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> list[list[Hit]]:
        """As `tutelage.serve.contract.Index.search`."""
        return self.opened.search(vectors, k, languages=languages, groups=groups)

    def stats(self) -> Stats:
        """The index in figures."""
        number, manifest, _ = self._state()
        return Stats(
            manifest["kind"],
            f"{number:06d}",
            *(manifest[name] for name in ("fingerprint", "dim", "entries", "concepts", "languages", "notes")),
        )

    @property
    def opened(self) -> Snapshot:
        """The version that a search sees."""
        return self._state()[2]

    def _state(self) -> tuple[int, Manifest, Snapshot]:
        if self._opened is None:
            number, manifest, snapshot = self._current()
            if self.kind.finder is not None:
                find = self.kind.finder(folder_of(self.home, number), snapshot.vectors)
                snapshot = Snapshot(snapshot.table, snapshot.vectors, find)
            self._opened = number, manifest, snapshot
        return self._opened

    def _current(self) -> tuple[int, Manifest, Snapshot]:
        number, manifest, snapshot = open_current(self.home)
        if manifest["kind"] != self.kind.name:
            raise ConfigError(
                f"index {self.home} is of kind {manifest['kind']}, not {self.kind.name}. Build it anew with --kind "
                f"{self.kind.name}, or open it as what it is."
            )
        self._fingerprint = self._fingerprint or manifest["fingerprint"]
        refuse_other_model(self.home, self._fingerprint, manifest["fingerprint"])
        return number, manifest, snapshot

    def _write(self, snapshot: Snapshot, fingerprint: str, notes: Mapping[str, Any]) -> None:
        told = {"kind": self.kind.name, "fingerprint": fingerprint, "notes": dict(notes)}
        write_version(self.home, snapshot, told, self.kind.files)
        self._opened, self._fingerprint = None, fingerprint


def _merged(held: Snapshot, kept: np.ndarray, new: Snapshot) -> Snapshot:
    """Rows that stay and rows that come, in stored order."""
    entries = [*entries_of(held.table.take(kept)), *entries_of(new.table)]
    order = np.array(sorted(range(len(entries)), key=lambda row: place_of(entries[row])), dtype=np.int64)
    vectors = np.concatenate([held.vectors[kept], new.vectors])[order]
    return Snapshot(table_of([entries[row] for row in order]), vectors)
