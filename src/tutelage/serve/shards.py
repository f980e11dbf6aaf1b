"""A table's texts as vectors: a Parquet file for each shard, its rows and columns as they were, and a vector more.

A shard is written beside its place and renamed, so a file there is whole; a second run passes over it. In 8 bits a
vector is ``vector * scale``, the scale standing in the file's metadata.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from filelock import FileLock, Timeout
from jaxtyping import Float

from tutelage.errors import CacheMismatch, ConfigError, DataError
from tutelage.records.files import of_file, settle
from tutelage.serve.engine import Engine, count_truncated, cut
from tutelage.serve.table import TextTable, metadata_of, open_table

VECTOR = "vector"
KEY = "tutelage"  # of the files' metadata
TEXTS_AT_ONCE = 65_536
Dtype = Literal["float32", "float16", "int8"]
LARGEST = 127  # of an int8 that has its negative


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of a table: the rows ``(number - 1) / count`` to ``number / count`` of the way."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``3/10`` is the third of ten.

        Raises:
            ConfigError: anything else.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise ConfigError(f"--shard {text}: wanted NUMBER/COUNT, as in 3/10 for the third of ten.")
        return cls(int(number), int(count))

    @property
    def name(self) -> str:
        """Of its file."""
        return f"part-{self.number:05d}-of-{self.count:05d}.parquet"

    def rows(self, total: int) -> tuple[int, int]:
        """The first row, and the first that is not its own.

        >>> Shard(1, 3).rows(10), Shard(3, 3).rows(10)
        ((0, 3), (6, 10))
        """
        return total * (self.number - 1) // self.count, total * self.number // self.count


@dataclass(frozen=True)
class Vectors:
    """How vectors are wanted: cut to ``dim`` numbers and scaled to length 1 again, as ``dtype``, after ``prompt``."""

    dim: int | None = None
    dtype: Dtype = "float32"
    prompt: str | None = None


def embed_table(
    engine: Engine,
    source: Path,
    out: Path,
    *,
    column: str | None = None,
    shard: Shard | None = None,
    vectors: Vectors | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Embed a shard of a table, each distinct text of it once.

    Memory holds the shard's distinct texts and one block of vectors; the rest lies in a file beside the output until
    it is written.

    Args:
        engine: what embeds.
        source: CSV, TSV, JSONL or Parquet.
        out: the folder of the shards.
        column: of the texts; default: ``text``, or the only one.
        shard: default: the whole table as one.
        vectors: how they are wanted.
        progress: show bars.

    Returns:
        What the file's metadata tells, with ``path``, ``rows``, ``texts``, how many of these were longer than the
        model reads (``truncated``), and whether it was ``skipped``.

    Raises:
        ConfigError: a width that the model was not trained for; another process writes this shard.
        DataError: a fault in the table.
        CacheMismatch: a finished shard of another model, input or form.

    Example::

        embed_table(load_engine("runs/demo/model"), Path("titles.csv"), Path("vectors"), shard=Shard(3, 10))
    """
    shard, vectors = shard or Shard(), vectors or Vectors()
    if out.exists() and not out.is_dir():
        raise ConfigError(f"output {out}: a file, where a folder was wanted. Give another output.")
    dim = checked_dim(engine, vectors.dim)
    table = open_table(source, column)
    if VECTOR in table.schema.names:
        raise DataError(f"{source}: has a column '{VECTOR}' already. Rename it.")
    about = {
        "fingerprint": engine.fingerprint, "dim": dim, "dtype": vectors.dtype, "input": of_file(source),
        "column": table.column, "prompt": engine.default_prompt if vectors.prompt is None else vectors.prompt,
        "shard": f"{shard.number}/{shard.count}",
    }  # fmt: skip
    path = out / shard.name
    refuse_other_count(out, shard)
    if path.exists():
        return _finished(path, about)
    out.mkdir(parents=True, exist_ok=True)
    with _beside(path) as beside:
        if path.exists():  # meanwhile
            return _finished(path, about)
        about |= _write(engine, table, shard.rows(table.rows), about, beside, progress)
        os.replace(beside / "shard.parquet", path)
    return {**about, "path": str(path), "skipped": False}


def _finished(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    held = metadata_of(path, KEY)
    refuse_other(path, held, about)
    return {**held, "path": str(path), "skipped": True}


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder to write a shard in, by one process at a time; what a killed one left there is gone. The lock stays.

    Raises:
        ConfigError: another process writes the shard.
    """
    beside, lock = path.with_name(f".{path.stem}"), path.with_name(f".{path.stem}.lock")
    try:
        with FileLock(lock, timeout=0):
            rmtree(beside, ignore_errors=True)
            beside.mkdir()
            try:
                yield beside
            finally:
                rmtree(beside, ignore_errors=True)
    except Timeout:
        raise ConfigError(f"{path}: another process is writing it. Wait for it, or give another --shard.") from None


def checked_dim(engine: Engine, dim: int | None) -> int:
    """The width asked for, or the whole.

    Raises:
        ConfigError: a width beyond the model's, or one that it was not trained for where it was trained for some.
    """
    whole, *trained = engine.dims
    if dim is None or dim == whole or dim in trained:
        return dim or whole
    if trained:
        raise ConfigError(f"dim {dim}: {engine.name} was trained for {', '.join(map(str, engine.dims))}. Give one.")
    if not 1 <= dim < whole:
        raise ConfigError(f"dim {dim}: the vectors of {engine.name} are {whole} wide. Give a dim from 1 to {whole}.")
    return dim


def refuse_other_count(out: Path, shard: Shard) -> None:
    """Raise where a folder holds shards of another count: together they would hold rows twice.

    Raises:
        CacheMismatch: the first of them.
    """
    same = f"-of-{shard.count:05d}.parquet"
    if other := sorted(path.name for path in out.glob("part-*-of-*.parquet") if not path.name.endswith(same)):
        raise CacheMismatch(f"{out}: holds {other[0]}, a part of another count. Remove it, or write to another folder.")


def refuse_other(path: Path, held: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise where a finished shard is not the one that this run would write.

    Raises:
        CacheMismatch: the first fields that differ.
    """
    if differing := [field for field in wanted if held.get(field) != wanted[field]]:
        told = ", ".join(f"{field} {held.get(field)} where this run has {wanted[field]}" for field in differing)
        raise CacheMismatch(f"{path}: holds {told}. Remove it, or write to another folder.")


def _write(
    engine: Engine, table: TextTable, span: tuple[int, int], about: dict[str, Any], beside: Path, progress: bool
) -> dict[str, Any]:
    place: dict[str, int] = {}
    again = np.fromiter(
        (place.setdefault(text, len(place)) for batch in _within(table, span) for text in table.texts(batch)), np.int64
    )
    found = np.memmap(beside / "vectors", np.float32, "w+", shape=(max(len(place), 1), about["dim"]))
    texts, truncated = list(place), 0
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        label = f"{start:,} of {len(texts):,}" if progress else None
        some = texts[start : start + TEXTS_AT_ONCE]
        block = engine.encode(some, prompt=about["prompt"], progress=label)
        found[start : start + len(block)] = cut(block, about["dim"])
        truncated += count_truncated(engine, some, prompt=about["prompt"])
    counts = {"rows": len(again), "texts": len(texts), "truncated": truncated}
    told: dict[str, Any] = {"model": engine.name, **counts, "scale": None}
    if about["dtype"] == "int8":
        told["scale"] = _scale(found)
    kind = pa.list_(pa.from_numpy_dtype(about["dtype"]), about["dim"])
    schema = table.schema.append(pa.field(VECTOR, kind))
    schema = schema.with_metadata({**(schema.metadata or {}), KEY: json.dumps(about | told)})
    with pa.parquet.ParquetWriter(beside / "shard.parquet", schema, compression="zstd") as writer:
        start = 0
        for batch in _within(table, span):
            rows = found[again[start : start + len(batch)]]
            flat = pa.array(as_dtype(rows, about["dtype"], told["scale"]).ravel())
            column = pa.FixedSizeListArray.from_arrays(flat, about["dim"])
            writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, column], schema=schema))
            start += len(batch)
    settle(beside / "shard.parquet")
    return told


def _within(table: TextTable, span: tuple[int, int]) -> Iterator[pa.RecordBatch]:
    """The rows from the first to before the second of the span."""
    at = 0
    for batch in table.batches():
        low, high = max(span[0] - at, 0), min(span[1] - at, len(batch))
        if low < high:
            yield batch.slice(low, high - low)
        at += len(batch)
        if at >= span[1]:
            return


def _scale(vectors: np.ndarray) -> float:
    """Of 8 bits: the largest absolute number becomes 127."""
    blocks = range(0, len(vectors), TEXTS_AT_ONCE)
    largest = max(float(np.abs(vectors[start : start + TEXTS_AT_ONCE]).max()) for start in blocks)
    return largest / LARGEST or 1.0


def as_dtype(vectors: Float[np.ndarray, "texts dim"], dtype: Dtype, scale: float | None) -> np.ndarray:
    """The vectors in fewer bits; in 8 bits ``result * scale`` gives them back, to half a scale."""
    if dtype == "int8":
        assert scale is not None
        return np.rint(vectors / scale).astype(np.int8)
    return vectors.astype(dtype)
