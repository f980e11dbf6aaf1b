"""One model on several sets at several widths, and the files from which others can check the figures."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from tutelage.errors import ConfigError, DataError
from tutelage.evaluate.metrics import DEFAULT_METRICS
from tutelage.evaluate.per_query import PER_QUERY, save_per_query
from tutelage.evaluate.report import REPORT
from tutelage.evaluate.retrieval import RetrievalResult, encode_set, key_name, measure, refuse_dims
from tutelage.evaluate.trec import DEPTH, run_of, write_qrels, write_run
from tutelage.records.retrieval import RetrievalSet


def evaluate_sets(
    model: SentenceTransformer,
    sets: Iterable[RetrievalSet],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    dims: Sequence[int] = (),
    folder: Path | None = None,
    depth: int = DEPTH,
) -> list[RetrievalResult]:
    """The result of each set at the whole width, followed by those at ``dims``; each set is encoded once.

    Args:
        model: the model to measure.
        sets: what to measure it on.
        metrics: names such as ``ndcg@10``.
        dims: Matryoshka widths beside the whole.
        folder: where to write, of the whole width, ``SET.run`` and ``SET.qrels`` (":" and "," of a name become
            "-"), and of all widths ``per_query.parquet``.
        depth: entries of each query in a run file; the whole corpus, if that is smaller.

    Raises:
        ConfigError: a width that the model lacks; ``folder`` is a file, or holds an earlier evaluation.
    """
    refuse_dims(model, dims)
    if folder is not None:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"output {folder}: a file, where a folder was wanted. Give another output.")
        if (folder / PER_QUERY).exists():
            raise ConfigError(
                f"output {folder}: holds {PER_QUERY} of an earlier evaluation. Give another output, or remove it."
            )
        folder.mkdir(parents=True, exist_ok=True)
    results = []
    for retrieval in sets:
        encoded = encode_set(model, retrieval)
        results += [measure(each, metrics) for each in (encoded, *(encoded.at(dim) for dim in dims))]
        if folder is not None:
            write_run(folder / f"{key_name(retrieval.name)}.run", run_of(encoded, depth))
            write_qrels(folder / f"{key_name(retrieval.name)}.qrels", retrieval)
    if folder is not None:
        save_per_query(folder / PER_QUERY, {"after": results})
    return results


def split_of(model: str | None) -> dict[str, Any]:
    """``share`` and ``seed`` of the split that a saved model was trained with, by the report beside it; else nothing.

    Held-out concepts are held out by one split only: another's may have been trained on.
    """
    report = Path(model or "") / REPORT
    if not model or not report.is_file():
        return {}
    try:
        data = json.loads(report.read_text(encoding="utf-8"))["recipe"]["data"]
        return {"share": data["held_out"], "seed": data["seed"]}
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{report}: no report of a run of ours. Move it away, or give another model.") from None


def means_by_dim(results: Iterable[RetrievalResult]) -> dict[str, dict[str, dict[str, float]]]:
    """Set -> width -> metric -> mean, of the results that have a width: the report's ``dims``."""
    means: dict[str, dict[str, dict[str, float]]] = {}
    for result in results:
        if result.dim is not None:
            means.setdefault(result.name, {})[str(result.dim)] = result.means
    return means
