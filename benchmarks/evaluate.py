"""How long does retrieval evaluation take once texts are embedded, and what do several Matryoshka widths cost?

Random unit vectors, 384 wide, about 20 relevant documents a query. Ours: `tutelage.evaluate.retrieval` from vectors and
id dictionaries to the mean of every metric, MAP without a cut-off and each query's first ten included. Theirs,
imported: `InformationRetrievalEvaluator` with a model that hands out the same vectors. The floor: product and top-k
alone, with the fastest of three tile heights. Cut-offs: those of the published job-title model (top 500), and
sentence-transformers' defaults (top 100).

Widths: MiniLM on TalentCLEF's English set (else the held-out sample), five widths. Ours: one encode. Theirs: an
evaluator for each width, as the Matryoshka documentation has it.
"""

import argparse
import json
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import torch
from measure.models import minilm
from measure.turns import apart, fastest, keep, take_turns, tell, work
from rich.table import Table
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import cos_sim

from tutelage.evaluate import retrieval
from tutelage.records.data_folder import data_folder
from tutelage.records.judged import retrieval_set
from tutelage.records.retrieval import RetrievalSet

DIM, RELEVANT = 384, 20
PUBLISHED, DEFAULTS = [1, 20, 50, 100, 150, 200], [1, 3, 5, 10]
CUTS = {
    "published": dict.fromkeys(("accuracy", "precision_recall", "ndcg", "mrr"), PUBLISHED) | {"map": [*PUBLISHED, 500]},
    "defaults": {"accuracy": DEFAULTS, "precision_recall": DEFAULTS, "ndcg": [10], "mrr": [10], "map": [100]},
}
WIDTHS = [384, 256, 128, 64, 32]
SHOWN = "map@100"  # what both sides' figures are compared by


def given(queries: int, documents: int) -> tuple[torch.Tensor, torch.Tensor, RetrievalSet]:
    """Vectors, and a set whose relevance is random: the work does not depend on how good the vectors are."""
    random = np.random.default_rng(0)
    vectors = torch.from_numpy(random.standard_normal((queries + documents, DIM), dtype=np.float32))
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    counts = random.integers(1, min(2 * RELEVANT, documents + 1), queries)
    relevance = {
        f"q{query}": frozenset(f"d{row}" for row in random.choice(documents, count, replace=False))
        for query, count in enumerate(counts)
    }
    texts = {f"q{query}": f"query {query}" for query in range(queries)}
    corpus = {f"d{row}": f"document {row}" for row in range(documents)}
    return vectors[:queries], vectors[queries:], RetrievalSet("random", texts, corpus, relevance)


def names_of(cuts: dict[str, list[int]]) -> list[str]:
    named = [(name, k) for name, ks in cuts.items() for k in ks]
    return [f"{each}@{k}" for name, k in named for each in name.split("_")]


def ours(queries: int, documents: int, cuts: str):
    asked, corpus, found = given(queries, documents)
    vectors = torch.cat([asked, corpus]).numpy()
    retrieval.encode = lambda model, texts, progress: vectors  # the texts come in this order
    metrics = ["map", *names_of(CUTS[cuts])]
    return lambda: retrieval.evaluate_retrieval(None, found, metrics=metrics).means[SHOWN], {}


def documented(queries: int, documents: int, cuts: str):
    asked, corpus, found = given(queries, documents)
    model = SimpleNamespace(
        encode_query=lambda *texts, **options: asked, encode_document=lambda *texts, **options: corpus,
        similarity=cos_sim, similarity_fn_name="cosine", model_card_data=Mock(),
    )  # fmt: skip
    evaluator = evaluator_of(found, {f"{name}_at_k": ks for name, ks in CUTS[cuts].items()})
    return lambda: evaluator(model)[f"cosine_{SHOWN}"], {}


def floor(queries: int, documents: int, cuts: str):
    asked, corpus, _ = given(queries, documents)
    k = min(max(k for ks in CUTS[cuts].values() for k in ks), documents)

    def product_and_top(tile: int) -> float:
        for part in asked.split(tile):
            (part @ corpus.T).topk(k, dim=1)
        return 0.0

    trials = {tile: partial(product_and_top, tile) for tile in (64, 256, queries)}
    tile = fastest(trials)
    return trials[tile], {"tile": tile, "k": k}


def evaluator_of(found: RetrievalSet, options: dict[str, Any]) -> InformationRetrievalEvaluator:
    relevance = {query: set(entries) for query, entries in found.relevance.items()}
    return InformationRetrievalEvaluator(found.queries, found.corpus, relevance, write_csv=False, **options)


def widths_set() -> RetrievalSet:
    folder = data_folder()
    return retrieval_set("sample-heldout:en" if folder is None else "talentclef:en", folder)


def counted(model, run):
    """The run, telling how many texts went through the model."""
    passed: list[int] = []
    model[0].register_forward_pre_hook(lambda module, inputs: passed.append(len(inputs[0]["input_ids"])))

    def counting() -> int:
        passed.clear()
        run()
        return sum(passed)

    return counting


def ours_widths():
    model, found = minilm(64), widths_set()
    return counted(model, lambda: retrieval.evaluate_dims(model, found, WIDTHS, progress=False)), {}


def documented_widths():
    model, found = minilm(64), widths_set()
    evaluators = [evaluator_of(found, {"truncate_dim": width}) for width in WIDTHS]
    return counted(model, lambda: [evaluator(model) for evaluator in evaluators]), {}


SIDES = {
    "ours": ours, "documented": documented, "floor": floor,
    "ours_widths": ours_widths, "documented_widths": documented_widths,
}  # fmt: skip


def main(sizes: list[tuple[int, int, str]]) -> None:
    cases: list[dict[str, Any]] = []
    table = Table(
        "queries", "documents", "cuts", "ours s", "documented s", "floor s", "x documented", "x floor", "apart"
    )
    facts: dict[str, Any] = {"dim": DIM, "relevant_per_query": RELEVANT, "device": "cpu"}
    for queries, documents, cuts in sizes:
        case = {"queries": queries, "documents": documents, "cuts": cuts}
        found = take_turns(__file__, ["ours", "documented", "floor"], case)
        ratio = {side: found[side]["seconds"] / found["ours"]["seconds"] for side in ("documented", "floor")}
        compared = apart({side: found[side] for side in ("ours", "documented")})
        over = 1 / ratio["floor"]
        cases.append({**case, "over_floor": over, "ratio": ratio, "map_apart": compared, "sides": found})
        keep("evaluate", facts | {"cases": cases})  # a broken run keeps its part
        seconds = (f"{found[side]['seconds']:.3f}" for side in ("ours", "documented", "floor"))
        table.add_row(str(queries), str(documents), cuts, *seconds, f"{ratio['documented']:.1f}", f"{over:.2f}",
                      f"{compared:.1e}")  # fmt: skip
    found = take_turns(__file__, ["ours_widths", "documented_widths"], {})
    found = {side.removesuffix("_widths"): result for side, result in found.items()}
    texts = {side: result["values"][0] for side, result in found.items()}
    ratio = {"documented": found["documented"]["seconds"] / found["ours"]["seconds"]}
    widths = {"set": widths_set().name, "widths": WIDTHS, "texts_embedded": texts, "ratio": ratio, "sides": found}
    keep("evaluate", facts | {"cases": cases, "widths": widths})
    table.caption = (
        f"{len(WIDTHS)} widths of MiniLM: {found['ours']['seconds']:.2f} s with {texts['ours']} texts embedded, "
        f"theirs {found['documented']['seconds']:.2f} s with {texts['documented']}"
    )
    tell(table, {"cases": cases, "widths": widths})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(partial(SIDES[sys.argv[2]], **json.loads(sys.argv[3])))
    else:
        options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        options.add_argument("--queries", type=int, nargs="+", default=[2000, 2000, 20000])
        options.add_argument("--documents", type=int, nargs="+", default=[50000, 50000, 2000])
        options.add_argument("--cuts", choices=tuple(CUTS), nargs="+", default=["published", "defaults", "published"])
        asked = options.parse_args()
        main([*zip(asked.queries, asked.documents, asked.cuts, strict=True)])
