"""What do four Matryoshka dimensions cost, in the loss alone and in a whole step, and how much speed does memory buy?

Stage: the loss with its gradient on given vectors, four dimensions and one, guided and not. Theirs, imported:
`MatryoshkaLoss` over `CachedGISTEmbedLoss` (guided), over `MultipleNegativesRankingLoss` ("documented") and its cached
form (not guided), the cached ones with the fastest of several mini-batch sizes. Guided theirs multiplies rows x rows x
dimensions out, so it is compared on fewer rows.

Step: one optimizer step over triplets (label, description, another occupation's description), MiniLM, no guide. Theirs:
`MatryoshkaLoss(CachedMultipleNegativesRankingLoss)`, its fastest setting found on a part of the batch by a process of
its own, so that no peak is the search's. Ours: within the first of several budgets of memory for kept graphs; then, on
fewer rows, within each of them: the curve of speed against memory. Every process does a whole step first, since memory
that is touched for the first time costs more than the graphs that it saves.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from measure.given import Given, prepare_vectors, vectors
from measure.models import cached_options, minilm, optimizer_steps, trainable
from measure.texts import every_text, source, triplets
from measure.turns import Side, apart, fastest, keep, take_turns, tell, work
from rich.table import Table
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.losses import (
    CachedGISTEmbedLoss,
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)

from tutelage import GuidedLoss
from tutelage.encode.rows_in_use import rows_in_use
from tutelage.encode.tokens import Tokens
from tutelage.losses import Embedded, guided_contrastive

RUN = ExitStack()  # what lasts as long as a worker
TEMPERATURE = 0.05
STAGE_DIMS, STEP_DIMS, MAX_LENGTH = (1024, 768, 512, 256), (384, 256, 128, 64), 48
STAGE_SIZES = {True: (8, 32, 128), False: (64, 256, 1024)}  # rows of a chunk of the cached losses, guided or not
# Of the step's cached loss: mini-batch size, and tokens of a mini-batch where they bound it.
STEP_SETTINGS = ((32, None), (128, None), (128, 2048), (128, 8192))
UNGUIDED = {"contrast_anchors": False, "contrast_positives": False}


def stage_ours(rows: int, guided: bool, dims: Sequence[int] = STAGE_DIMS):
    sides, guides, ids = vectors(rows, max(STAGE_DIMS))
    options = {"dims": dict.fromkeys(dims, 1.0), "temperature": TEMPERATURE, "drop_same_text": False}
    options |= {} if guided else UNGUIDED

    def run() -> float:
        for side in sides:
            side.grad = None
        parts = zip(sides, guides if guided else (None, None), ids, strict=True)
        loss, _ = guided_contrastive(*(Embedded(*part) for part in parts), **options)
        loss.backward()
        return loss.item()

    return run, {}


def stage_documented(rows: int, guided: bool):
    sides, _, _ = vectors(rows, max(STAGE_DIMS))
    model = Given()
    loss_of = MatryoshkaLoss(model, MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE), STAGE_DIMS)

    def run() -> float:
        for side in sides:
            side.grad = None
        loss = loss_of([{"vectors": side} for side in sides], None)
        loss.backward()
        return loss.item()

    return run, {}


def stage_best(rows: int, guided: bool):
    sides, guides, _ = vectors(rows, max(STAGE_DIMS))

    def cached(size: int) -> float:
        """The loss stage of the cached loss: value, and gradients at its leaves, one leaf a mini-batch."""
        reps = [[part.detach().requires_grad_() for part in side.split(size)] for side in sides]
        if guided:
            inner = CachedGISTEmbedLoss(Given(), Given(), temperature=TEMPERATURE, mini_batch_size=size)
            MatryoshkaLoss(Given(), inner, STAGE_DIMS)
            loss, _ = inner.calculate_loss_and_cache_gradients(reps, [list(guide.split(size)) for guide in guides])
        else:
            inner = CachedMultipleNegativesRankingLoss(Given(), scale=1 / TEMPERATURE, mini_batch_size=size)
            MatryoshkaLoss(Given(), inner, STAGE_DIMS)
            loss = inner.calculate_loss(reps, with_backward=True)
        return loss.item()

    size = fastest({size: partial(cached, min(size, rows)) for size in STAGE_SIZES[guided]})
    return partial(cached, min(size, rows)), {"mini_batch_size": size}


def step_ours(rows: int, budget: float, **others: Any):
    model, batch = trainable(minilm(MAX_LENGTH), "fp32"), triplets(rows)
    tokens = Tokens.of(model, every_text(descriptions=True))
    RUN.enter_context(rows_in_use(model, tokens.in_use()))
    loss_of = GuidedLoss(
        model, None, temperature=TEMPERATURE, dims=STEP_DIMS, memory_budget=budget,
        **UNGUIDED,
    )  # fmt: skip
    return step(model, loss_of, loss_of.collator(tokens=tokens), batch), {"memory_budget": budget}


def step_best(rows: int, setting: tuple[int, int | None], **others: Any):
    model, batch = trainable(minilm(MAX_LENGTH), "fp32"), triplets(rows)
    return step(model, *cached_step(model, setting), batch), {"setting": setting}


def cached_step(model: Any, setting: tuple[int, int | None]):
    """Their loss in one setting, and the stock collator."""
    inner = CachedMultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE, **cached_options(setting))
    return MatryoshkaLoss(model, inner, STEP_DIMS), SentenceTransformerDataCollator(model.preprocess)


def step(model: Any, loss_of: Any, collate: Any, batch: list[Any]) -> Callable[[], float]:
    """An optimizer step over the batch."""
    return optimizer_steps(model, loss_of, collate, [batch])


def step_search(rows: int):
    model, batch = trainable(minilm(MAX_LENGTH), "fp32"), triplets(rows)
    trials = {each: optimizer_steps(model, *cached_step(model, each), [batch]) for each in STEP_SETTINGS}
    return float, {"setting": fastest(trials)}


STAGE = {
    "ours": stage_ours, "one": partial(stage_ours, dims=STAGE_DIMS[:1]), "documented": stage_documented,
    "best": stage_best,
}  # fmt: skip
STEP = {"ours": step_ours, "best": step_best, "search": step_search}
PARTS = {"stage": STAGE, "step": STEP}


def stage(rows: int, guided: bool, names: Sequence[str]) -> dict[str, Any]:
    """The loss alone: ours with four dimensions and with one, and theirs."""
    case = {"rows": rows, "guided": guided}
    found = take_turns(__file__, ["ours", "one", *names], {"part": "stage", **case})
    ratio = {name: side["seconds"] / found["ours"]["seconds"] for name, side in found.items()}
    differ = apart({name: side for name, side in found.items() if name != "one"})
    return case | {"dims": STAGE_DIMS, "four_over_one": 1 / ratio["one"], "ratio": ratio, "loss_apart": differ,
                   "sides": found}  # fmt: skip


def step_case(rows: int, budget: float, setting: Any, names: Sequence[str], repeats: int) -> dict[str, Any]:
    """The whole step within a budget, with theirs or alone."""
    case = {"rows": rows, "budget": budget, "setting": setting}
    found = take_turns(__file__, list(names), {"part": "step", **case}, repeats)
    ratio = {name: side["seconds"] / found["ours"]["seconds"] for name, side in found.items()}
    return case | {"dims": STEP_DIMS, "ratio": ratio, "loss_apart": apart(found), "sides": found}


def main(rows: int, guided_rows: int, step_rows: int, budget_rows: int, budgets: list[float], repeats: int) -> None:
    facts = {"texts": source(), "temperature": TEMPERATURE, "max_length": MAX_LENGTH}
    results: dict[str, Any] = {"stages": [], "steps": []}
    table = Table("what", "ours s", "documented s", "best s", "x documented", "x best", "loss apart", "four / one",
                  "ours GiB", "best GiB")  # fmt: skip
    prepare_vectors(max(rows, guided_rows))

    def add(kind: str, what: str, case: dict[str, Any]) -> None:
        results[kind].append(case)
        keep("matryoshka", facts | results)  # a broken run keeps its part
        sides, ratio = case["sides"], case["ratio"]
        cells = [f"{sides[name]['seconds']:.3f}" if name in sides else "-" for name in ("ours", "documented", "best")]
        cells += [f"{ratio[name]:.2f}" if name in ratio else "-" for name in ("documented", "best")]
        cells += [f"{case['loss_apart']:.1e}", f"{case['four_over_one']:.2f}" if "four_over_one" in case else "-"]
        cells += [f"{sides[name]['peak_gib']:.2f}" if name in sides else "-" for name in ("ours", "best")]
        table.add_row(what, *cells)

    add("stages", f"loss, guided, {rows} rows", stage(rows, True, []))
    add("stages", f"loss, guided, {guided_rows} rows", stage(guided_rows, True, ["best"]))
    add("stages", f"loss, no guide, {rows} rows", stage(rows, False, ["documented", "best"]))
    search = Side(__file__, "search", {"part": "step", "rows": min(step_rows, 128)})
    setting = search.facts["setting"]
    search.close()
    compared = step_case(step_rows, budgets[0], setting, ["ours", "best"], repeats)
    add("steps", f"step, {step_rows} rows, {budgets[0]} GiB", compared)
    for budget in sorted(budgets):
        add("steps", f"step, {budget_rows} rows, {budget} GiB", step_case(budget_rows, budget, setting, ["ours"], 1))
    tell(table, results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        given = json.loads(sys.argv[3])
        part = given.pop("part")
        with RUN:
            work(partial(PARTS[part][sys.argv[2]], **given), warm_up=sys.argv[2] != "search")
    else:
        options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        options.add_argument("--rows", type=int, default=2048, help="of the loss alone")
        options.add_argument("--guided-rows", type=int, default=256, help="of the guided loss beside theirs")
        options.add_argument("--step-rows", type=int, default=1024, help="triplets of the compared step")
        options.add_argument("--budget-rows", type=int, default=512, help="triplets of the curve")
        options.add_argument(
            "--budgets", type=float, nargs="+", default=[1, 0, 2, 4, 8, 12], help="GiB, the first compared"
        )
        options.add_argument("--repeats", type=int, default=3, help="of the compared step")
        main(**vars(options.parse_args()))
