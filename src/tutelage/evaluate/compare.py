"""Two systems, each a run or several seeds of one, over the very same queries: does the second beat the first?"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tutelage.errors import DataError
from tutelage.evaluate.per_query import AFTER, PER_QUERY, load_per_query
from tutelage.evaluate.report import REPORT, interval
from tutelage.evaluate.retrieval import RetrievalResult
from tutelage.evaluate.seeds import mean_over_seeds, same_queries, spread
from tutelage.evaluate.significance import corrected, paired_differences


@dataclass(frozen=True)
class System:
    """The runs of one system and what they reached: set -> one result a run, for the sets that all runs have."""

    name: str
    runs: list[str]
    results: dict[str, list[RetrievalResult]]
    left_out: list[str]  # sets that some of the runs lack


def load_system(runs: str, *, stage: str = AFTER, dim: int | None = None) -> System:
    """A system from its output folders, joined by commas where it was trained with several seeds.

    Its name is the run's in ``report.json``, else the folder's.

    Raises:
        DataError: a folder without per-query values, or without any of that stage and width.
    """
    folders = [Path(run) for run in runs.split(",") if run]
    if not folders:
        raise DataError("compare: no folder is named. Give the output folder of a run.")
    loaded = [load_per_query(folder / PER_QUERY, dim).get(stage, {}) for folder in folders]
    for folder, sets in zip(folders, loaded, strict=True):
        if not sets:
            width = "" if dim is None else f" at {dim} dimensions"
            raise DataError(f"{folder}: nothing measured {stage} training{width}. Name another --stage or --dim.")
    names = list(dict.fromkeys(name for sets in loaded for name in sets))
    shared = [name for name in names if all(name in sets for sets in loaded)]
    results = {name: [sets[name] for sets in loaded] for name in shared}
    return System(_name(folders[0]), [str(f) for f in folders], results, [n for n in names if n not in shared])


def _name(folder: Path) -> str:
    try:
        return str(json.loads((folder / REPORT).read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name


def compare_systems(a: System, b: System, metrics: Sequence[str] = ("map",)) -> dict[str, Any]:
    """``rows``: for every set that both have and every metric the means, the difference b - a, and what it is worth.

    Several seeds count as one answer to each query, their mean (`mean_over_seeds`); ``spread_a`` and ``spread_b`` tell
    how far the seeds scatter. ``p_holm`` is corrected for all rows. Sets of one side only are named in ``left_out``.

    Raises:
        DataError: no set is in both, a set's queries differ, or a metric was not measured.

    Example::

        compare_systems(load_system("runs/plain"), load_system("runs/guided"), ["map", "ndcg@10"])["rows"]
    """
    shared = [name for name in a.results if name in b.results]
    if not shared:
        has = "; ".join(f"{side} has {', '.join(system.results) or 'none'}" for side, system in (("A", a), ("B", b)))
        raise DataError(f"compare: no set is in both. {has}. Evaluate both on the same set.")
    pairs = {name: _pair(name, a, b, metrics) for name in shared}
    differences = corrected(
        {name: paired_differences(one.values, other.values, one.cluster) for name, (one, other) in pairs.items()}
    )
    rows = [
        {
            "set": name,
            "queries": len(pairs[name][0].queries),
            "metric": metric,
            "a": pairs[name][0].means[metric],
            "b": pairs[name][1].means[metric],
            "spread_a": spread(a.results[name], metric),
            "spread_b": spread(b.results[name], metric),
            **difference.to_dict(),
        }
        for name, of_set in differences.items()
        for metric, difference in of_set.items()
    ]
    left_out = dict.fromkeys([*a.left_out, *b.left_out, *(a.results.keys() ^ b.results.keys())])
    sides = {side: {"name": system.name, "runs": system.runs} for side, system in (("a", a), ("b", b))}
    return {**sides, "rows": rows, "left_out": sorted(left_out)}


def _pair(name: str, a: System, b: System, metrics: Sequence[str]) -> tuple[RetrievalResult, RetrievalResult]:
    """Both systems' answers to one set, in one order, with the metrics asked for."""
    one = mean_over_seeds(a.results[name], "seeds of A")
    other = same_queries(one, mean_over_seeds(b.results[name], "seeds of B"), "A and B")
    for metric in metrics:
        if metric not in one.values or metric not in other.values:
            both = [measured for measured in one.values if measured in other.values]
            raise DataError(f"compare: '{name}' was not measured by '{metric}' in both. Both have: {', '.join(both)}.")
    return tuple(_only(result, metrics) for result in (one, other))  # type: ignore[return-value]  # two in, two out


def _only(result: RetrievalResult, metrics: Sequence[str]) -> RetrievalResult:
    values = {metric: result.values[metric] for metric in metrics}
    return replace(result, values=values)


HEADINGS = ("set", "queries", "metric", "A", "B", "B - A", "95 % interval", "p", "Holm p", "wins/ties/losses")


def compare_rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    """The rows of a comparison's table, under `HEADINGS`."""
    return [
        [
            row["set"],
            str(row["queries"]),
            row["metric"],
            _mean(row["a"], row["spread_a"]),
            _mean(row["b"], row["spread_b"]),
            f"{row['mean']:+.4f}",
            interval(row),
            f"{row['p']:.4f}",
            f"{row['p_holm']:.4f}",
            f"{row['wins']}/{row['ties']}/{row['losses']}",
        ]
        for row in comparison["rows"]
    ]


def _mean(mean: float, spread: float | None) -> str:
    return f"{mean:.4f}" if spread is None else f"{mean:.4f} ± {spread:.4f}"


def compare_table(comparison: Mapping[str, Any]) -> Table:
    """The comparison in at most 140 columns."""
    a, b = (f"{side.upper()}: {comparison[side]['name']} ({', '.join(comparison[side]['runs'])})" for side in "ab")
    table = Table(title=f"{a}\n{b}", title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("set", "metric") else "right", no_wrap=True)
    for row in compare_rows(comparison):
        table.add_row(*row)
    return table
