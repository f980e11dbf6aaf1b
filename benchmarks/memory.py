"""How much memory does the loss with its gradient take, against the number of rows?

Each size in a fresh process, D = 384, on given vectors (beyond 16,384 rows they are repeated): resident memory at the
peak of one call, above that before it. Ours splits into what grows with rows x dimensions (gradients, unit vectors; by
the slope between the two largest sizes) and the rest, which should be flat. Theirs, imported: `GISTEmbedLoss` as
documented, and the loss stage of `CachedGISTEmbedLoss` with its default mini-batch size, where a call is predicted to
fit memory and patience. On a GPU: allocated memory.
"""

import argparse
import json
import sys
from functools import partial
from typing import Any

from measure import stages
from measure.given import prepare_vectors, vectors
from measure.turns import apart, keep, take_turns, tell, work
from rich.table import Table

DIM, MINI_BATCH = 384, 32
MOST_GIB, MOST_SECONDS = 12, 60  # what a call of theirs may need; beyond that it is not started
AIM_ROWS, AIM_GIB = 65536, 8  # in this much memory in all


def cached(rows: int, dim: int, device: str):
    sides, guides, _ = vectors(rows, dim, device)
    return partial(stages.cached, sides, guides, MINI_BATCH)


SIDES = {"ours": stages.ours, "documented": stages.documented, "cached": cached}


def prepare(name: str, rows: int, device: str):
    """One call of a side, after a small one: what a process takes once is no part of the answer."""
    SIDES[name](64, DIM, device)()
    return SIDES[name](rows, DIM, device), {}


def startable(rows: int, seconds: dict[str, float]) -> list[str]:
    """The sides that fit; seconds are predicted from the size before."""
    unit = rows * DIM * 4 / 2**30
    needs = {"ours": 0.0, "documented": 9 * rows * unit, "cached": 8 * MINI_BATCH * unit}
    return [side for side in SIDES if side == "ours" or (needs[side] < MOST_GIB and seconds[side] < MOST_SECONDS)]


def split(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Ours as slope and rest: vectors' worth of memory that each row takes, and GiB beside it at every size."""
    (rows, extra), (more_rows, more) = ((case["rows"], case["extra_gib"]["ours"]) for case in cases[-2:])
    slope = (more - extra) / (more_rows - rows)
    rest = {case["rows"]: case["extra_gib"]["ours"] - slope * case["rows"] for case in cases}
    return {"vectors_per_row": slope * 2**30 / (DIM * 4), "rest_gib": rest}


def main(sizes: list[int], device: str) -> None:
    facts = {"texts": prepare_vectors(max(sizes)), "dim": DIM, "device": device, "temperature": stages.TEMPERATURE}
    cases: list[dict[str, Any]] = []
    expected = dict.fromkeys(SIDES, 0.0)
    for number, rows in enumerate(sizes):
        grown = (rows / sizes[max(number - 1, 0)]) ** 2
        names = startable(rows, {side: spent * grown for side, spent in expected.items()})
        found = take_turns(__file__, names, {"rows": rows, "device": device}, repeats=1)
        expected = {side: found[side]["seconds"] if side in found else float("inf") for side in SIDES}
        extra = {side: result["peak_gib"] - result["before_gib"] for side, result in found.items()}
        cases.append({"rows": rows, "extra_gib": extra, "loss_apart": apart(found), "sides": found})
        keep("memory", facts | {"cases": cases})  # a broken run keeps its part
    parts = split(cases)
    keep("memory", facts | {"cases": cases, "split": parts})

    table = Table("N", "ours GiB", "of it rest", "documented GiB", "cached GiB", "ours s", "ours in all", "loss apart")
    for case in cases:
        extra, ours, rows = case["extra_gib"], case["sides"]["ours"], case["rows"]
        others = [f"{extra[side]:.3f}" if side in extra else "-" for side in ("documented", "cached")]
        whole = f"{ours['peak_gib']:.2f}" + (f" (aim {AIM_GIB})" if rows == AIM_ROWS else "")
        table.add_row(str(rows), f"{extra['ours']:.3f}", f"{parts['rest_gib'][rows]:.3f}", *others,
                      f"{ours['seconds']:.2f}", whole, f"{case['loss_apart']:.1e}")  # fmt: skip
    table.caption = f"The rest: beside {parts['vectors_per_row']:.1f} vectors of float32 a row."
    tell(table, {"cases": cases, "split": parts})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        case = json.loads(sys.argv[3])
        work(partial(prepare, sys.argv[2], **case), warm_up=False, device=case["device"])
    else:
        options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        options.add_argument(
            "--rows", type=int, nargs="+", default=[256, 512, 1024, 4096, 16384, 65536], help="two at least"
        )
        options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        given = options.parse_args()
        main(given.rows, given.device)
