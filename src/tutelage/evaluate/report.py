"""The report of a run: data first (`report.json`); tables are made from it."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from tutelage.evaluate.retrieval import RetrievalResult
from tutelage.evaluate.significance import corrected, paired_differences

REPORT = "report.json"
TEXTS = ("worst", "audit")  # keys of a report that hold texts of its sets
PACKAGES = ("tutelage", "torch", "sentence-transformers", "transformers", "datasets", "accelerate")


def compare(before: Mapping[str, RetrievalResult], after: Mapping[str, RetrievalResult]) -> dict[str, dict[str, Any]]:
    """``before``, ``after`` and ``difference`` (mean, interval, p-values, wins, ties, losses): set -> metric -> value.

    ``p_holm`` is corrected over the sets, metric by metric: fifteen metrics of one ranking are no fifteen questions.
    """
    found = {
        name: paired_differences(result.values, after[name].values, result.cluster) for name, result in before.items()
    }
    by_metric = {
        metric: corrected({name: {metric: of_set[metric]} for name, of_set in found.items() if metric in of_set})
        for metric in dict.fromkeys(metric for of_set in found.values() for metric in of_set)
    }
    differences = {
        name: {metric: by_metric[metric][name][metric] for metric in of_set} for name, of_set in found.items()
    }
    return {
        "before": {name: result.means for name, result in before.items()},
        "after": {name: result.means for name, result in after.items()},
        "difference": {
            name: {metric: difference.to_dict() for metric, difference in metrics.items()}
            for name, metrics in differences.items()
        },
        "queries": {name: len(result.queries) for name, result in after.items()},
    }


def without_texts(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report's figures alone: the texts of its sets may be others' data, and not to be passed on.

    >>> without_texts({"name": "demo", "worst": {"dev": [{"text": "nurse"}]}})
    {'name': 'demo'}
    """
    return {key: content for key, content in report.items() if key not in TEXTS}


def provenance() -> dict[str, Any]:
    """When, where and with what a figure was measured."""
    return {
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": {package: version(package) for package in PACKAGES} | {"python": platform.python_version()},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _commit() -> str | None:
    """The checkout's commit, with "+" where the library's own files differ from it; none outside a checkout.

    A project that only holds the environment into which the library was installed is not the library's checkout.
    """
    try:
        _git("ls-files", "--error-unmatch", "errors.py")
        commit = _git("describe", "--always", "--abbrev=12", "--exclude=*")
        # Results that are being written, or a note beside the library, change no figure.
        return commit + "+" * bool(_git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str) -> str:
    command = ["git", "-C", str(Path(__file__).parents[1]), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _processor() -> str:
    """The processor's name as Linux tells it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """The content as JSON, the whole file or nothing."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """The whole file or nothing: written beside the target, flushed to disk, renamed."""
    beside = path.with_name(f".{path.name}.partial")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


SHOWN = ("map", "map@500", "ndcg@200", "mrr@10", "accuracy@1")


PLAIN: Any = {"box": SIMPLE_HEAD, "show_edge": False, "pad_edge": False}
HEADINGS = ("set", "queries", "metric", "before", "after", "gain", "95 % interval")


def before_after_rows(report: Mapping[str, Any], metrics: Sequence[str] = ("map", "ndcg@200")) -> list[list[str]]:
    """The rows of every before/after table, under `HEADINGS`."""
    rows = []
    for name, difference in report["difference"].items():
        for metric in (metric for metric in metrics if metric in difference):
            before, after = (f"{report[stage][name][metric]:.4f}" for stage in ("before", "after"))
            change = difference[metric]
            cells = [name, str(report["queries"][name]), metric, before, after, f"{change['mean']:+.4f}"]
            rows.append([*cells, interval(change)])
    return rows


def interval(change: Mapping[str, Any]) -> str:
    """Both ends of a change's interval, where it has one.

    >>> interval({"low": -0.01, "high": 0.02}), interval({"low": None, "high": None})
    ('-0.0100 +0.0200', 'unknown')
    """
    low, high = change.get("low"), change.get("high")
    return "unknown" if low is None or high is None else f"{low:+.4f} {high:+.4f}"


def before_after_table(report: Mapping[str, Any]) -> Table:
    """The run's result on one screen of 80 columns."""
    table = Table(title=f"{report['name']}: before and after", title_justify="left", **PLAIN)
    shown = [column for column, heading in enumerate(HEADINGS) if heading != "queries"]
    for column in shown:
        justify: Any = "left" if HEADINGS[column] in ("set", "metric") else "right"
        table.add_column(HEADINGS[column], justify=justify, no_wrap=True)
    for row in before_after_rows(report):
        table.add_row(*(row[column] for column in shown))
    return table


def metrics_table(means: Mapping[str, Mapping[str, float]], metrics: Sequence[str] = SHOWN) -> Table:
    """One model on several sets: a row a set, a column a metric."""
    table = Table("set", *metrics, **PLAIN)
    for name, values in means.items():
        table.add_row(name, *(f"{values[metric]:.4f}" for metric in metrics))
    return table
