"""Versions of an index in a folder: written beside, settled on the disk, then made current by one rename.

    DIR/current                  the number of the version that a reader opens
    DIR/versions/000001/         vectors.npy  entries.parquet  manifest.json (written last), never changed again
    DIR/lock                     held by whoever writes

A reader keeps what it opened: files that are removed under it stay readable until it lets go.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from tutelage.errors import ConfigError, DataError
from tutelage.records.files import of_file, settle
from tutelage.serve.contract import Entry
from tutelage.serve.snapshot import Snapshot

CURRENT, VERSIONS, LOCK, MANIFEST = "current", "versions", "lock", "manifest.json"
VECTORS, ENTRIES = "vectors.npy", "entries.parquet"
FORMAT = 1
KEPT = 2  # versions: the current one, and the one that a reader may be about to open
AT_ONCE = 65536  # rows

Manifest = Mapping[str, Any]
Files = Mapping[str, Callable[[Path, np.ndarray], None]]


@contextmanager
def writing(home: Path, seconds: float = 60) -> Iterator[None]:
    """The folder's lock, held; it is let go of by a process that dies, too.

    Raises:
        ConfigError: the folder holds something else, or another process writes for longer than ``seconds``.
    """
    refuse_foreign(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / LOCK).touch()
    (home / VERSIONS).mkdir(exist_ok=True)
    try:
        with FileLock(home / LOCK, timeout=seconds):
            yield
    except Timeout:
        raise ConfigError(f"index {home}: another process has been writing for {seconds:.0f} s. Wait for it.") from None


def refuse_foreign(home: Path) -> None:
    """Make sure that a folder is an index's, or may become one.

    Raises:
        ConfigError: it holds something else.
    """
    if home.exists() and (not home.is_dir() or (any(home.iterdir()) and not (home / LOCK).exists())):
        raise ConfigError(f"{home}: holds files that are no index. Choose another folder or empty this one.")


def current(home: Path) -> int:
    """The number of the version that is current; 0 where there is none yet."""
    try:
        named = (home / CURRENT).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return 0
    if not named.strip().isdigit():
        raise DataError(f"{home / CURRENT}: holds '{named[:20]}', where a version's number was wanted. Build it anew.")
    return int(named)


def folder_of(home: Path, number: int) -> Path:
    """Where a version lies."""
    return home / VERSIONS / f"{number:06d}"


def open_current(home: Path) -> tuple[int, Manifest, Snapshot]:
    """The current version, its vectors memory-mapped, every file compared with its checksum.

    Raises:
        ConfigError: no index there.
        DataError: a file is missing or not what was written; a format that this version does not know.
    """
    number = current(home)
    if not number:
        raise ConfigError(f"index {home}: no finished index there. Build one: tutelage index MODEL LABELS {home}.")
    try:
        return number, *_open(folder_of(home, number))
    except (DataError, FileNotFoundError):
        if current(home) == number:
            raise
        return open_current(home)  # it was replaced twice, and removed, meanwhile


def _open(folder: Path) -> tuple[Manifest, Snapshot]:
    manifest = read_manifest(folder)
    for name, told in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"index {folder}: {name} is missing. {_ANEW}")
        if path.stat().st_size != told["bytes"] or of_file(path) != told["sha256"]:
            raise DataError(f"index {folder}: {name} is not what was written (its checksum differs). {_ANEW}")
    coded = [name for name in Entry._fields if name != "text"]
    # In one piece: to take ten rows out of eight pieces costs forty times as much.
    table = pq.read_table(folder / ENTRIES, read_dictionary=coded).unify_dictionaries().combine_chunks()
    # Copy on write, since a read-only array cannot be handed to every library; nobody writes. A plain array, since each
    # slice of a `memmap` costs as much as a small search.
    vectors = np.load(folder / VECTORS, mmap_mode="c" if manifest["entries"] else None)
    return manifest, Snapshot(table, np.asarray(vectors))


_ANEW = "Build the index anew: tutelage index."


def read_manifest(folder: Path) -> Manifest:
    """What a version says of itself.

    Raises:
        DataError: none there, or of another format.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise DataError(f"index {folder}: {MANIFEST} cannot be read ({type(fault).__name__}). {_ANEW}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        held = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise DataError(f"index {folder}: format is {held}, this tutelage reads {FORMAT}. {_ANEW}")
    return manifest


def write_version(home: Path, snapshot: Snapshot, told: Manifest, files: Files) -> int:
    """A new version, whole and current when this returns. The lock must be held.

    Args:
        home: the index's folder.
        snapshot: entries and vectors.
        told: the manifest's own fields: kind, fingerprint, notes.
        files: more files: name -> what writes it, from a path and the vectors.
    """
    number = current(home) + 1
    work, folder = home / VERSIONS / f".{number:06d}", folder_of(home, number)
    for unfinished in (work, folder):  # of a process that died
        rmtree(unfinished, ignore_errors=True)
    work.mkdir()
    _write_vectors(work / VECTORS, snapshot.vectors)
    pq.write_table(snapshot.table, work / ENTRIES)
    for name, write in files.items():
        write(work / name, snapshot.vectors)
    written = {}
    for path in sorted(work.iterdir()):
        settle(path)
        written[path.name] = {"bytes": path.stat().st_size, "sha256": of_file(path)}
    whole = {
        "format": FORMAT,
        **told,
        "dim": int(snapshot.vectors.shape[1]),
        "entries": len(snapshot),
        "concepts": snapshot.concepts,
        "languages": {language: rows.stop - rows.start for language, rows in snapshot.languages.items()},
        "files": written,
    }
    _write(work / MANIFEST, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    settle(work)
    os.replace(work, folder)
    settle(folder.parent)
    _write(home / f".{CURRENT}", f"{number}\n")
    os.replace(home / f".{CURRENT}", home / CURRENT)
    settle(home)
    _remove_old(home, number)
    return number


def _write_vectors(path: Path, vectors: np.ndarray) -> None:
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": vectors.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(vectors), AT_ONCE):
            file.write(np.ascontiguousarray(vectors[start : start + AT_ONCE], dtype="<f4").data)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    settle(path)


def _remove_old(home: Path, number: int) -> None:
    for folder in (home / VERSIONS).iterdir():
        if folder.name.isdigit() and int(folder.name) <= number - KEPT:
            rmtree(folder, ignore_errors=True)
