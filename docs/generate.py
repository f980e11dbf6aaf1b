"""Writes what would otherwise drift: commands, recipe keys, benchmarks, and the README's tables.

Run by `make docs`; a test compares. `python docs/generate.py runs/demo/report.json` keeps the figures of that report
(and of others named after it) first.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import at_work
import performance as performance_table
from recipe_keys import page as recipe_keys
from systems import HEADINGS as SYSTEM_HEADINGS
from systems import SYSTEMS
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from tutelage.cli import app
from tutelage.evaluate.report import HEADINGS, before_after_rows, without_texts, write_json
from tutelage.export.card import markdown_table

ROOT = Path(__file__).parents[1]
README, CLI, KEYS = ROOT / "README.md", ROOT / "docs" / "cli.md", ROOT / "docs" / "recipe.md"
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"
BENCHMARKS_INTRODUCTION = """# Benchmarks

Every row that `make bench` measures, from the kept [results](../benchmarks/results) (`make docs`). Both sides run in
the same run, in alternating processes; what is shown are medians. "Documented" is the sentence-transformers loss as its
documentation shows it, "best" the fastest of its cached losses, samplers and mini-batch sizes. "Sgemm's rate" is that
of a square single-precision matrix product measured in the same run, "the floor" 6 operations a parameter and token at
that rate. What the figures teach, and what was tried without success, stands in the [log](log.md).
"""
RowsOf = Callable[[Mapping[str, Any]], Iterable[list[str]]]
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def cli() -> str:
    """The command line's reference."""
    command = get_command(app)
    return get_docs_for_click(obj=command, ctx=Context(command), name="tutelage").rstrip() + "\n"


def kept(name: str) -> dict[str, Any]:
    """A results file."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def measured(result: dict[str, Any]) -> str:
    """When, at which commit and on what a result was measured."""
    machine = result["machine"]
    return (
        f"{result['finished'][:10]}, commit {result['commit']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['gpu'] or 'no GPU'}, torch {result['versions']['torch']}"
    )


def demo() -> list[str]:
    """What the demo reached, from its own report."""
    report = kept("demo")
    spent = report["seconds"]
    return [
        *markdown_table(HEADINGS, before_after_rows(report)),
        "",
        f"`make demo` on {measured(report)}: {report['training']['steps']} steps in {spent['train']:.0f} s, "
        f"{sum(spent.values()):.0f} s with the guide and both evaluations. "
        "Intervals: paired bootstrap, whole concepts at a time. "
        "[All metrics](benchmarks/results/demo.json).",
    ]


def performance() -> list[str]:
    """What training and evaluation cost, in a few rows."""
    return shown(benchmarked(performance_table.HEADINGS, performance_table.BENCHMARKS), performance_table.SHOWN)


def work() -> list[str]:
    """What the model at work costs, in a few rows."""
    return shown(benchmarked(at_work.HEADINGS, at_work.BENCHMARKS), at_work.SHOWN)


def shown(table: list[str], beginnings: Sequence[str]) -> list[str]:
    """The headings and the rows that begin so, and where the others stand."""
    rows = [line for line in table[2:] if line.startswith(tuple(f"| {beginning}" for beginning in beginnings))]
    return [*table[:2], *rows, "", "All rows, machines and commits: [docs/benchmarks.md](docs/benchmarks.md)."]


def benchmarks() -> str:
    """The page of every row."""
    text = BENCHMARKS_INTRODUCTION
    for title, table in (("Training and evaluation", performance_table), ("The model at work", at_work)):
        lines = "\n".join(benchmarked(table.HEADINGS, table.BENCHMARKS))
        text += f"\n## {title}\n\n{lines.replace('(benchmarks/', '(../benchmarks/')}\n"
    return text


def benchmarked(headings: Sequence[str], benchmarks: Mapping[str, RowsOf]) -> list[str]:
    """A table of benchmarks, as far as they have been run; a GPU's results stand in files of their own."""
    rows: list[list[str]] = []
    places: dict[str, list[str]] = {}
    for name, rows_of in benchmarks.items():
        for file, where in ((name, ""), (f"{name}_cuda", "GPU: ")):
            if (RESULTS / f"{file}.json").is_file():
                result = kept(file)
                rows += [[where + question, *cells] for question, *cells in rows_of(result)]
                places.setdefault(measured(result), []).append(f"[{file}](benchmarks/results/{file}.json)")
    absent = [name for name in benchmarks if not (RESULTS / f"{name}.json").is_file()]
    lines = [*markdown_table(headings, rows), ""] if rows else []
    lines += [f"{', '.join(files)}: {place}." for place, files in places.items()]
    return lines + [f"Not measured yet: {', '.join(absent)}."] * bool(absent)


def systems() -> list[str]:
    """What the recipes of the published systems reached, as far as they were run, and how long that took."""
    rows: list[list[str]] = []
    lines: list[str] = []
    for name, (system, rows_of) in SYSTEMS.items():
        if (RESULTS / f"{name}.json").is_file():
            report = kept(name)
            rows += [[system, name, *cells] for cells in rows_of(report)]
            whole, train = sum(report["seconds"].values()), report["seconds"]["train"]
            lines.append(
                f"* `tutelage train {name}`: {whole / 60:.1f} minutes, {train / 60:.1f} of them training "
                f"({measured(report)}; [all figures](benchmarks/results/{name}.json))"
            )
    absent = [name for name in SYSTEMS if not (RESULTS / f"{name}.json").is_file()]
    table = [*markdown_table(SYSTEM_HEADINGS, rows), "", *lines] if rows else []
    return [*table, *[f"Not run to the end yet: {', '.join(absent)}."] * bool(absent)]


def readme() -> str:
    """The README with its tables renewed."""
    tables = {"demo": demo, "performance": performance, "systems": systems, "work": work}
    text = README.read_text(encoding="utf-8")
    return BLOCK.sub(lambda block: "\n".join([block[1].rstrip(), *tables[block[2]](), block[3]]), text)


if __name__ == "__main__":
    for report in sys.argv[1:]:
        found = json.loads(Path(report).read_text(encoding="utf-8"))
        write_json(RESULTS / f"{found['name']}.json", without_texts(found))
    CLI.write_text(cli(), encoding="utf-8")
    KEYS.write_text(recipe_keys(), encoding="utf-8")
    BENCHMARKS.write_text(benchmarks(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")
