"""Commands that judge: `evaluate`, `probe`, `compare`, `report`."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from tutelage.cli.shared import NO_DATA, DataFolder, Json, app, console, err, example, out, print_json
from tutelage.errors import ConfigError


@app.command(
    epilog=example(
        "tutelage evaluate runs/demo/model",
        "tutelage evaluate all-MiniLM-L6-v2 --data talentclef:en --data esco-heldout:en --json",
        "tutelage evaluate all-MiniLM-L6-v2 --data esco-mix:en-de --dim 384 --dim 128",
        "tutelage evaluate runs/demo/model --data my-set/   (queries, corpus_elements, qrels.tsv)",
        "tutelage evaluate runs/demo/model --data ~/data   (English held-out ESCO, TalentCLEF in every language)",
        "tutelage evaluate runs/demo/model --data talentclef:en --out runs/talentclef --depth 5000",
        "tutelage evaluate --run runs/talentclef/talentclef-en.run --data talentclef:en",
    )
)
def evaluate(
    model: Annotated[str | None, typer.Argument(help="A model folder, all-MiniLM-L6-v2, or a hub name.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="A set by name (sample-heldout:en, esco-heldout:en, esco-mix:en-de, talentclef:en, tquad:dev, "
            "mteb:TASK), its folder or zip, or the folder of real data; repeatable.",
        ),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Such as ndcg@10 or map; repeatable.")] = None,
    dim: Annotated[
        list[int] | None, typer.Option("--dim", help="Measure the first DIM dimensions too; repeatable.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="A new folder for TREC run and qrels files and per-query values.")
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="Entries of each query in a run file.")] = 1000,
    run: Annotated[Path | None, typer.Option("--run", help="Judge this TREC run file, no model, on one set.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a model, or a run file, on retrieval sets.

    Default: esco-heldout:en and every TalentCLEF language that the folder of real data has, else sample-heldout:en.
    Held-out concepts are those of the split that a saved model was trained with (else the usual one).
    """
    from tutelage.encode.models import load_model
    from tutelage.evaluate.metrics import DEFAULT_METRICS, parse
    from tutelage.evaluate.report import SHOWN, metrics_table
    from tutelage.evaluate.sets import evaluate_sets, means_by_dim, split_of
    from tutelage.evaluate.trec import evaluate_run, missing_queries, read_run
    from tutelage.records.data_folder import HOW_TO_GET_DATA
    from tutelage.records.judged import named_sets, retrieval_set

    for name in metric or []:
        parse(name)
    if (model is None) == (run is None):
        raise ConfigError("evaluate: wanted a model, or --run with a run file, and not both. Give one of them.")
    names, folder = named_sets(data or [])
    if run is not None and (len(names) != 1 or dim or output):
        raise ConfigError("evaluate: --run goes with one --data set, and without --dim and --out. Give no more.")
    sets = [retrieval_set(name, folder, **split_of(model)) for name in dict.fromkeys(names)]
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
    if not data and folder is None:
        err.print(f"{NO_DATA} {HOW_TO_GET_DATA}", soft_wrap=True)
    named = {r.name if r.dim is None else f"{r.name} at {r.dim}": r.means for r in results}
    out.print(metrics_table(named, metric or SHOWN))


@app.command(
    epilog=example(
        "tutelage probe runs/demo/model --triplets cnli-tr:dev --dim 384 --dim 256",
        "tutelage probe runs/demo/model --gender esco-gender:de --general stsb-tr:dev --general tquad:dev",
        "tutelage probe runs/demo/model --triplets dev.csv --columns query,positive,negative",
    )
)
def probe(
    model: Annotated[str, typer.Argument(help="A model folder, all-MiniLM-L6-v2, or a hub name.")],
    triplets: Annotated[list[str] | None, typer.Option(help="cnli-tr:dev or a table; repeatable.")] = None,
    columns: Annotated[
        str, typer.Option(help="Names of a triplet table's three columns.")
    ] = "anchor,positive,negative",
    dim: Annotated[list[int] | None, typer.Option(help="Width to judge triplets at; repeatable.")] = None,
    general: Annotated[
        list[str] | None, typer.Option(help="stsb-tr:dev, tquad:dev, a table, any retrieval set; repeatable.")
    ] = None,
    gender: Annotated[list[str] | None, typer.Option(help="esco-gender:de, :es or :fr; repeatable.")] = None,
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Measure a model beyond its retrieval sets.

    Triplets: how often the positive is strictly nearer, at every width. General sets: Spearman of scored sentence
    pairs, MAP of questions to passages. Gender: rank-biased overlap of what a title's two forms find; 1 is the same.
    """
    from tutelage.encode.models import load_model
    from tutelage.evaluate.checks import load_checks, run_checks
    from tutelage.records.data_folder import data_folder

    sources = [(name, columns.split(",")) for name in triplets or []]
    checks = load_checks(data_folder(data), triplets=sources, general=general or [], gender=gender or [])
    if not checks.names:
        raise ConfigError("probe: nothing to measure. Name a set with --triplets, --general or --gender.")
    found = run_checks(load_model(model), checks, dim).to_dict()
    if as_json:
        return print_json({"model": model, **found})
    table = Table("set", "figure", "value")
    for name, figures in (row for kind in found.values() for row in kind.items()):
        for figure, value in figures.items():
            table.add_row(name, figure, f"{value:.4f}" if isinstance(value, float) else str(value))
    out.print(table)


@app.command(
    epilog=example(
        "tutelage compare runs/plain runs/guided",
        "tutelage compare runs/plain runs/guided --metric map --metric ndcg@10 --json",
        "tutelage compare runs/plain-1,runs/plain-2 runs/guided-1,runs/guided-2   (several seeds of each)",
    )
)
def compare(
    run_a: Annotated[
        str, typer.Argument(help="Output folder of a run, or of evaluate --out; of several seeds, joined by commas.")
    ],
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
    console(width=max(out.width, 140)).print(compare_table(comparison))  # a figure cut short would be a wrong one
    if comparison["left_out"]:
        err.print(f"Not in every run, so left out: {', '.join(comparison['left_out'])}.", soft_wrap=True)


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
