"""How long is one whole optimizer step, from rows of text to new weights, and what share of the hardware's floor is it?

Ours: `GuidedLoss` with its collator. What `GuidedTrainer` and the guide store do once for all epochs is done before the
clock runs: the guide's vectors, all texts' tokens, the token rows in use (epoch.py has it inside). Theirs, imported:
`GISTEmbedLoss` with the stock collator ("documented"), and the fastest of several settings of `CachedGISTEmbedLoss`
("best"); their guide runs in every step, in the student's precision. All sides: MiniLM student without dropout, the
same batches of distinct concepts, clipping, AdamW. On a GPU student and guide have XLM-R-large's shape, and the texts
are longer.

Floor: 6 flops for each real token (padding left out) and each weight outside the embedding tables, at this machine's
rate of a large matrix product in that precision.
"""

import argparse
import json
import sys
from contextlib import ExitStack
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from measure.machine import gemm_rate
from measure.models import (
    CACHED_SETTINGS,
    LARGE,
    cached_options,
    in_precision,
    minilm,
    optimizer_steps,
    random_encoder,
    trainable,
    weights_used,
)
from measure.texts import description_batches, every_text, label_batches, source
from measure.turns import apart, fastest, keep, take_turns, tell, work
from rich.table import Table
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss, GISTEmbedLoss

from tutelage import GuidedLoss, GuideStore
from tutelage.encode.rows_in_use import rows_in_use
from tutelage.encode.tokens import Tokens

RUN = ExitStack()  # what lasts as long as a worker
TEMPERATURE = 0.05
BATCHES = 6  # a warm-up and five turns
MAX_LENGTH = {"minilm": 64, "large": 30}  # tokens
# What we aim at: (documented, best) over ours.
TARGETS = {("minilm", "fp32"): {64: (2, None), 256: (3.5, 2.5), 512: (8.5, 3.5)}, ("12x768", "fp32"): {64: (4.4, None)}}
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}  # of the loss: only accidental differences in a guide's near ties remain


def student(case: dict[str, Any]):
    made = random_encoder(**LARGE, max_length=30, device="cuda") if case["student"] == "large" else minilm(64)
    return trainable(made, case["precision"])


def guide(case: dict[str, Any]):
    if case["guide"] == "minilm":
        made = minilm(64)
    elif case["guide"] == "large":
        made = random_encoder(**LARGE, max_length=30, seed=1, device="cuda")
    else:
        made = random_encoder(12, 768, 64)
    return in_precision(made.requires_grad_(False), case["precision"]).eval()


def batches(case: dict[str, Any]):
    make = description_batches if case["student"] == "large" else label_batches
    return make(case["rows"], BATCHES)


def ours(**case: Any):
    model, rows = student(case), batches(case)
    texts = [text for batch in rows for row in batch for text in row.values()]
    with TemporaryDirectory() as folder:
        store = GuideStore.build(guide(case), texts, f"{folder}/guide", dtype="float32", progress=None)
    loss_of = GuidedLoss(model, store, temperature=TEMPERATURE)
    used = int(model.preprocess(texts)["attention_mask"].sum()) / len(rows)
    floor = 6 * used * weights_used(model) / gemm_rate(case["precision"], model.device.type)
    # What the trainer does once for a whole run: all of the run's texts tokenised, their token rows made trainable.
    tokens = Tokens.of(model, texts + every_text(descriptions=case["student"] == "large"))
    RUN.enter_context(rows_in_use(model, tokens.in_use()))
    facts = {"tokens": used, "floor_seconds": floor}
    return optimizer_steps(model, loss_of, loss_of.collator(tokens=tokens), rows), facts


def documented(**case: Any):
    model = student(case)
    loss_of = GISTEmbedLoss(model, guide(case), temperature=TEMPERATURE)
    collate = SentenceTransformerDataCollator(model.preprocess)
    return optimizer_steps(model, loss_of, collate, batches(case)), {}


def best(**case: Any):
    model, watching, rows = student(case), guide(case), batches(case)

    def with_setting(setting: tuple[int, int | None]):
        loss_of = CachedGISTEmbedLoss(model, watching, temperature=TEMPERATURE, **cached_options(setting))
        return optimizer_steps(model, loss_of, SentenceTransformerDataCollator(model.preprocess), rows)

    setting = fastest({each: with_setting(each) for each in CACHED_SETTINGS})
    return with_setting(setting), cached_options(setting)


SIDES = {"ours": ours, "documented": documented, "best": best}


def cases(device: str, sizes: list[int]) -> list[dict[str, Any]]:
    """Every case: on a CPU the three questions of this benchmark, on a GPU one regime."""
    if device == "cuda":
        return [{"rows": n, "student": "large", "guide": "large", "precision": "bf16"} for n in sizes]
    plain = [{"rows": n, "student": "minilm", "guide": "minilm", "precision": "fp32"} for n in sizes]
    big = plain[0] | {"guide": "12x768"}
    return [*plain, big, *(case | {"precision": "bf16"} for case in plain[:2])]


def main(device: str, sizes: list[int], repeats: int) -> None:
    results = []
    table = Table("guide", "precision", "N", "ours s", "documented s", "best s", "x documented", "x best", "% of floor",
                  "loss apart")  # fmt: skip
    for case in cases(device, sizes):
        found = take_turns(__file__, list(SIDES), case, repeats)
        seconds = {side: found[side]["seconds"] for side in SIDES}
        ratio = {side: spent / seconds["ours"] for side, spent in seconds.items()}
        share, differ = found["ours"]["floor_seconds"] / seconds["ours"], apart(found)
        aims = TARGETS.get((case["guide"], case["precision"]), {}).get(case["rows"], (None, None))
        results.append(case | {"share_of_floor": share, "loss_apart": differ, "ratio": ratio, "sides": found})
        facts = {"texts": source(), "device": device, "max_length": MAX_LENGTH[case["student"]]}
        keep("step", facts | {"temperature": TEMPERATURE, "cases": results})  # a broken run keeps its part
        aimed = [
            f"{ratio[side]:.1f}" + (f" (aim {aim})" if aim else "")
            for side, aim in zip(("documented", "best"), aims, strict=True)
        ]
        verdict = "same" if differ <= TOLERANCE[case["precision"]] else "NOT THE SAME"
        table.add_row(case["guide"], case["precision"], str(case["rows"]), *(f"{seconds[s]:.3f}" for s in SIDES),
                      *aimed, f"{100 * share:.0f}", f"{differ:.1e} {verdict}")  # fmt: skip
    tell(table, results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        case = json.loads(sys.argv[3])
        with RUN:
            work(partial(SIDES[sys.argv[2]], **case), device="cuda" if case["student"] == "large" else "cpu")
    else:
        options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        options.add_argument("--rows", type=int, nargs="+", default=[64, 256, 512])
        options.add_argument("--repeats", type=int, default=5)
        given = options.parse_args()
        main(given.device, given.rows, given.repeats)
