"""Per-query values of a run as one Parquet table beside its report: what `compare` and every later test starts from."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tutelage.errors import DataError
from tutelage.evaluate.retrieval import RetrievalResult

PER_QUERY = "per_query.parquet"
BEFORE, AFTER = "before", "after"
WHOLE = 0  # in the column `dim`: the model's whole width
IDENTITY = {"stage": pa.string(), "set": pa.string(), "dim": pa.int64(), "query": pa.string(), "cluster": pa.string()}
DIGESTS = b"tutelage.digests"  # in the file's metadata: set -> `RetrievalSet.digest`; older files have none


def save_per_query(path: str | Path, stages: Mapping[str, Iterable[RetrievalResult]]) -> None:
    """One row for each stage, set, width and query; a double column for each metric, null where a set lacks it.

    The whole file or nothing: written beside the target, flushed to disk, renamed.

    Args:
        path: the file, ``per_query.parquet`` of a run.
        stages: ``"before"`` and ``"after"`` -> the results of that stage, of any sets and widths.

    Example::

        save_per_query(folder / PER_QUERY, {"before": before.values(), "after": after.values()})
    """
    told = [(stage, result) for stage, results in stages.items() for result in results]
    tables = [_table(stage, result) for stage, result in told]
    table = pa.concat_tables(tables, promote_options="default") if tables else _EMPTY
    digests = {result.name: result.digest for _, result in told}
    table = table.replace_schema_metadata({DIGESTS: json.dumps(digests).encode()})
    path = Path(path)
    beside = path.with_name(f".{path.name}.partial")
    with beside.open("wb") as file:
        pq.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load_per_query(path: str | Path, dim: int | None = None) -> dict[str, dict[str, RetrievalResult]]:
    """Stage -> set -> result, queries in their order, with the metrics that the set has.

    Args:
        path: the file, ``per_query.parquet`` of a run.
        dim: the Matryoshka width wanted; default: the model's whole width. Sets that lack it are left out.

    Raises:
        DataError: no such file, not Parquet, or a Parquet file of something else.
    """
    path = Path(path)
    table = _read(path)
    table = table.filter(pc.equal(table["dim"], WHOLE if dim is None else dim))
    loaded: dict[str, dict[str, RetrievalResult]] = {}
    for stage in table["stage"].unique().to_pylist():
        of_stage = table.filter(pc.equal(table["stage"], stage))
        loaded[stage] = {
            name: _result(of_stage.filter(pc.equal(of_stage["set"], name)), name, dim)
            for name in of_stage["set"].unique().to_pylist()
        }
    return loaded


_EMPTY = pa.table({name: pa.array([], kind) for name, kind in IDENTITY.items()})


def _table(stage: str, result: RetrievalResult) -> pa.Table:
    count = len(result.queries)
    identity = {
        "stage": [stage] * count,
        "set": [result.name] * count,
        "dim": [result.dim or WHOLE] * count,
        "query": result.queries,
        "cluster": result.cluster,
    }
    columns = {name: pa.array(values, IDENTITY[name]) for name, values in identity.items()}
    return pa.table(columns | {metric: pa.array(values, pa.float64()) for metric, values in result.values.items()})


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError(f"{path}: no such file. It is written by tutelage train; give the output folder of a run.")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as fault:
        raise DataError(f"{path}: not Parquet ({str(fault).splitlines()[0]}). Run the training again.") from None
    if missing := [name for name in IDENTITY if name not in table.column_names]:
        raise DataError(
            f"{path}: no column '{missing[0]}'. Columns: {', '.join(table.column_names)}. "
            "Wanted the per-query file that tutelage train writes."
        )
    return table


def _result(table: pa.Table, name: str, dim: int | None) -> RetrievalResult:
    def column(key: str) -> Any:
        return table[key].combine_chunks()

    metrics = [key for key in table.column_names if key not in IDENTITY and table[key].null_count < len(table)]
    values = {metric: np.array(column(metric).to_numpy(zero_copy_only=False), dtype=float) for metric in metrics}
    digest = json.loads((table.schema.metadata or {}).get(DIGESTS, b"{}")).get(name)
    return RetrievalResult(
        name, column("query").to_pylist(), column("cluster").to_pylist(), values, dim=dim, digest=digest
    )
