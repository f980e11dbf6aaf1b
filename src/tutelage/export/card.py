"""The model card: sentence-transformers' own, with the run's evidence, guide, recipe and attributions put in."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tutelage.evaluate.contents import RULES, SHARE, main_metric
from tutelage.evaluate.report import HEADINGS, before_after_rows, interval
from tutelage.records.attributions import ATTRIBUTIONS

CARD = "README.md"
# sentence-transformers' card opens its details with this heading; ours goes before it.
ANCHOR = "## Model Details"

Report = Mapping[str, Any]


def complete_card(folder: Path, report: Report, recipe: str) -> None:
    """Put the run's figures and recipe into the card that sentence-transformers wrote into ``folder``.

    Args:
        folder: a saved model.
        report: the run's report.
        recipe: the resolved recipe as YAML.
    """
    path = folder / CARD
    path.write_text(with_part(path.read_text(encoding="utf-8"), section(report, recipe)), encoding="utf-8")


def with_part(card: str, part: str) -> str:
    """The card with a part of ours before the details; at its end where it has none."""
    before, anchor, after = card.partition(ANCHOR)
    return before + part + anchor + after if anchor else f"{card.rstrip()}\n\n{part}".lstrip()


def section(report: Report, recipe: str) -> str:
    """The part of the card that is ours, as Markdown; what a run did not measure is left out."""
    parts = {
        "## Before and after": [
            *markdown_table(HEADINGS, before_after_rows(report)),
            "",
            "Intervals: paired bootstrap over the same queries, whole concepts at a time.",
        ],
        "### Beyond retrieval": _table(("set", "figure", *HEADINGS[3:]), list(_beyond(report))),
        "### Matryoshka widths": _widths(report),
        "### What was measured on": _table(("set", "holds"), _held(report)),
        "### Guide and dropped candidates": _guide(report),
        "### How it was made": [*_made(report), "", *_folded(recipe)],
        "### Data and licences": [f"* {attribution}" for attribution in attributions(report)],
    }
    return "".join(f"{heading}\n\n{chr(10).join(lines)}\n\n" for heading, lines in parts.items() if lines)


def attributions(report: Report) -> list[str]:
    """What is owed to the data that a run learned from or was judged by."""
    judged = [name for kind in ("after", "triplets", "general", "gender") for name in report.get(kind) or {}]
    learned = [source["source"] for source in report["recipe"]["data"]["train"]]
    at_hand = [source for source in learned if source not in (report.get("absent") or ())]
    used = " ".join([*judged, *at_hand, *(report.get("origins") or {}).values()])
    return [attribution for source, attribution in ATTRIBUTIONS.items() if source in used]


def _beyond(report: Report) -> Iterator[list[str]]:
    """Triplets at every width, general sets, gendered forms."""
    for name, figures in (report.get("triplets") or {}).items():
        yield from ([name, figure, *_change(row)] for figure, row in figures.items())
    for name, row in (report.get("general") or {}).items():
        yield [name, row["metric"], *_change(row)]
    for name, row in (report.get("gender") or {}).items():
        yield [name, "rank-biased overlap of both forms", *_change(row)]


def _change(row: Mapping[str, Any]) -> list[str]:
    """Before, after, gain, interval."""
    before, after = row["before"], row["after"]
    return [f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}", interval(row)]


def _widths(report: Report) -> list[str]:
    """The main metric of each set at every width, after training."""
    dims, metric = report.get("dims") or {}, main_metric(report)
    widths = list(dict.fromkeys(width for of_set in dims.values() for width in of_set))
    rows = [[name, metric, *(f"{of_set[width][metric]:.4f}" for width in widths)] for name, of_set in dims.items()]
    return _table(("set", "metric", *widths), rows)


def _held(report: Report) -> list[list[str]]:
    judged, seen = report.get("judged") or {}, report.get("queries_seen") or {}
    also = {name: {"of the queries also in training": count} for name, count in seen.items() if count}
    held = {name: {**counts, **also.get(name, {})} for name, counts in judged.items()}
    return [[name, ", ".join(f"{count:,} {what}" for what, count in of.items())] for name, of in held.items()]


def _guide(report: Report) -> list[str]:
    """Whose guide it was, and the share of the candidates that each rule dropped."""
    log = report.get("training", {}).get("log") or []
    named = {f"drop_{rule}": name for rule, name in RULES.items()} | {"drop_partition": SHARE}
    rates = {name: [entry[key] for entry in log if key in entry] for key, name in named.items()}
    rows = [[name, *(f"{r:.4f}" for r in (of[0], of[-1], fmean(of)))] for name, of in rates.items() if of]
    guide = report.get("guide")
    lines = [
        f"Guide: {guide['name']}, fingerprint {guide['fingerprint']}, {guide['texts']:,} texts embedded once."
        if guide
        else "No guide."
    ]
    table = _table(("dropped as, share of the candidates", "first logged", "last logged", "mean"), rows)
    return [*lines, *([""] if table else []), *table] if guide or table else []


def _made(report: Report) -> list[str]:
    machine = report["machine"]
    left_out = report.get("training", {}).get("left_out") or {}
    return [
        f"Fine-tuned with tutelage {report['versions']['tutelage']} (commit {report['commit'] or 'unknown'}) on "
        f"{machine['gpu'] or machine['processor']}, {machine['cores']} cores, {report['finished'][:10]}.",
        *(
            f"Left out of {name}, since a set above holds their texts: {rows:,} rows."
            for name, rows in left_out.items()
        ),
    ]


def _folded(recipe: str) -> list[str]:
    return ["<details><summary>Recipe</summary>", "", "```yaml", recipe.rstrip(), "```", "", "</details>"]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return markdown_table(headings, rows) if rows else []


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    return [f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *escaped)]
