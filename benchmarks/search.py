"""What does exact search cost beyond one matrix product over the rows that it must read?

Random unit vectors, 384 wide, in an index folder of 25 languages of equal size, memory-mapped. Queries are rows with
noise, one alone or 64 together, over everything or in one language (4 % of the rows, which stand together).

Ours: scores and rows of the ten nearest, in settled order (`Snapshot.find`). Hits: the same with their entries, none
of which is at hand from before (`FolderIndex.search`). The floor: the product alone, by the faster of numpy and torch,
into memory that is there already.
"""

import argparse
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from measure.turns import fastest, keep, take_turns, tell, work
from rich.table import Table

from tutelage.serve.exact import FolderIndex
from tutelage.serve.folder import write_version, writing
from tutelage.serve.snapshot import Snapshot

DIM, K, LANGUAGES = 384, 10, 25
LANGUAGE = "l12"  # one in the middle
LEAST_FLOPS = 5e10  # of one measured run, about a second: quick searches are made again and again


def write_index(home: Path, rows: int) -> None:
    """Straight into the folder's format: a million entries as objects would take longer than all the searches."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((rows, DIM), dtype=np.float32)
    for start in range(0, rows, 65536):
        part = vectors[start : start + 65536]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    number = np.arange(rows)
    columns = {
        "text": [f"label {row:08d}" for row in number],
        "concept": [f"c{row // 10:07d}" for row in number],
        "code": [f"{row % 9000 + 1000}.{row % 7}" for row in number],
        "preferred": [f"label {row // 10 * 10:08d}" for row in number],
        "group": [str(row % 9000 + 1000) for row in number],
        "language": [f"l{row * LANGUAGES // rows:02d}" for row in number],
    }
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    with writing(home):
        write_version(home, Snapshot(table, vectors), {"kind": "exact", "fingerprint": "random", "notes": {}}, {})


def given(home: str, queries: int, language: str) -> tuple[FolderIndex, np.ndarray, dict[str, Any], slice]:
    index = FolderIndex(home)
    opened = index.opened
    how = {"languages": [language]} if language else {}
    rows = opened.languages[language] if language else slice(0, len(opened))
    random = np.random.default_rng(1)
    near = opened.vectors[random.integers(rows.start, rows.stop, queries)]
    asked = near + 0.05 * random.standard_normal((queries, DIM), dtype=np.float32)
    return index, asked / np.linalg.norm(asked, axis=1, keepdims=True), how, rows


def again(run, rows: slice, queries: int):
    """The run so often that it can be measured, and how often."""
    times = max(1, round(LEAST_FLOPS / (2 * DIM * queries * (rows.stop - rows.start))))

    def repeated() -> None:
        for _ in range(times):
            run()

    return repeated, {"times": times, "rows_read": rows.stop - rows.start}


def ours(home: str, queries: int, language: str):
    index, asked, how, rows = given(home, queries, language)
    return again(lambda: index.opened.find(asked, K, **how), rows, queries)


def hits(home: str, queries: int, language: str):
    index, asked, how, rows = given(home, queries, language)

    def run() -> None:
        index.opened._at_hand.clear()
        index.search(asked, K, **how)

    return again(run, rows, queries)


def floor(home: str, queries: int, language: str):
    index, asked, _, rows = given(home, queries, language)
    vectors = index.opened.vectors[rows]
    out = np.empty((queries, len(vectors)), np.float32)
    others = [torch.from_numpy(np.asarray(each)) for each in (asked, vectors, out)]
    trials = {
        "numpy": partial(np.matmul, asked, vectors.T, out=out),
        "torch": lambda: torch.mm(others[0], others[1].T, out=others[2]),
    }
    name = fastest(trials)
    repeated, facts = again(trials[name], rows, queries)
    return repeated, {**facts, "by": name}


SIDES = {"ours": ours, "hits": hits, "floor": floor}


def main(sizes: list[int], batches: list[int]) -> None:
    cases: list[dict[str, Any]] = []
    table = Table(
        "rows", "queries", "language", "rows read", "ours ms", "hits ms", "floor ms", "x floor", "hits x floor"
    )
    facts = {"dim": DIM, "k": K, "device": "cpu"}
    for rows in sizes:
        home = Path(mkdtemp(prefix="tutelage-search-"))
        try:
            write_index(home, rows)
            for queries in batches:
                for language in ("", LANGUAGE):
                    case = {"home": str(home), "queries": queries, "language": language}
                    found = take_turns(__file__, list(SIDES), case)
                    ms = {side: 1000 * each["seconds"] / each["times"] for side, each in found.items()}
                    over = {side: ms[side] / ms["floor"] for side in ("ours", "hits")}
                    told = {"rows": rows, "queries": queries, "language": language, "milliseconds": ms}
                    cases.append({**told, "over_floor": over, "sides": found})
                    keep("search", facts | {"cases": cases})  # a broken run keeps its part
                    table.add_row(
                        str(rows), str(queries), "4 %" if language else "all", str(found["ours"]["rows_read"]),
                        *(f"{ms[side]:.3f}" for side in SIDES), f"{over['ours']:.2f}", f"{over['hits']:.2f}",
                    )  # fmt: skip
        finally:
            shutil.rmtree(home)
    tell(table, cases)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(partial(SIDES[sys.argv[2]], **json.loads(sys.argv[3])))
    else:
        options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        options.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
        options.add_argument("--queries", type=int, nargs="+", default=[1, 64])
        asked = options.parse_args()
        main(asked.rows, asked.queries)
