"""How long does the loss with its gradient take on given vectors, and what share of this machine's sgemm rate is that?

Ours: `tutelage.losses.guided_contrastive`. Theirs, imported: `GISTEmbedLoss` as documented, and the loss stage of
`CachedGISTEmbedLoss` with the fastest of three mini-batch sizes. Vectors: MiniLM's, of ESCO label pairs where the data
is at hand (else the sample's), turned into D dimensions by a random matrix that keeps their angles.
"""

import argparse
import json
import sys
import time
from functools import partial

import numpy as np
from measure.given import Given, prepare_vectors, vectors
from measure.machine import gemm_rate
from measure.turns import keep, take_turns, tell, work
from rich.table import Table
from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss, GISTEmbedLoss

from tutelage.losses import Embedded, guided_contrastive

TEMPERATURE = 0.05
MOST_GIB, MOST_SECONDS = 14, 30  # what a side may need for one run here; beyond that it is not started
MINI_BATCHES = (8, 32, 128)


def ours(rows: int, dim: int):
    sides, guides, ids = vectors(rows, dim)

    def run():
        for side in sides:
            side.grad = None
        parts = [Embedded(*each) for each in zip(sides, guides, ids, strict=True)]
        loss, _ = guided_contrastive(*parts, temperature=TEMPERATURE, drop_same_text=False)
        loss.backward()
        return loss.item()

    return run, {"sgemm": gemm_rate()}


def documented(rows: int, dim: int):
    sides, guides, _ = vectors(rows, dim)
    student, guide = Given(), Given()
    loss_of = GISTEmbedLoss(student, guide, temperature=TEMPERATURE)
    loss_of.must_retokenize = False
    # The guide is asked with copies of the student's features: give each its own vectors by name.
    guide.forward = lambda features: {"sentence_embedding": features["guide"]}

    def run():
        for side in sides:
            side.grad = None
        loss = loss_of([{"vectors": v, "guide": g} for v, g in zip(sides, guides, strict=True)], None)
        loss.backward()
        return loss.item()

    return run, {}


def best(rows: int, dim: int):
    sides, guides, _ = vectors(rows, dim)
    timed = {}
    for size in MINI_BATCHES:
        run = partial(cached, sides, guides, min(size, rows))
        if size * rows * dim * 4 * 8 / 2**30 < MOST_GIB:
            start = time.perf_counter()
            run()
            timed[size] = (time.perf_counter() - start, run)
    size = min(timed, key=lambda each: timed[each][0])
    return timed[size][1], {"mini_batch_size": size}


def cached(sides, guides, size: int) -> float:
    """The loss stage of the cached loss: value, and gradients at its leaves, one leaf a mini-batch."""
    loss_of = CachedGISTEmbedLoss(Given(), Given(), temperature=TEMPERATURE, mini_batch_size=size)
    reps = [[part.detach().requires_grad_() for part in side.split(size)] for side in sides]
    loss, _ = loss_of.calculate_loss_and_cache_gradients(reps, [list(guide.split(size)) for guide in guides])
    return loss.item()


SIDES = {"ours": ours, "documented": documented, "best": best}


def startable(rows: int, dim: int, seconds: dict[str, float]) -> list[str]:
    """Sides that fit this machine; time is predicted from the size before (work grows with the square of rows)."""
    unit = rows * rows * dim * 4 / 2**30
    needs = {"ours": 0.0, "documented": 9 * unit, "best": 8 * min(MINI_BATCHES) * rows * dim * 4 / 2**30}
    return [side for side in SIDES if needs[side] < MOST_GIB and seconds.get(side, 0) < MOST_SECONDS]


def main(sizes: list[int], dims: list[int]) -> None:
    source, cases = prepare_vectors(max(sizes)), []
    table = Table("D", "N", "ours s", "documented s", "best s", "x documented", "x best", "% of sgemm", "ours GiB")
    for dim in dims:
        expected: dict[str, float] = {}
        before = sizes[0]
        for rows in sizes:
            grown = {side: spent * (rows / before) ** 2 for side, spent in expected.items()}
            found = take_turns(__file__, startable(rows, dim, grown), {"rows": rows, "dim": dim})
            expected, before = {side: result["seconds"] for side, result in found.items()}, rows
            expected |= {side: np.inf for side in SIDES if side not in found}
            ratio = {side: found[side]["seconds"] / found["ours"]["seconds"] for side in found}
            share = 24 * rows * rows * dim / found["ours"]["seconds"] / found["ours"]["sgemm"]
            cases.append({"rows": rows, "dim": dim, "share_of_sgemm": share, "ratio": ratio, "sides": found})
            cells = [f"{found[s]['seconds']:.4f}" if s in found else "-" for s in SIDES]
            cells += [f"{ratio[s]:.1f}" if s in ratio else "-" for s in ("documented", "best")]
            keep("loss", {"texts": source, "temperature": TEMPERATURE, "cases": cases})  # a broken run keeps its part
            table.add_row(str(dim), str(rows), *cells, f"{100 * share:.0f}", f"{found['ours']['peak_gib']:.2f}")
    tell(table, cases)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(partial(SIDES[sys.argv[2]], **json.loads(sys.argv[3])))
    else:
        options = argparse.ArgumentParser(description=__doc__)
        options.add_argument("--rows", type=int, nargs="+", default=[64, 256, 512, 1024, 4096, 16384])
        options.add_argument("--dims", type=int, nargs="+", default=[384, 1024])
        given = options.parse_args()
        main(given.rows, given.dims)
