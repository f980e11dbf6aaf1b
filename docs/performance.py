"""The table of what training and evaluation cost, from the kept results of the benchmarks: no number stands here."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Row = list[str]
LEAST_GIB = 0.01  # below which a ratio would be one of noise
HEADINGS = ("question", "ours", "as documented", "best configured", "documented / ours", "best / ours")


def loss(result: Mapping[str, Any]) -> Iterable[Row]:
    """For each dimension the largest batch that a baseline managed, and the largest of ours."""
    for dim in sorted({case["dim"] for case in result["cases"]}):
        cases = [case for case in result["cases"] if case["dim"] == dim]
        compared = [case for case in cases if len(case["sides"]) > 1]
        for case in [*compared[-1:], *(case for case in cases[-1:] if case not in compared[-1:])]:
            question = (
                f"loss and gradient, N = {case['rows']}, D = {dim} ({case['share_of_sgemm']:.0%} of sgemm's rate)"
            )
            yield row(question, case)


def step(result: Mapping[str, Any]) -> Iterable[Row]:
    """Every case."""
    for case in result["cases"]:
        question = f"optimizer step, {case['student']}, N = {case['rows']}, guide {case['guide']}, {case['precision']}"
        yield row(f"{question} ({case['share_of_floor']:.0%} of the floor's rate)", case)


def epoch(result: Mapping[str, Any]) -> Iterable[Row]:
    """Every case, and how far the loss curves part."""
    for case in result["cases"]:
        times = f"{case['epochs']} epoch{'s' * (case['epochs'] > 1)}"
        yield row(f"{times} of {case['rows']} pairs with the guide's store, batches of {case['batch_size']}", case)
    if compared := result.get("curve"):
        question = f"largest difference of the loss in {compared['steps']} steps of the same batches"
        yield [question, f"{compared['max_apart']:.1e}", "-", "-", "-", "-"]


def matryoshka(result: Mapping[str, Any]) -> Iterable[Row]:
    """The loss alone and the step, with their peaks; the budgets that ours was given."""
    for case in result["stages"]:
        question = f"Matryoshka loss, {'guided' if case['guided'] else 'no guide'}, {len(case['dims'])} dimensions, "
        question += f"N = {case['rows']} ({case['four_over_one']:.2f} x the time of one dimension)"
        yield row(question, case)
    for case in result["steps"]:
        peaks = {name: f" at {side['peak_gib']:.1f} GiB" for name, side in case["sides"].items()}
        question = f"Matryoshka step, {case['rows']} triplets, {case['budget']:g} GiB of graphs kept"
        yield row(question, case, peaks)


def memory(result: Mapping[str, Any]) -> Iterable[Row]:
    """The largest batch that each baseline managed, and the largest of ours."""
    cases = result["cases"]
    chosen = {name: next(c for c in reversed(cases) if name in c["sides"]) for name in ("documented", "cached", "ours")}
    for case in {case["rows"]: case for case in chosen.values()}.values():
        extra = {"best" if name == "cached" else name: gib for name, gib in case["extra_gib"].items()}
        cells = {name: f"{gib:.2f} GiB" for name, gib in extra.items()}
        ratio = {name: gib / extra["ours"] for name, gib in extra.items() if extra["ours"] > LEAST_GIB}
        yield [f"memory of the loss, N = {case['rows']}, D = {result['dim']}", *cells_of(cells, ratio)]


def evaluate(result: Mapping[str, Any]) -> Iterable[Row]:
    """Every size, with its distance from product and top-k alone; and several widths of one model."""
    for case in result["cases"]:
        question = f"retrieval metrics of {case['queries']} queries x {case['documents']} documents, vectors given "
        k = case["sides"]["floor"]["k"]
        yield row(f"{question}({case['over_floor']:.2f} x the time of product and top {k} alone)", case)
    if widths := result.get("widths"):
        texts = {name: f", {count} texts embedded" for name, count in widths["texts_embedded"].items()}
        yield row(f"evaluation of MiniLM at {len(widths['widths'])} widths, {widths['set']}", widths, texts)


def row(question: str, case: Mapping[str, Any], remarks: Mapping[str, str] | None = None) -> Row:
    """Seconds of each side, with a remark beside them where there is one, and the ratios."""
    sides = {name: f"{side['seconds']:.3g} s{(remarks or {}).get(name, '')}" for name, side in case["sides"].items()}
    return [question, *cells_of(sides, case["ratio"])]


def cells_of(sides: Mapping[str, str], ratio: Mapping[str, float]) -> Row:
    """A row's cells beside its question; a dash where nothing was measured."""
    names = ("documented", "best")
    ratios = (f"{ratio[name]:.1f}" if name in ratio and name in sides else "-" for name in names)
    return [*(sides.get(name, "-") for name in ("ours", *names)), *ratios]


BENCHMARKS: dict[str, Callable[[Mapping[str, Any]], Iterable[Row]]] = {
    "loss": loss, "step": step, "epoch": epoch, "matryoshka": matryoshka, "memory": memory,
    "evaluate": evaluate,
}  # fmt: skip
SHOWN = (  # in the README: how such rows begin
    "loss and gradient, N = 1024, D = 384", "optimizer step, minilm, N = 256", "1 epoch", "5 epochs",
    "Matryoshka loss, guided, 4 dimensions, N = 256", "Matryoshka step, 1024", "memory of the loss, N = 1024",
    "evaluation of MiniLM",
)  # fmt: skip
