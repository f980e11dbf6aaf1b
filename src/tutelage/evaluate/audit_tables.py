"""An audit on one screen: what each rule drops, the margin to choose, and the pairs dropped most often."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from tutelage.evaluate.report import PLAIN

SHOWN_PAIRS = 10


def audit_tables(audit: Mapping[str, Any]) -> list[Table]:
    """Rates by data set and batch size, margins and agreement, and the first pairs of both lists."""
    sizes = [(name, size, found) for name, by_size in audit["sets"].items() for size, found in by_size.items()]
    rules = list(sizes[0][2]["rates"]) if sizes else []
    rates = _table("Share of the candidates that each rule drops", ["set", "batch"], [*rules, "partition"])
    margins = _table(
        f"Margin at which the guide drops {audit['rate']:.2%}", ["set", "batch"],
        ["absolute", "relative", "spearman", "encoder agrees"],
    )  # fmt: skip
    for name, size, found in sizes:
        shares = [*found["rates"].values(), found["partition"]]
        rates.add_row(name, size, *(f"{share:.3%}" for share in shares))
        agreement = found["agreement"]
        margin = found["margin_for_rate"]
        margins.add_row(
            name, size, _number(margin["absolute"]), _number(margin["relative"]), _number(agreement["spearman"]),
            _share(agreement["encoder_drops_too"]),
        )  # fmt: skip
    return [rates, margins, *(_pairs(title, audit[kind]) for kind, title in KINDS.items())]


KINDS = {"dropped": "Dropped most often", "near": "Kept, nearest to the ceiling"}


def _pairs(title: str, rows: list[Mapping[str, Any]]) -> Table:
    table = _table(title, ["anchor", "candidate"], ["guide", "ceiling", "times"])
    for row in rows[:SHOWN_PAIRS]:
        scores = (f"{row[name]:.3f}" for name in ("guide_score", "ceiling"))
        table.add_row(row["anchor"], row["candidate"], *scores, str(row["times"]))
    return table


def _table(title: str, names: list[str], numbers: list[str]) -> Table:
    table = Table(title=title, title_justify="left", **PLAIN)
    for name in names:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"
