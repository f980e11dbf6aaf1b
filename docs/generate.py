"""Writes what would otherwise drift: `docs/cli.md` from `--help`, and the README's table from the kept report.

Run by `make docs`; a test compares.
"""

import json
import re
from pathlib import Path

from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from tutelage.cli import app
from tutelage.evaluate.report import HEADINGS, before_after_rows
from tutelage.export.card import markdown_table

ROOT = Path(__file__).parents[1]
README, CLI = ROOT / "README.md", ROOT / "docs" / "cli.md"
REPORT = ROOT / "benchmarks" / "results" / "demo.json"
BLOCK = re.compile(r"(<!-- generated: demo -->\n).*?(<!-- end -->)", re.DOTALL)


def cli() -> str:
    """The command line's reference."""
    command = get_command(app)
    return get_docs_for_click(obj=command, ctx=Context(command), name="tutelage").rstrip() + "\n"


def demo_table() -> str:
    """What the demo reached, from its own report."""
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    machine, spent = report["machine"], report["seconds"]
    return "\n".join(
        [
            *markdown_table(HEADINGS, before_after_rows(report)),
            "",
            f"`make demo` on {report['finished'][:10]}, commit {report['commit']}, {machine['processor']}, "
            f"{machine['cores']} cores, no GPU: {report['training']['steps']} steps in {spent['train']:.0f} s, "
            f"{sum(spent.values()):.0f} s with the guide and both evaluations. "
            "Intervals: paired bootstrap, whole concepts at a time. "
            "[All metrics](benchmarks/results/demo.json).",
            "",
        ]
    )


def readme() -> str:
    """The README with its table renewed."""
    return BLOCK.sub(lambda block: block[1] + demo_table() + block[2], README.read_text(encoding="utf-8"))


if __name__ == "__main__":
    CLI.write_text(cli(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")
