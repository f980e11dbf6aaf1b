"""The model card: sentence-transformers' own, with the run's before/after table, recipe and attributions put in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.evaluate.report import HEADINGS, before_after_rows

ATTRIBUTIONS = {
    "esco": "This service uses the ESCO classification of the European Commission (https://esco.ec.europa.eu).",
    "talentclef": "TalentCLEF 2025 Task A corpus, doi:10.5281/zenodo.14002665.",
}
CARD = "README.md"
# sentence-transformers' card opens its details with this heading; ours goes before it.
ANCHOR = "## Model Details"


def complete_card(folder: Path, report: Mapping[str, Any], recipe: str) -> None:
    """Put the run's figures and recipe into the card that sentence-transformers wrote into ``folder``.

    Args:
        folder: a saved model.
        report: the run's report.
        recipe: the resolved recipe as YAML.
    """
    path = folder / CARD
    card = path.read_text(encoding="utf-8")
    before, anchor, after = card.partition(ANCHOR)
    ours = section(report, recipe)
    path.write_text(before + ours + anchor + after if anchor else card + "\n" + ours, encoding="utf-8")


def section(report: Mapping[str, Any], recipe: str) -> str:
    """The part of the card that is ours, as Markdown."""
    machine = report["machine"]
    used = " ".join([*report["after"], *(source["source"] for source in report["recipe"]["data"]["train"])])
    lines = [
        "## Before and after",
        "",
        *markdown_table(HEADINGS, before_after_rows(report)),
        "",
        "Intervals: paired bootstrap over the same queries, whole concepts at a time.",
        "",
        f"Fine-tuned with tutelage {report['versions']['tutelage']} (commit {report['commit'] or 'unknown'}) on "
        f"{machine['gpu'] or machine['processor']}, {machine['cores']} cores, {report['finished'][:10]}.",
        "",
        "<details><summary>Recipe</summary>",
        "",
        "```yaml",
        recipe.rstrip(),
        "```",
        "",
        "</details>",
        "",
        *(f"{attribution}\n" for source, attribution in ATTRIBUTIONS.items() if source in used),
    ]
    return "\n".join(lines) + "\n"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows)]
