"""Commands that judge: `evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.shared import Json, app, err, example, out, print_json
from tutelage.errors import ConfigError


@app.command(
    epilog=example(
        "tutelage evaluate runs/demo/model",
        "tutelage evaluate all-MiniLM-L6-v2 --data talentclef:en --data esco-heldout:en --json",
        "tutelage evaluate all-MiniLM-L6-v2 --data esco-mix:en-de --dim 384 --dim 128",
        "tutelage evaluate runs/demo/model --data my-set/   (queries, corpus_elements, qrels.tsv)",
        "tutelage evaluate runs/demo/model --data ~/data   (every set that this folder of real data has)",
        "tutelage evaluate runs/demo/model --data talentclef:en --out runs/talentclef --depth 5000",
        "tutelage evaluate --run runs/talentclef/talentclef-en.run --data talentclef:en",
    )
)
def evaluate(
    model: Annotated[str | None, typer.Argument(help="A model folder, all-MiniLM-L6-v2, or a hub name.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="A set by name, its folder or zip, or the folder of real data; repeatable."),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Such as ndcg@10 or map; repeatable.")] = None,
    dim: Annotated[list[int] | None, typer.Option("--dim", help="A Matryoshka width, too; repeatable.")] = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="A folder for TREC run and qrels files and per-query values.")
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="Entries of each query in a run file.")] = 1000,
    run: Annotated[Path | None, typer.Option("--run", help="Judge this TREC run file, no model, on one set.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a model, or a run file, on retrieval sets.

    Default: every set that the folder of real data has, else the held-out sample.
    """
    from tutelage.encode.models import load_model
    from tutelage.evaluate.metrics import DEFAULT_METRICS, parse
    from tutelage.evaluate.report import SHOWN, metrics_table
    from tutelage.evaluate.sets import evaluate_sets, means_by_dim
    from tutelage.evaluate.trec import evaluate_run, missing_queries, read_run
    from tutelage.records.sources import named_sets, retrieval_set

    for name in metric or []:
        parse(name)
    if (model is None) == (run is None):
        raise ConfigError("evaluate: wanted a model, or --run with a run file, and not both. Give one of them.")
    names, folder = named_sets(data or [])
    if run is not None and (len(names) != 1 or dim or output):
        raise ConfigError("evaluate: --run goes with one --data set, and without --dim and --out. Give no more.")
    sets = [retrieval_set(name, folder) for name in names]
    metrics = metric or DEFAULT_METRICS
    if run is not None:
        read = read_run(run)
        results = [evaluate_run(sets[0], read, metrics)]
        if missing := missing_queries(sets[0], read):
            err.print(f"note: {len(missing)} of {len(results[0].queries)} queries are not in the run and count 0.")
    else:
        results = evaluate_sets(
            load_model(str(model)), sets, metrics=metrics, dims=[*dict.fromkeys(dim or [])], folder=output, depth=depth
        )
    if as_json:
        means = {result.name: result.means for result in results if result.dim is None}
        return print_json({"model": model, "run": run and str(run), "metrics": means, "dims": means_by_dim(results)})
    named = {r.name if r.dim is None else f"{r.name} at {r.dim}": r.means for r in results}
    out.print(metrics_table(named, metric or SHOWN))
