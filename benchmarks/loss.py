"""How long does the loss with its gradient take on given vectors, and what share of this machine's sgemm rate is that?

Ours: `tutelage.losses.guided_contrastive`. Theirs, imported: `GISTEmbedLoss` as documented, and the loss stage of
`CachedGISTEmbedLoss` with the fastest of three mini-batch sizes. Vectors: MiniLM's, of ESCO label pairs where the data
is at hand (else the sample's), turned into D dimensions by a random matrix that keeps their angles.
"""

import argparse
import json
import sys
from functools import partial

import numpy as np
from measure import stages
from measure.given import prepare_vectors, vectors
from measure.machine import gemm_rate
from measure.turns import fastest, keep, take_turns, tell, work
from rich.table import Table

MOST_GIB, MOST_SECONDS = 14, 20  # what a side may need for one run here; beyond that it is not started
MINI_BATCHES = (8, 32, 128)


def ours(rows: int, dim: int, device: str):
    return stages.ours(rows, dim, device), {"sgemm": gemm_rate(device=device)}


def documented(rows: int, dim: int, device: str):
    return stages.documented(rows, dim, device), {}


def best(rows: int, dim: int, device: str):
    sides, guides, _ = vectors(rows, dim, device)
    trials = {size: partial(stages.cached, sides, guides, min(size, rows)) for size in MINI_BATCHES}
    size = fastest({size: run for size, run in trials.items() if size * rows * dim * 4 * 8 / 2**30 < MOST_GIB})
    return trials[size], {"mini_batch_size": size}


SIDES = {"ours": ours, "documented": documented, "best": best}


def startable(rows: int, dim: int, seconds: dict[str, float]) -> list[str]:
    """Sides that fit this machine; time is predicted from the size before (work grows with the square of rows)."""
    unit = rows * rows * dim * 4 / 2**30
    needs = {"ours": 0.0, "documented": 9 * unit, "best": 8 * min(MINI_BATCHES) * rows * dim * 4 / 2**30}
    fits = [side for side in SIDES if needs[side] < MOST_GIB and seconds.get(side, 0) < MOST_SECONDS]
    return ["ours", *(side for side in fits if side != "ours")]


def main(sizes: list[int], dims: list[int], device: str) -> None:
    source, cases = prepare_vectors(max(sizes)), []
    table = Table("D", "N", "ours s", "documented s", "best s", "x documented", "x best", "% of sgemm", "ours GiB")
    for dim in dims:
        expected: dict[str, float] = {}
        before = sizes[0]
        for rows in sizes:
            grown = {side: spent * (rows / before) ** 2 for side, spent in expected.items()}
            found = take_turns(__file__, startable(rows, dim, grown), {"rows": rows, "dim": dim, "device": device})
            expected, before = {side: result["seconds"] for side, result in found.items()}, rows
            expected |= {side: np.inf for side in SIDES if side not in found}
            ratio = {side: found[side]["seconds"] / found["ours"]["seconds"] for side in found}
            share = 24 * rows * rows * dim / found["ours"]["seconds"] / found["ours"]["sgemm"]
            cases.append({"rows": rows, "dim": dim, "share_of_sgemm": share, "ratio": ratio, "sides": found})
            cells = [f"{found[s]['seconds']:.4f}" if s in found else "-" for s in SIDES]
            cells += [f"{ratio[s]:.1f}" if s in ratio else "-" for s in ("documented", "best")]
            facts = {"texts": source, "temperature": stages.TEMPERATURE, "device": device}
            keep("loss", facts | {"cases": cases})  # a broken run keeps its part
            table.add_row(str(dim), str(rows), *cells, f"{100 * share:.0f}", f"{found['ours']['peak_gib']:.2f}")
    tell(table, cases)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        case = json.loads(sys.argv[3])
        work(partial(SIDES[sys.argv[2]], **case), device=case["device"])
    else:
        options = argparse.ArgumentParser(description=__doc__)
        options.add_argument("--rows", type=int, nargs="+", default=[64, 256, 512, 1024, 4096, 16384])
        options.add_argument("--dims", type=int, nargs="+", default=[384, 1024])
        options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        given = options.parse_args()
        main(given.rows, given.dims, given.device)
