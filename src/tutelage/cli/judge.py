"""Commands that judge: `evaluate`, `report`."""

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.shared import Json, app, example, out, print_json


@app.command(
    epilog=example(
        "tutelage evaluate runs/demo/model",
        "tutelage evaluate all-MiniLM-L6-v2 --data talentclef:en --data esco-heldout:en --json",
        "tutelage evaluate runs/demo/model --data my-set/   (queries, corpus_elements, qrels.tsv)",
        "tutelage evaluate runs/demo/model --data ~/data   (every set that this folder of real data has)",
    )
)
def evaluate(
    model: Annotated[str, typer.Argument(help="A model folder, all-MiniLM-L6-v2, or a hub name.")],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="A set by name, its folder or zip, or the folder of real data; repeatable."),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Such as ndcg@10 or map; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a model on retrieval sets.

    Default: every set that the folder of real data has, else the held-out sample.
    """
    from tutelage.encode.models import load_model
    from tutelage.evaluate.metrics import DEFAULT_METRICS, parse
    from tutelage.evaluate.report import SHOWN, metrics_table
    from tutelage.evaluate.retrieval import evaluate_retrieval
    from tutelage.records.sources import named_sets, retrieval_set

    for name in metric or []:
        parse(name)
    names, folder = named_sets(data or [])
    sets = [retrieval_set(name, folder) for name in names]
    encoder = load_model(model)
    means = {s.name: evaluate_retrieval(encoder, s, metrics=metric or DEFAULT_METRICS).means for s in sets}
    if as_json:
        return print_json({"model": model, "metrics": means})
    out.print(metrics_table(means, metric or SHOWN))


@app.command(epilog=example("tutelage report runs/demo", "tutelage report runs/demo --open"))
def report(
    run: Annotated[Path, typer.Argument(help="A finished run's folder, or its report.json.")],
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write report.html anew from a run's report.json: one file, opens from disk, loads nothing."""
    from tutelage.evaluate.page import rebuild

    page = rebuild(run)
    out.print(str(page), soft_wrap=True)
    if show:
        typer.launch(page.resolve().as_uri())
