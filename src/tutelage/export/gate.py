"""Whether an export still ranks as the model does: what is lost on evaluation sets, and where that is too much."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.table import Table
from scipy.stats import kendalltau

from tutelage.errors import ConfigError
from tutelage.evaluate.report import PLAIN
from tutelage.evaluate.retrieval import TOP, EncodedSet, embed_set, ranked
from tutelage.records.retrieval import RetrievalSet
from tutelage.serve.engine import Engine

METRICS = ("map", "ndcg@10")
BOUND = 0.005  # of MAP
HEADINGS = ("graph", "set", "MAP", "exported", "drop", "nDCG@10 drop", f"first {TOP} shared", "Kendall's tau")

Figures = dict[str, float]


def judge(model: Engine, exported: Mapping[str, Engine], sets: Sequence[RetrievalSet]) -> dict[str, dict[str, Figures]]:
    """Graph -> set -> what was lost: both sides' MAP and nDCG@10, their drop, and how far the rankings agree.

    ``shared`` is the mean share of the model's first 10 entries that stand among the export's; ``tau`` the mean of
    Kendall's tau over the model's first 10, by the scores of both.

    Args:
        model: the engine to compare with.
        exported: name of a graph -> its engine.
        sets: what to measure on.
    """
    found: dict[str, dict[str, Figures]] = {name: {} for name in exported}
    for retrieval in sets:
        want = embed_set(lambda texts: model.encode(texts), retrieval)
        for name, engine in exported.items():
            got = embed_set(lambda texts, by=engine: by.encode(texts), retrieval)  # type: ignore[misc]
            found[name][retrieval.name] = lost(want, got)
    return found


def lost(want: EncodedSet, got: EncodedSet) -> Figures:
    """The figures of one export on one set."""
    (means, rows), (kept, kept_rows) = (_ranked(each) for each in (want, got))
    figures: Figures = {}
    for metric in METRICS:
        figures |= {
            metric: means[metric],
            f"{metric} exported": kept[metric],
            f"{metric} drop": means[metric] - kept[metric],
        }
    shared = np.mean([len({*mine} & {*theirs}) / len(mine) for mine, theirs in zip(rows, kept_rows, strict=True)])
    return figures | {"shared": float(shared), "tau": _tau(want, got, rows)}


def _ranked(encoded: EncodedSet) -> tuple[Figures, list[list[int]]]:
    ranking, values = ranked(encoded, METRICS)
    return {metric: float(of.mean()) for metric, of in values.items()}, ranking.rows.tolist()


def _tau(want: EncodedSet, got: EncodedSet, rows: Sequence[Sequence[int]]) -> float:
    """Over the queries where it is defined: where not all scores are equal."""

    def scores(encoded: EncodedSet, query: int) -> Float[np.ndarray, " entries"]:
        found: np.ndarray = (encoded.corpus[rows[query]] @ encoded.queries[query]).numpy()
        return found

    of_query = [kendalltau(scores(want, query), scores(got, query)).statistic for query in range(len(rows))]
    defined = [tau for tau in of_query if np.isfinite(tau)]
    return float(np.mean(defined)) if defined else 1.0


def refuse_loss(found: Mapping[str, Mapping[str, Figures]], bound: float) -> None:
    """Raise where a graph loses more MAP on a set than the bound.

    Raises:
        ConfigError: the largest such loss.
    """
    drop, graph, name = worst(found)
    if drop > bound:
        figures = found[graph][name]
        raise ConfigError(
            f"export: {graph} loses {drop:.4f} MAP on {name} ({figures['map']:.4f} to {figures['map exported']:.4f}), "
            f"the bound is {bound:g}. Nothing was changed. Allow more with --bound, or keep it anyway with --force."
        )


def worst(found: Mapping[str, Mapping[str, Figures]]) -> tuple[float, str, str]:
    """The largest drop in MAP, of which graph, on which set."""
    return max((figures["map drop"], graph, name) for graph, sets in found.items() for name, figures in sets.items())


def rows_of(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[list[str]]:
    """The rows of every table of the gate, under `HEADINGS`."""
    return [
        [
            graph, name, f"{of['map']:.4f}", f"{of['map exported']:.4f}", f"{of['map drop']:+.4f}",
            f"{of['ndcg@10 drop']:+.4f}", f"{of['shared']:.3f}", f"{of['tau']:.3f}",
        ]
        for graph, sets in found.items()
        for name, of in sets.items()
    ]  # fmt: skip


def gate_table(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """For people."""
    table = Table(*HEADINGS, **PLAIN)
    for row in rows_of(found):
        table.add_row(*row)
    return table
