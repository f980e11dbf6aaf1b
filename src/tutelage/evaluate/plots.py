"""The report's plots, each a pure function from figures to inline SVG.

Nothing is told by colour alone: before is hatched and after is full, series differ in marker and dash, values that
matter stand beside their marks as text.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

from tutelage.evaluate.svg import STAND_IN, inline_svg, printable

ROW_PX, AXIS_PX, LEGEND_PX = 50, 48, 20
MARKERS, DASHES = "os^Dv*", ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
MANY_POINTS = 25  # from here on a curve goes without markers
Number = int | float  # a report's numbers are JSON's: 1 where 1.0 was meant
Points = tuple[Sequence[Number], Sequence[Number]]


class Change(NamedTuple):
    """One set's value before and after, and the interval of the difference (None where there is none)."""

    name: str
    before: Number
    after: Number
    low: Number | None
    high: Number | None


def bars(changes: Sequence[Change], *, axis: str, label: str, key: str) -> str:
    """Two bars a set; the whisker is where ``after`` may lie: before + the interval of the difference."""

    def draw(axes: Any) -> None:
        for row, change in enumerate(changes):
            top = -row
            axes.text(0, top + 0.32, printable(change.name), va="center")
            axes.barh(
                top, change.before, 0.22, facecolor="none", edgecolor=STAND_IN["before"], hatch="/////", linewidth=1
            )
            axes.barh(top - 0.28, change.after, 0.22, facecolor=STAND_IN["after"])
            right = max(change.before, change.after)
            if change.low is not None and change.high is not None:
                ends = [change.before + change.low, change.before + change.high]
                axes.plot(ends, [top - 0.28] * 2, "|-", color=STAND_IN["ink"], linewidth=1.3, markersize=8)
                right = max(right, *ends)
            axes.annotate(
                f"{change.before:.3f} → {change.after:.3f}", (right, top - 0.14), (6, 0),
                textcoords="offset points", va="center",
            )  # fmt: skip
        most = max(max(change.before, change.after) for change in changes)
        axes.set(xlim=(0, most * 1.4 or 1), ylim=(-len(changes) + 0.4, 0.6), xlabel=axis)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)

    return inline_svg(draw, label=label, key=key, height=ROW_PX * len(changes) + AXIS_PX)


def gains(changes: Sequence[Change], *, axis: str, label: str, key: str) -> str:
    """A mark a set at its gain, a whisker for its interval, a line at zero: full mark where the whisker misses it."""

    def draw(axes: Any) -> None:
        for row, change in enumerate(changes):
            gain = change.after - change.before
            low, high = (gain if end is None else end for end in (change.low, change.high))
            sure = low > 0 or high < 0
            face = STAND_IN["after" if gain > 0 else "before"] if sure else STAND_IN["page"]
            axes.vlines(0, -row - 0.2, -row + 0.2, color=STAND_IN["quiet"], linewidth=1, linestyle="--")
            axes.plot([low, high], [-row] * 2, "|-", color=STAND_IN["ink"], linewidth=1.3, markersize=8)
            axes.plot(
                [gain], [-row], "D", markerfacecolor=face, markeredgecolor=STAND_IN["ink"], markersize=7, zorder=3
            )
            axes.annotate(
                f"{printable(change.name)}  {gain:+.3f}",
                (0, -row + 0.38),
                xycoords=("axes fraction", "data"),
                va="center",
            )
        axes.set(ylim=(-len(changes) + 0.4, 0.6), xlabel=axis)
        axes.margins(x=0.08)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)

    return inline_svg(draw, label=label, key=key, height=ROW_PX * len(changes) + AXIS_PX)


def lines(
    series: Mapping[str, Points],
    *,
    x: str,
    y: str,
    label: str,
    key: str,
    ticks: Sequence[Number] | None = None,
    log_y: bool = False,
) -> str:
    """One curve a series.

    Args:
        series: shown name -> xs and ys.
        x: what the x axis is.
        y: what the y axis is.
        label: for a reader who cannot see it.
        key: of its ids.
        ticks: the x axis is logarithmic and marked there (Matryoshka widths).
        log_y: the y axis is logarithmic; values of zero are left out.
    """

    def draw(axes: Any) -> None:
        for (name, (xs, ys)), marker, dash, number in zip(
            series.items(), cycle(MARKERS), cycle(DASHES), cycle(range(1, 7)), strict=False
        ):
            axes.plot(
                xs, ys, label=printable(name), color=STAND_IN[f"series-{number}"], linestyle=dash,
                marker=marker if len(xs) < MANY_POINTS else None, markersize=5,
            )  # fmt: skip
        if ticks:
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        if log_y:
            axes.set_yscale("log", nonpositive="mask")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
        axes.set(xlabel=x, ylabel=y)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        if len(series) > 1:
            axes.figure.legend(loc="outside lower left", ncols=2, labelcolor=STAND_IN["ink"], handlelength=3)

    legend = LEGEND_PX * ((len(series) + 1) // 2) * (len(series) > 1)
    return inline_svg(draw, label=label, key=key, height=220 + legend)


def histogram(edges: Sequence[Number], counts: Mapping[str, Sequence[Number]], *, x: str, label: str, key: str) -> str:
    """Populations of different sizes over the same bins, each as its share in percent."""

    def draw(axes: Any) -> None:
        looks: list[dict[str, Any]] = [
            {"facecolor": STAND_IN["after"], "edgecolor": STAND_IN["after"], "alpha": 0.75},
            {"facecolor": "none", "edgecolor": STAND_IN["before"], "hatch": "/////"},
        ]
        for (name, values), look in zip(counts.items(), cycle(looks), strict=False):
            whole = sum(values) or 1
            shares = [100 * value / whole for value in values]
            axes.stairs(shares, edges, fill=True, label=f"{printable(name)} ({whole:,.0f})", linewidth=1.2, **look)
        axes.set(xlabel=x, ylabel="share, %")
        axes.figure.legend(loc="outside lower left", ncols=2, labelcolor=STAND_IN["ink"])

    return inline_svg(draw, label=label, key=key, height=220 + LEGEND_PX)
