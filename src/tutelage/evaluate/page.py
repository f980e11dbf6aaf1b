"""`report.html` from `report.json`: one file that opens from disk, asks no network and reads without colour.

The page shows what the report holds and leaves out the rest, so reports of any age make a page. Its policy
(Content-Security-Policy) allows its own style and its own script, known by their hashes, and nothing else.
"""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.errors import ConfigError, DataError
from tutelage.evaluate import figures
from tutelage.evaluate.contents import Report, contents, main_metric
from tutelage.evaluate.plots import Number
from tutelage.evaluate.report import REPORT, interval

PAGE = "report.html"
AUDIT = Path("audit") / "audit.json"  # where an audit of the run's recipe leaves its report


def render(report: Report) -> str:
    """The whole page as HTML.

    Example::

        html = render(json.loads(Path("runs/demo/report.json").read_text()))
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(
        loader=PackageLoader("tutelage", "evaluate"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    pages.filters |= {"value": value, "gain": gain, "percent": percent, "shade": shade, "interval": interval}
    assert pages.loader is not None
    style, script = (pages.loader.get_source(pages, f"page.{kind}")[0] for kind in ("css", "js"))
    plots = figures.plots(report, main_metric(report))
    return pages.get_template("page.html").render(
        contents(report),
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        plots={name: Markup(plot) for name, plot in plots.items()},
    )


def write_page(report: Report, path: Path) -> None:
    """The whole page or nothing: written beside the target, renamed."""
    beside = path.with_name(f".{path.name}.partial")
    beside.write_text(render(report), encoding="utf-8")
    os.replace(beside, path)


def rebuild(run: Path) -> Path:
    """`report.html` anew from a run's `report.json`, with the audit of its guide if the folder holds one.

    Returns:
        The page's path.

    Raises:
        ConfigError, DataError: there is no report, or it is none of ours.
    """
    source = run if run.is_file() else run / REPORT
    if not source.is_file():
        raise ConfigError(f"report {run}: no {REPORT} there. Give the folder of a finished run, or its {REPORT}.")
    report = _read(source)
    if not isinstance(report, dict) or not {"name", "before", "after", "difference", "queries"} <= report.keys():
        raise DataError(f"report {source}: holds no before and after. Wanted the {REPORT} that a run writes.")
    audit = source.parent / AUDIT
    if "audit" not in report and audit.is_file():
        report["audit"] = _read(audit)
    write_page(report, source.with_name(PAGE))
    return source.with_name(PAGE)


def _read(source: Path) -> Any:
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise DataError(f"report {source}: no JSON ({fault}). Wanted the file that a run or an audit writes.") from None


def value(number: Number | None) -> str:
    """Four decimals; "–" for none."""
    return "–" if number is None else f"{number:.4f}"


def gain(number: Number | None) -> str:
    """Four decimals with their sign; "–" for none."""
    return "–" if number is None else f"{number:+.4f}"


def percent(share: Number | None) -> str:
    """A share in percent, three decimals; "–" for none."""
    return "–" if share is None else f"{100 * share:.3f}"


def shade(number: Number, matrix: Sequence[Sequence[Number | None]]) -> int:
    """0 for the lowest number of a matrix to 9 for its highest."""
    numbers = [cell for row in matrix for cell in row if cell is not None]
    low, high = min(numbers), max(numbers)
    return round(9 * (number - low) / (high - low)) if high > low else 0


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
