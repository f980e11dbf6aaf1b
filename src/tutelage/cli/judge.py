"""Commands that judge: `evaluate`, `compare`."""

from typing import Annotated, Literal

import typer
from rich.console import Console

from tutelage.cli.shared import Json, app, err, example, out, print_json


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


@app.command(
    epilog=example(
        "tutelage compare runs/plain runs/guided",
        "tutelage compare runs/plain runs/guided --metric map --metric ndcg@10 --json",
        "tutelage compare runs/plain-1,runs/plain-2 runs/guided-1,runs/guided-2   (several seeds of each)",
    )
)
def compare(
    run_a: Annotated[str, typer.Argument(help="Output folder of a run; of several seeds, joined by commas.")],
    run_b: Annotated[str, typer.Argument(help="The same of the system that may be better.")],
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Such as map (default); repeatable.")] = None,
    stage: Annotated[Literal["before", "after"], typer.Option(help="Measured before or after training.")] = "after",
    dim: Annotated[int | None, typer.Option(min=1, help="Matryoshka width. Default: the whole.")] = None,
    as_json: Json = False,
) -> None:
    """Tell whether run B beats run A.

    Over the very same queries: difference, bootstrap interval, paired randomisation test, Holm's correction over all
    rows, and how many queries rose, stayed and fell. Sets that one side lacks are left out, and named.
    """
    from tutelage.evaluate.compare import compare_systems, compare_table, load_system

    a, b = (load_system(runs, stage=stage, dim=dim) for runs in (run_a, run_b))
    comparison = compare_systems(a, b, metric or ("map",))
    if as_json:
        return print_json(comparison)
    Console(width=max(out.width, 140)).print(compare_table(comparison))  # a figure cut short would be a wrong one
    if comparison["left_out"]:
        err.print(f"Not in every run, so left out: {', '.join(comparison['left_out'])}.", soft_wrap=True)
