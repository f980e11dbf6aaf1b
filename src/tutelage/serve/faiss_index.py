"""FAISS behind the five methods: its flat index, or a graph (HNSW) that is faster and may miss a neighbour.

A graph is walked only where every row may be found. A filter screens what the walk comes upon, and where a query's
neighbours do not pass it, that is nothing; so under a filter the rows that pass are searched exactly.

Vectors and entries lie in the same folder of versions as those of the exact index; FAISS only searches.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tutelage.errors import ConfigError
from tutelage.serve.exact import FolderIndex, Kind
from tutelage.serve.nearest import Found, Rows, Scores, nearest
from tutelage.serve.settled import settled
from tutelage.serve.snapshot import Find

GRAPH = "graph.faiss"
LINKS, BUILD_WIDTH, SEARCH_WIDTH = 32, 200, 128  # of HNSW: M, efConstruction, the least efSearch
FLAT_NAME, GRAPH_NAME = "faiss", "faiss-hnsw"


def faiss_index(home: str | Path, *, graph: bool = False) -> FolderIndex:
    """An index that FAISS searches: exactly, or by a graph.

    Raises:
        ConfigError: FAISS is not installed.
    """
    if find_spec("faiss") is None:
        raise ConfigError(f'index {home}: FAISS needs an extra package: pip install "tutelage[faiss]".')
    return FolderIndex(home, Kind(GRAPH_NAME, {GRAPH: _write_graph}, _graph) if graph else Kind(FLAT_NAME, {}, _flat))


def _faiss() -> Any:
    """The package; what it says of its own types is not so."""
    import faiss

    return faiss


def _flat(folder: Path, vectors: np.ndarray) -> Find:
    faiss = _faiss()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    return _find(index, vectors, faiss.SearchParameters)


def _write_graph(path: Path, vectors: np.ndarray) -> None:
    faiss = _faiss()
    index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_WIDTH
    index.add(np.ascontiguousarray(vectors))
    faiss.write_index(index, str(path))


def _graph(folder: Path, vectors: np.ndarray) -> Find:
    faiss = _faiss()
    walk = _find(faiss.read_index(str(folder / GRAPH)), vectors, faiss.SearchParametersHNSW)

    def find(queries: Float[np.ndarray, "queries dim"], k: int, parts: Sequence[Rows]) -> tuple[Scores, Found]:
        return walk(queries, k, parts) if _are_all(parts, len(vectors)) else nearest(queries, vectors, k, parts)

    return find


def _find(index: Any, vectors: np.ndarray, parameters: Any) -> Find:
    def find(queries: Float[np.ndarray, "queries dim"], k: int, parts: Sequence[Rows]) -> tuple[Scores, Found]:
        chosen, count = _selector(parts, len(vectors))

        def fetch(wanted: int) -> tuple[Scores, Found]:
            options = {"efSearch": max(SEARCH_WIDTH, 2 * wanted)} if hasattr(index, "hnsw") else {}
            return index.search(queries, wanted, params=parameters(sel=chosen, **options))

        return settled(fetch, queries, vectors, k, count)

    return find


def _are_all(parts: Sequence[Rows], total: int) -> bool:
    return len(parts) == 1 and isinstance(parts[0], slice) and (parts[0].start, parts[0].stop) == (0, total)


def _selector(parts: Sequence[Rows], total: int) -> tuple[Any, int]:
    """FAISS's object for these rows (none: all of them), and how many they are."""
    faiss = _faiss()
    if _are_all(parts, total):
        return None, total
    if len(parts) == 1 and isinstance(part := parts[0], slice):
        return faiss.IDSelectorRange(part.start, part.stop), part.stop - part.start
    chosen = np.zeros(total, dtype=bool)
    for rows in parts:
        chosen[rows] = True
    return faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little")), int(chosen.sum())
