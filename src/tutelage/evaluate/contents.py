"""What the page shows, taken out of a report: the facts of its head, its sections, and the rows of its tables."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from tutelage.evaluate.report import before_after_rows

Report = Mapping[str, Any]
MAIN = ("map", "ndcg@200")
LOGGED = 12
ALPHA = 0.05
RULES = {"guide": "guide", "text": "same text", "group": "same concept", "never": "judged", "self": "itself"}
SHARE = "of the softmax sum"  # what the dropped candidates would have made up of it
SECTIONS = {
    "result": "Before and after",
    "general": "What was forgotten",
    "dims": "Dimensions",
    "languages": "Language by language",
    "worst": "Worst queries",
    "training": "Training",
    "audit": "What the guide does",
    "triplets": "Triplets",
    "gender": "Gendered forms",
    "recipe": "How it was made",
}


def contents(report: Report) -> dict[str, Any]:
    """Everything that the template names, apart from plots."""
    metric = main_metric(report)
    shown = list(dict.fromkeys([metric, *MAIN]))
    of_dims = report.get("dims") or {}
    log = (report.get("training") or {}).get("log") or []
    present = {**report, "result": report["difference"], "training": log or report.get("history")}
    return {
        "report": report,
        "metric": metric,
        "headline": headline(report, metric),
        "facts": facts(report),
        "sections": {name: title for name, title in SECTIONS.items() if present.get(name)},
        "changes": changes(report, shown),
        "all_changes": changes(report, measured_metrics(report)),
        "all_metrics": measured_metrics(report),
        "with_p": any("p_holm" in d for of_set in report["difference"].values() for d in of_set.values()),
        "warned": [name for name, row in (report.get("general") or {}).items() if row.get("warn")],
        "widths": sorted({width for of_set in of_dims.values() for width in of_set}, key=int),
        "worst": [(name, row) for name, rows in (report.get("worst") or {}).items() for row in rows],
        "rules": RULES,
        "share": SHARE,
        "logged_rates": {
            key: name
            for key, name in {**{f"drop_{rule}": name for rule, name in RULES.items()}, "drop_partition": SHARE}.items()
            if any(key in entry for entry in log)
        },
        "lines": len(log),
        "logged": logged(log),
        "recipe": yaml.safe_dump(report["recipe"], sort_keys=False, allow_unicode=True) if report.get("recipe") else "",
    }


def main_metric(report: Report) -> str:
    """The recipe's main metric; without a recipe the first one measured."""
    main = ((report.get("recipe") or {}).get("evaluate") or {}).get("main")
    return main or next(iter(measured_metrics(report)), "map")


def measured_metrics(report: Report) -> list[str]:
    """Every metric that some set was measured by."""
    return list(dict.fromkeys(metric for of_set in report["difference"].values() for metric in of_set))


def headline(report: Report, metric: str) -> str:
    """One sentence: on how many sets the main metric rose, fell, or did neither for sure.

    >>> headline({"difference": {"en": {"map": {"low": 0.1, "high": 0.2}}}}, "map")
    'map: better on 1 of 1 sets.'
    """
    found = Counter(verdict(of_set[metric])[1] for of_set in report["difference"].values() if metric in of_set)
    told = [f"{word} on {found[word]}" for word in ("better", "worse", "unclear") if found[word]]
    if not told:
        return ""
    told[0] += f" of {found.total()} sets"
    return f"{metric}: {', '.join(told)}."


def facts(report: Report) -> dict[str, str]:
    """When, where and with what, and how long it took."""
    machine, seconds = report.get("machine") or {}, report.get("seconds") or {}
    settings = report.get("recipe") or {}
    where = [machine.get("processor"), f"{machine.get('cores')} cores", machine.get("gpu") or "no GPU"]
    steps, also = (report.get("training") or {}).get("steps"), report.get("queries_seen") or {}
    found = {
        "Finished": (report.get("finished") or "")[:16].replace("T", " "),
        "Commit": report.get("commit"),
        "Machine": ", ".join(filter(None, where)) if machine else None,
        "Model": (settings.get("model") or {}).get("name"),
        "Guide": _guide(settings.get("guide") or {}),
        "Trained": f"{steps} steps" if steps else None,
        "Queries also in training": ", ".join(
            f"{name} {seen} of {report['judged'][name]['queries']}" for name, seen in also.items() if seen
        ),
        "Seconds": ", ".join(f"{stage.replace('_', ' ')} {spent:.0f}" for stage, spent in seconds.items()),
    }
    return {name: told for name, told in found.items() if told}


def _guide(settings: Mapping[str, Any]) -> str | None:
    """Its name, or what is made of several."""
    name = settings.get("name")
    return f"{settings.get('combine') or 'mean'} of {', '.join(name)}" if isinstance(name, list) else name


def changes(report: Report, metrics: list[str]) -> list[dict[str, Any]]:
    """The before/after table's rows as data: `cells` under the report's headings, the difference, its verdict."""
    rows = before_after_rows(report, metrics)
    found = [(cells, report["difference"][cells[0]][cells[2]]) for cells in rows]
    return [{"cells": cells, "difference": difference, "verdict": verdict(difference)} for cells, difference in found]


def verdict(difference: Mapping[str, Any]) -> tuple[str, str]:
    """A sign and a word for a difference: better or worse where interval and corrected p-value both say so.

    The 95 % interval lies wholly on one side of zero, and ``p_holm`` (older reports have none) is below `ALPHA`.

    >>> verdict({"low": 0.01, "high": 0.03, "p_holm": 0.002})
    ('▲', 'better')
    """
    low, high, p = (difference.get(part) for part in ("low", "high", "p_holm"))
    if p is not None and p >= ALPHA:
        return "≈", "unclear"
    if low is not None and low > 0:
        return "▲", "better"
    if high is not None and high < 0:
        return "▼", "worse"
    return "≈", "unclear"


def logged(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `LOGGED` lines of a log: the first, the last, and some between at even distance."""
    most = min(len(log), LOGGED)
    return [log[round(line * (len(log) - 1) / max(most - 1, 1))] for line in range(most)]
