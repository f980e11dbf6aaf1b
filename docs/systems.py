"""The README's table of the three published systems: their authors' figures beside those of our kept reports."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Report = Mapping[str, Any]
Row = list[str]
HEADINGS = ("system", "recipe", "judged by", "published", "before", "after", "95 % interval of the gain")
# What the authors state of their own models (model cards; for GISTEmbed there is no figure on data such as ours).
JOB_TITLES = {
    "talentclef:en": {"map@500": 0.5744, "ndcg@200": 0.7827},
    "talentclef:es": {"map@500": 0.4677, "ndcg@200": 0.6653},
    "talentclef:de": {"map@500": 0.4189, "ndcg@200": 0.6309},
    "talentclef:zh": {"map@500": 0.5277, "ndcg@200": 0.7501},
}
TURKISH = {1024: (0.9642, 0.9979), 768: (0.9639, 0.9978), 512: (0.9632, 0.9977), 256: (0.9601, 0.9975)}  # their dev set


def job_titles(report: Report) -> Iterable[Row]:
    """TalentCLEF's validation sets, which the authors judged by too."""
    for name, metrics in JOB_TITLES.items():
        for metric, published in metrics.items() if name in report["difference"] else ():
            yield [f"{name} {metric}", f"{published:.4f}", *retrieval(report, name, metric)]


def turkish(report: Report) -> Iterable[Row]:
    """Triplet accuracy at every width beside theirs, retrieval, what was forgotten; on other data than theirs."""
    for name, dims in report.get("triplets", {}).items():
        widths = {int(key.removesuffix("d_cosine_accuracy").rpartition("-")[2]): found for key, found in dims.items()}
        theirs = dict(zip(sorted(widths, reverse=True), TURKISH.items(), strict=False))
        for dim, found in widths.items():
            width, (before, after) = theirs[dim]
            published = f"{before:.4f} to {after:.4f} at {width}, their dev set"
            yield [f"{name} accuracy, {dim} dimensions", published, *cells(found["before"], found["after"], found)]
    yield from gistembed(report)


def gistembed(report: Report) -> Iterable[Row]:
    """Every retrieval set, and what was forgotten."""
    for name in report["difference"]:
        yield [f"{name} map", "-", *retrieval(report, name, "map")]
    for name, found in report.get("general", {}).items():
        yield [f"{name} {found['metric']}", "-", *cells(found["before"], found["after"], found)]


def retrieval(report: Report, name: str, metric: str) -> Row:
    """Before, after and interval of a retrieval set."""
    before, after = (report[stage][name][metric] for stage in ("before", "after"))
    return cells(before, after, report["difference"][name][metric])


def cells(before: float, after: float, difference: Mapping[str, Any]) -> Row:
    """Before, after and interval."""
    low, high = difference["low"], difference["high"]
    return [f"{before:.4f}", f"{after:.4f}", "unknown" if low is None else f"{low:+.4f} {high:+.4f}"]


# Recipe -> whose system it repeats, and the rows of its report.
SYSTEMS: dict[str, tuple[str, Callable[[Report], Iterable[Row]]]] = {
    "job_titles_small": ("JobBGE-m3, 568M parameters", job_titles),
    "job_titles_best": ("JobBGE-m3, 568M parameters", job_titles),
    "turkish_matryoshka_small": ("Turkish BGE-M3 Matryoshka, 568M", turkish),
    "gistembed_small": ("GISTEmbed", gistembed),
}
