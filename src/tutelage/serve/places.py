"""Where an index lies: a folder, or a Qdrant server's address."""

from pathlib import Path

from tutelage.errors import CacheMismatch, ConfigError
from tutelage.serve.contract import Index, Stats
from tutelage.serve.engine import Engine
from tutelage.serve.exact import EXACT, FolderIndex
from tutelage.serve.faiss_index import FLAT_NAME, GRAPH_NAME, faiss_index
from tutelage.serve.folder import current, folder_of, read_manifest, refuse_foreign
from tutelage.serve.onnx_folder import INT8
from tutelage.serve.qdrant_index import qdrant_index

KINDS = (EXACT.name, FLAT_NAME, GRAPH_NAME, "qdrant")


def open_index(place: str | Path) -> Index:
    """A finished index: a folder says itself what kind it is; ``qdrant+http://HOST:PORT/NAME`` is a server's.

    Raises:
        ConfigError: none there, or its extra is not installed.
        DataError: a folder that is torn.
    """
    if _is_address(place):
        index: Index = qdrant_index(str(place))
    else:
        home = Path(place)
        number = current(home)
        kind = read_manifest(folder_of(home, number))["kind"] if number else EXACT.name
        index = _in_folder(home, kind)
    index.stats()  # opens it, so that faults show here
    return index


def new_index(place: str | Path, kind: str = EXACT.name) -> Index:
    """An index to be built there, of one of `KINDS`.

    Raises:
        ConfigError: an unknown kind, or one that does not fit the place; a folder that holds something else.
    """
    if kind not in KINDS:
        raise ConfigError(f"index kind '{kind}': unknown. Options: {', '.join(KINDS)}.")
    if _is_address(place) != (kind == "qdrant"):
        raise ConfigError(
            f"index {place}: kind {kind} wants "
            + ("qdrant+http://HOST:PORT/NAME." if kind == "qdrant" else "a folder. For a Qdrant server: --kind qdrant.")
        )
    if kind == "qdrant":
        return qdrant_index(str(place))
    refuse_foreign(Path(place))
    return _in_folder(Path(place), kind)


def pair(engine: Engine, index: Index) -> Stats:
    """The index in figures, once it is sure that an engine's vectors may be compared with its own.

    Raises:
        CacheMismatch: the index was built with another model.
    """
    held = index.stats()
    if held.fingerprint != engine.fingerprint:
        raise CacheMismatch(
            f"the index holds vectors of model {held.notes.get('model', '?')} ({held.fingerprint}), this is "
            f"{engine.name} ({engine.fingerprint}). {_cure(held.fingerprint, engine.fingerprint)}, or build the index "
            "anew: tutelage index."
        )
    return held


def _cure(built: str, given: str) -> str:
    if built == given + INT8:
        return "It was built with --engine onnx-int8: give that here too"
    if built + INT8 == given:
        return "It was built without --engine onnx-int8: leave that out here too"
    return "Use that model"


def _is_address(place: str | Path) -> bool:
    return str(place).startswith(("qdrant+http://", "qdrant+https://", "http://", "https://"))


def _in_folder(home: Path, kind: str) -> Index:
    if kind not in KINDS:
        raise ConfigError(f"index {home}: of kind '{kind}', which this tutelage does not know. Build it anew.")
    return FolderIndex(home) if kind == EXACT.name else faiss_index(home, graph=kind == GRAPH_NAME)
