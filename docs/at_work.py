"""The table of the model at work, from the kept results of the benchmarks: no number stands here."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Row = list[str]
HEADINGS = ("question", "ours", "beside it", "ratio")


def encode(result: Mapping[str, Any]) -> Iterable[Row]:
    """Every engine beside sentence-transformers' encode, and what it costs in MAP."""
    cases = {case["side"]: case for case in result["cases"]}
    beside = f"{result['texts'] / cases['documented']['seconds']:,.0f}/s by SentenceTransformer.encode"
    engines = {"ours": "torch engine", "onnx": "ONNX engine", "int8": "8-bit ONNX engine"}
    for side, engine in engines.items():
        case = cases[side]
        cost = round(0 - case["map_drop"], 4)
        question = f"{result['texts']:,} labels embedded, {engine} (MAP {cost:+.4f}, {result['judged_by']})"
        yield [question, f"{result['texts'] / case['seconds']:,.0f}/s", beside, f"{case['ratio']:.2f} x as fast"]


def serve(result: Mapping[str, Any]) -> Iterable[Row]:
    """Throughput and p99 of each engine beside the plain handler, then what happens under too much load."""
    for case in result["cases"]:
        middle = case["middle"]
        of = f"{case['texts']} title{'s' * (case['texts'] > 1)}"
        for side, engine in (("ours", "torch"), ("int8", "8 bits")):
            ours, plain = middle[side], middle["documented"]
            yield [
                f"requests of {of}, {case['clients']} clients, {engine}",
                f"{ours['per_second']:.1f}/s, p99 {ours['p99_ms']:.0f} ms",
                f"{plain['per_second']:.1f}/s, p99 {plain['p99_ms']:.0f} ms by a plain handler",
                f"{case['ratio'][side]:.2f} x",
            ]
    load = result["overload"]
    answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(load["statuses"].items()))
    question = f"{load['clients']} clients at once, ten times what may wait"
    yield [question, answers, "-", f"{load['lost']} lost"]


def search(result: Mapping[str, Any]) -> Iterable[Row]:
    """The search, and the same with its entries read, beside the matrix product alone."""
    for case in result["cases"]:
        where = "one language of 25" if case["language"] else "all"
        ms = case["milliseconds"]
        yield [
            f"exact search, {case['queries']} at once, {case['rows']:,} labels, {where}",
            f"{ms['ours']:.2f} ms, {ms['hits']:.2f} with entries",
            f"{ms['floor']:.2f} ms for the product alone",
            f"{case['over_floor']['ours']:.2f} x, {case['over_floor']['hits']:.2f} x the time",
        ]


def match(result: Mapping[str, Any]) -> Iterable[Row]:
    """Titles a second beside embedding alone, and the peak of memory."""
    ours, alone = (result["titles_per_second"][side] for side in ("ours", "floor"))
    yield [
        f"{result['titles']:,} titles of a CSV matched to {result['labels']:,} labels",
        f"{ours:.0f}/s, {result['peak_gib']:.2f} GiB at its peak",
        f"{alone:.0f}/s for embedding alone",
        f"{alone / ours:.2f} x the time",
    ]


BENCHMARKS: dict[str, Callable[[Mapping[str, Any]], Iterable[Row]]] = {
    "encode": encode, "serve": serve, "search": search, "match": match,
}  # fmt: skip
SHOWN = (  # in the README: how such rows begin
    "20,000 labels embedded, torch", "20,000 labels embedded, 8-bit",
    "requests of", "160 clients", "exact search, 1 at once, 1,000,000 labels, all",
    "exact search, 64 at once, 100,000 labels, one", "exact search, 64 at once, 1,000,000 labels, all",
    "100,000 titles",
)  # fmt: skip
