"""Which plots a report is good for: each a caption's worth of data taken out of it, drawn by `plots`."""

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.evaluate.contents import RULES, Report
from tutelage.evaluate.plots import Change, Points, bars, gains, histogram, lines


def plots(report: Report, metric: str) -> dict[str, str]:
    """Name -> SVG of every plot for which the report holds data."""
    made = {
        **set_plots(report, metric),
        "dims": dims_curve(report, metric),
        "loss": loss_curve(report),
        "history": history_curve(report, metric),
        "drops": drops_curve(report),
        **audit_plots(report.get("audit") or {}),
    }
    return {name: plot for name, plot in made.items() if plot}


def set_plots(report: Report, metric: str) -> dict[str, str]:
    """The main metric on every set: before and after, and the gain against zero."""
    found = [
        Change(name, report["before"][name][metric], report["after"][name][metric], d[metric]["low"], d[metric]["high"])
        for name, d in report["difference"].items()
        if metric in d
    ]
    if not found:
        return {}
    values = "; ".join(f"{change.name} {change.before:.3f} before, {change.after:.3f} after" for change in found)
    gained = "; ".join(f"{change.name} {change.after - change.before:+.3f}" for change in found)
    return {
        "sets": bars(found, axis=metric, label=f"{metric} per set: {values}", key="plot-sets"),
        "gains": gains(found, axis=f"gain in {metric}", label=f"Gain per set: {gained}", key="plot-gains"),
    }


def dims_curve(report: Report, metric: str) -> str:
    """The main metric against the width to which vectors are cut."""
    series: dict[str, Points] = {}
    for name, widths in (report.get("dims") or {}).items():
        found = sorted((int(width), means[metric]) for width, means in widths.items() if metric in means)
        if found:
            series[name] = [width for width, _ in found], [value for _, value in found]
    ticks = sorted({width for widths, _ in series.values() for width in widths})
    label = f"{metric} against the number of dimensions kept, one curve a set; figures in the table"
    return lines(series, x="dimensions", y=metric, label=label, key="plot-dims", ticks=ticks) if series else ""


def loss_curve(report: Report) -> str:
    """The training loss by step."""
    found = _by_step(report.get("training", {}).get("log", []), {"loss": "loss"})
    if not found:
        return ""
    values = found["loss"][1]
    label = f"Training loss by step, from {values[0]:.3f} to {values[-1]:.3f}"
    return lines(found, x="step", y="loss", label=label, key="plot-loss")


def history_curve(report: Report, metric: str) -> str:
    """The main metric of every evaluation during training."""
    history = report.get("history") or []
    ending = f" {metric}"  # behind the set's name
    keys = dict.fromkeys(key for entry in history for key in entry if key.endswith(ending))
    names = {key: key.removesuffix(ending) for key in keys}
    found = _by_step(history, names)
    label = f"{metric} of the evaluations during training by step, one curve a set"
    return lines(found, x="step", y=metric, label=label, key="plot-history") if found else ""


def drops_curve(report: Report) -> str:
    """The share of candidates that each rule dropped, by step; a rule that never dropped one is left out."""
    log = report.get("training", {}).get("log", [])
    used = {f"drop_{rule}": name for rule, name in RULES.items() if any(entry.get(f"drop_{rule}") for entry in log)}
    found = {name: (steps, [100 * rate for rate in rates]) for name, (steps, rates) in _by_step(log, used).items()}
    label = "Candidates dropped by each rule, in percent, by step"
    return lines(found, x="step", y="dropped, %", label=label, key="plot-drops") if found else ""


def _by_step(log: list[dict[str, Any]], names: Mapping[str, str]) -> dict[str, Points]:
    """Shown name -> (steps, values) of the keys that some entry holds."""
    series: dict[str, Points] = {}
    for key, name in names.items():
        found = [(entry["step"], entry[key]) for entry in log if key in entry]
        if found:
            series[name] = [step for step, _ in found], [value for _, value in found]
    return series


def audit_plots(audit: Mapping[str, Any]) -> dict[str, str]:
    """Guide scores and drop rate against margin of each data set, at the first batch size audited."""
    made: dict[str, str] = {}
    for number, (name, sizes) in enumerate((audit.get("sets") or {}).items()):
        seen = next(iter(sizes.values()))
        edges, counts = _filled(audit["bins"], seen["histogram"])
        label = f"{name}: guide scores of positives and of in-batch negatives, as shares of each"
        key = f"scores-{number}"
        made[key] = histogram(edges, counts, x="guide score", label=label, key=f"plot-{key}")
        curves = {
            strategy: (audit["margins"], [100 * rate for rate in rates])
            for strategy, rates in seen["rate_at_margin"].items()
        }
        label = f"{name}: candidates that the guide drops, in percent, against the margin, one curve a strategy"
        key = f"margins-{number}"
        made[key] = lines(curves, x="margin", y="dropped, %", label=label, key=f"plot-{key}", log_y=True)
    return made


def _filled(
    edges: Sequence[float], counts: Mapping[str, Sequence[int]]
) -> tuple[Sequence[float], dict[str, Sequence[int]]]:
    """The bins from the first to the last that holds something."""
    held = [place for place in range(len(edges) - 1) if any(values[place] for values in counts.values())]
    first, last = (held[0], held[-1] + 1) if held else (0, len(edges) - 1)
    return edges[first : last + 1], {name: values[first:last] for name, values in counts.items()}
