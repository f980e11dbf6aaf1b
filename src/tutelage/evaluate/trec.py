"""TREC run and qrels files: what the public TalentCLEF script, ranx, trec_eval and ir-measures read, and back again."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import isnan
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from tutelage.errors import DataError
from tutelage.evaluate.metrics import DEFAULT_METRICS, per_query
from tutelage.evaluate.ranking import top_k
from tutelage.evaluate.retrieval import TOP, EncodedSet, RetrievalResult
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.tables import read_text

# Query id -> its corpus ids with scores, in any order; equal scores stand as listed.
Run = Mapping[str, Sequence[tuple[str, float]]]
DEPTH = 1000  # entries of each query that a run file holds by custom; MAP without a cut-off needs the whole corpus


def run_of(encoded: EncodedSet, depth: int = DEPTH) -> dict[str, list[tuple[str, float]]]:
    """The first ``depth`` entries of each query; a query's own entry is left out where the set says so."""
    scores, rows = top_k(encoded.queries, encoded.corpus, depth, excluded=encoded.excluded)
    return {
        query: [(encoded.entries[row], score) for row, score in zip(*hits, strict=True) if score > -np.inf]
        for query, *hits in zip(encoded.asked, rows.tolist(), scores.tolist(), strict=True)
    }


def strictly_descending(scores: Float[np.ndarray, " entries"]) -> Float32[np.ndarray, " entries"]:
    """The scores lowered by the least that makes each smaller than the one before, as 32-bit floats.

    Readers sort by score, in 32 bits (trec_eval) or 64 (ranx), and break ties by id: only unique scores keep our order.

    >>> strictly_descending(np.array([0.5, 0.5, 0.25])).tolist()
    [0.5, 0.4999999701976776, 0.25]
    """
    # Consecutive floats of one sign have consecutive bit patterns: with those of negative ones turned round, a float
    # is a position, and "at least i steps below the first" is a running minimum of position + i.
    bits = np.asarray(scores, dtype=np.float32).view(np.int32).astype(np.int64)
    position = np.where(bits < 0, -(bits + 2**31), bits)
    step = np.arange(len(position))
    position = np.minimum.accumulate(position + step) - step
    return np.where(position < 0, -position - 2**31, position).astype(np.int32).view(np.float32)


def write_run(path: str | Path, run: Run, tag: str = "tutelage") -> None:
    """``query Q0 entry rank score tag``, best first, ranks from 1, scores unique within a query.

    Raises:
        DataError: an id with white space, which the format cannot hold.
    """
    _refuse_blanks(path, chain(run, (entry for hits in run.values() for entry, _ in hits)))
    with Path(path).open("w", encoding="utf-8") as file:
        for query, hits in run.items():
            hits = _best_first(hits)
            lowered = strictly_descending(np.array([score for _, score in hits], dtype=float))
            for rank, ((entry, _), score) in enumerate(zip(hits, lowered.tolist(), strict=True), start=1):
                file.write(f"{query} Q0 {entry} {rank} {score:.9g} {tag}\n")  # nine digits tell any two floats apart


def write_qrels(path: str | Path, retrieval: RetrievalSet) -> None:
    """``query 0 entry 1`` for each relevant entry, in the order of the set's files.

    Raises:
        DataError: an id with white space, which the format cannot hold.
    """
    _refuse_blanks(path, chain(retrieval.queries, retrieval.corpus))
    place = {entry: number for number, entry in enumerate(retrieval.corpus)}
    with Path(path).open("w", encoding="utf-8") as file:
        for query in retrieval.queries:
            for entry in sorted(retrieval.relevance.get(query, ()), key=place.__getitem__):
                file.write(f"{query} 0 {entry} 1\n")


def read_run(path: str | Path) -> dict[str, list[tuple[str, float]]]:
    """A run file's scores; its ranks and tag are not asked, as everywhere in the field.

    Raises:
        DataError: no such file, no row, a row without six fields, a score that is no number.
    """
    run: dict[str, list[tuple[str, float]]] = {}
    for number, line in enumerate(read_text(Path(path)).split("\n"), start=1):
        cells = line.split()
        if not cells:
            continue
        try:
            query, _, entry, _, score, _ = cells
            run.setdefault(query, []).append((entry, float(score)))
        except ValueError:
            raise DataError(
                f"{path} row {number}: '{line}'. Wanted six fields: query id, Q0, corpus id, rank, score, tag."
            ) from None
    if not run:
        raise DataError(f"{path}: no rows. Wanted a TREC run: query id, Q0, corpus id, rank, score, tag.")
    return run


def evaluate_run(retrieval: RetrievalSet, run: Run, metrics: Sequence[str] = DEFAULT_METRICS) -> RetrievalResult:
    """Measure rankings made elsewhere; entries that a query does not list are not found, and what is absent counts 0.

    A query of the set that the run lacks counts 0 (`missing_queries` names them), as in ir-measures and
    ``trec_eval -c``. Without the whole corpus in the run, metrics without a cut-off are lower bounds.

    Raises:
        DataError: unknown ids, an entry listed twice for a query, a score that is not a number.
    """
    _refuse_faults(retrieval, run)
    asked = retrieval.asked
    listed = [_best_first(run.get(query, ())) for query in asked]
    if retrieval.exclude_self:
        listed = [[hit for hit in hits if hit[0] != query] for query, hits in zip(asked, listed, strict=True)]
    counts = [len(retrieval.relevance[query]) for query in asked]
    ranks = np.full((len(asked), max(counts)), np.inf)
    for row, (query, hits) in enumerate(zip(asked, listed, strict=True)):
        right = retrieval.relevance[query]
        found = [rank for rank, (entry, _) in enumerate(hits, start=1) if entry in right]
        ranks[row, : len(found)] = found
    return RetrievalResult(
        retrieval.name,
        asked,
        [retrieval.cluster.get(query, query) for query in asked],
        per_query(metrics, ranks, np.array(counts, dtype=float)),
        top=[hits[:TOP] for hits in listed],
        digest=retrieval.digest,
    )


def missing_queries(retrieval: RetrievalSet, run: Run) -> list[str]:
    """Queries with a relevant entry for which the run lists nothing."""
    return [query for query in retrieval.asked if not run.get(query)]


def _best_first(hits: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(hits, key=lambda hit: -hit[1])


def _refuse_faults(retrieval: RetrievalSet, run: Run) -> None:
    listed = set(chain.from_iterable((entry for entry, _ in hits) for hits in run.values()))
    for what, known, named in (("query", retrieval.queries, set(run)), ("corpus", retrieval.corpus, listed)):
        if unknown := sorted(named - known.keys()):
            raise DataError(
                f"{retrieval.name}: the run names {len(unknown)} unknown {what} id{'s' * (len(unknown) > 1)} (first: "
                f"'{unknown[0]}'); {len(known)} are known. Use the run that belongs to this set."
            )
    for query, hits in run.items():
        if len({entry for entry, _ in hits}) < len(hits):
            entries = [entry for entry, _ in hits]
            twice = next(entry for place, entry in enumerate(entries) if entry in entries[:place])
            raise DataError(f"{retrieval.name}: the run lists '{twice}' twice for query '{query}'. Keep one row.")
        if broken := [entry for entry, score in hits if isnan(score)]:
            raise DataError(
                f"{retrieval.name}: the run's score of '{broken[0]}' for query '{query}' is not a number. "
                "Mend what wrote the run."
            )


def _refuse_blanks(path: str | Path, ids: Iterable[str]) -> None:
    for each in ids:
        if not each or each.split() != [each]:
            raise DataError(
                f"{path}: id '{each}' cannot stand in a TREC file, whose fields end at white space. Rename it."
            )
