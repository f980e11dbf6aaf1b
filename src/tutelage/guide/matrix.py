"""Guide vectors that were made elsewhere, by an API say: a matrix with its texts beside it, or a table of both.

``name.npy`` holds texts x dim, and ``name.txt`` beside it the texts in the order of the rows, one a line, in UTF-8.
``name.parquet`` holds both, in the columns ``text`` and ``vector``. Each text stands once.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Shaped

from tutelage.errors import ConfigError, DataError
from tutelage.records.files import of_file
from tutelage.records.tables import read_text
from tutelage.records.texts import text_ids

NPY, PARQUET = ".npy", ".parquet"
SHOWN = 3  # texts in a message


def is_matrix(name: str) -> bool:
    """Whether a guide's name means such a file."""
    return Path(name).suffix in (NPY, PARQUET)


def files_of(path: Path) -> list[Path]:
    """What the vectors are read from.

    Raises:
        ConfigError: the file, or the texts that belong beside it, are not there.
    """
    if not path.is_file():
        raise ConfigError(f"guide '{path}': no such file. Give a .npy with its texts beside it, or a .parquet.")
    if path.suffix == PARQUET:
        return [path]
    texts = path.with_suffix(".txt")
    if not texts.is_file():
        raise ConfigError(f"guide '{path}': its texts are wanted in {texts}, one a line for each row. Write that file.")
    return [path, texts]


def fields(path: Path) -> dict[str, str]:
    """Of the fingerprint: the files' content; their place does not count."""
    return {"matrix": " ".join(of_file(file) for file in files_of(path))}


def embed(texts: list[str], *, path: Path) -> Shaped[np.ndarray, "texts dim"]:
    """The rows of these texts, in their order.

    Raises:
        ConfigError, DataError: files that are missing or hold something else; texts that have no row.
    """
    named, matrix = _parquet(path) if path.suffix == PARQUET else _npy(*files_of(path))
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or not matrix.size or len(matrix) != len(named):
        raise DataError(
            f"guide {path}: {matrix.dtype} of shape {matrix.shape} for {len(named)} texts; wanted numbers, texts x dim."
            " Write it anew."
        )
    row_of = {each: row for row, each in enumerate(text_ids(named).tolist())}
    if len(row_of) < len(named):
        raise DataError(f"guide {path}: {len(named) - len(row_of)} texts stand in it again. Leave one row of each.")
    rows = [row_of.get(each) for each in text_ids(texts).tolist()]
    _refuse(path, "no vector", [text for text, row in zip(texts, rows, strict=True) if row is None], len(texts))
    found = np.asarray(matrix[np.array(rows, dtype=np.int64)])
    finite = np.isfinite(found).all(axis=1)
    _refuse(path, "no finite vector", [text for text, fine in zip(texts, finite, strict=True) if not fine], len(texts))
    return found


def _refuse(path: Path, what: str, faulty: list[str], count: int) -> None:
    if faulty:
        first = ", ".join(f"'{text}'" for text in faulty[:SHOWN])
        raise DataError(f"guide {path}: {what} for {len(faulty)} of {count} texts (first: {first}). Add their rows.")


def _npy(path: Path, beside: Path) -> tuple[list[str], np.ndarray]:
    """Texts and the matrix, memory-mapped."""
    try:
        matrix = np.lib.format.open_memmap(path, mode="r")
    except ValueError as fault:
        raise DataError(f"guide {path}: no matrix of numbers ({fault}). Write it by numpy.save.") from None
    return read_text(beside).removesuffix("\n").split("\n"), matrix


def _parquet(path: Path) -> tuple[list[str], np.ndarray]:
    """Texts and vectors of a table."""
    try:
        table = pq.read_table(path, columns=["text", "vector"])
        texts, vectors = table["text"].cast(pa.string()), table["vector"].combine_chunks()
        widths = pc.unique(pc.list_value_length(vectors)).to_pylist()
        if texts.null_count or vectors.null_count or len(widths) > 1:
            raise ValueError("cells are empty, or vectors of different lengths")
        return texts.to_pylist(), vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(texts), -1)
    except (pa.ArrowException, KeyError, ValueError) as fault:
        raise DataError(
            f"guide {path}: {str(fault).splitlines()[0]}; wanted Parquet with the columns 'text' and 'vector' (a list "
            "of numbers, all of one length). Write it anew."
        ) from None
