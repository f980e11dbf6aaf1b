"""How fast does a model embed, by torch and in 8 bits, beside sentence-transformers' own encode?

MiniLM and 20,000 English ESCO labels in random order (else the sample's, each with a number after it). ``documented``:
`SentenceTransformer.encode`, which sorts by length itself, with the fastest of four batch sizes. ``ours``: the torch
engine. ``onnx``, ``int8``: the exports' engine. MAP on TalentCLEF's English set (else the held-out sample) is asked of
each engine, and how far its vectors lie from the documented ones.
"""

import argparse
import json
import shutil
import sys
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
from measure.models import minilm
from measure.texts import every_text
from measure.turns import fastest, keep, take_turns, tell, work
from rich.table import Table

from tutelage.encode.models import MINILM
from tutelage.evaluate.retrieval import embed_set, measure
from tutelage.export.onnx import export_onnx
from tutelage.records.data_folder import data_folder
from tutelage.records.judged import retrieval_set
from tutelage.serve.engine import load_engine

EXPORTED = Path(gettempdir()) / "tutelage-benchmark-minilm"
BATCH_SIZES = (32, 64, 128, 256)
TRIED_ON = 2000  # texts that the batch size is chosen on
KINDS = {"ours": "torch", "onnx": "onnx", "int8": "onnx-int8"}


def texts_of(count: int) -> list[str]:
    """Distinct labels in random order; numbered, where there are not so many."""
    found = list(dict.fromkeys(every_text()))
    rounds = (text if not turn else f"{text} {turn}" for turn in range(1 + count // len(found)) for text in found)
    pool = found if len(found) >= count else list(islice(rounds, count))
    return [pool[row] for row in np.random.default_rng(0).permutation(len(pool))[:count]]


def judged_by() -> str:
    return "sample-heldout:en" if data_folder() is None else "talentclef:en"


def facts_of(embed, texts: list[str]) -> dict[str, Any]:
    """MAP, and a few vectors to compare by; asked before anything is timed."""
    found = measure(embed_set(embed, retrieval_set(judged_by(), data_folder())), ["map", "ndcg@10"]).means
    return {**found, "vectors": embed(texts[:256]).tolist()}


def documented(texts: int):
    model, wanted = minilm(256), texts_of(texts)

    def run(size: int, some: list[str]) -> np.ndarray:
        return model.encode(some, batch_size=size, normalize_embeddings=True, show_progress_bar=False)

    size = fastest({size: partial(run, size, wanted[:TRIED_ON]) for size in BATCH_SIZES})
    facts = facts_of(partial(run, size), wanted)
    return lambda: float(run(size, wanted).sum()), {"batch_size": size, **facts}


def engine(kind: str, texts: int):
    wanted, found = texts_of(texts), load_engine(str(EXPORTED), kind)
    return lambda: float(found.encode(wanted).sum()), facts_of(lambda some: found.encode(some), wanted)


SIDES = {"documented": documented, **{name: partial(engine, kind) for name, kind in KINDS.items()}}


def main(texts: int, repeats: int) -> None:
    shutil.rmtree(EXPORTED, ignore_errors=True)
    manifest = export_onnx(MINILM, int8=True, out=EXPORTED, data=data_folder(), force=True)
    found = take_turns(__file__, list(SIDES), {"texts": texts}, repeats)
    vectors = {side: np.array(result.pop("vectors"), np.float32) for side, result in found.items()}
    whole = found["documented"]
    table = Table("side", "seconds", "texts/s", "x documented", "vectors apart", "MAP", "drop", title=f"{texts} labels")
    cases = []
    for side, result in found.items():
        cases.append(
            {
                "side": side,
                "seconds": result["seconds"],
                "ratio": whole["seconds"] / result["seconds"],
                "vectors_apart": float(np.abs(vectors[side] - vectors["documented"]).max()),
                "least_cosine": float((vectors[side] * vectors["documented"]).sum(1).min()),
                "map": result["map"],
                "map_drop": whole["map"] - result["map"],
            }
        )
        of = cases[-1]
        table.add_row(side, f"{of['seconds']:.2f}", f"{texts / of['seconds']:.0f}", f"{of['ratio']:.2f}",
                      f"{of['vectors_apart']:.1e}", f"{of['map']:.4f}", f"{of['map_drop']:+.4f}")  # fmt: skip
    facts = {"texts": texts, "judged_by": judged_by(), "device": "cpu", "gate": manifest.gate}
    keep("encode", facts | {"cases": cases, "sides": found})
    tell(table, cases)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(partial(SIDES[sys.argv[2]], **json.loads(sys.argv[3])))
    else:
        options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        options.add_argument("--texts", type=int, default=20_000)
        options.add_argument("--repeats", type=int, default=5)
        asked = options.parse_args()
        main(asked.texts, asked.repeats)
