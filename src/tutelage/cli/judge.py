"""Commands that judge: `evaluate`, `audit`."""

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.shared import DataFolder, Json, RecipeSource, Sets, app, err, example, out, print_json


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
        "tutelage audit demo",
        "tutelage audit my.yaml --batch-size 128 --batch-size 512 --rate 0.005",
        "tutelage audit my.yaml --model runs/demo/model --set loss.margin=0.05 --json",
    )
)
def audit(
    recipe: RecipeSource,
    sets: Sets = None,
    data: DataFolder = None,
    model: Annotated[
        str | None, typer.Option(help="Compare the guide with this encoder. Default: the one the recipe starts from.")
    ] = None,
    batch_size: Annotated[list[int] | None, typer.Option(min=2, help="Default: the recipe's; repeatable.")] = None,
    batches: Annotated[int, typer.Option(min=1, help="Of each data set and batch size.")] = 32,
    rate: Annotated[float, typer.Option(help="Ask for the margin that drops this share of the candidates.")] = 0.01,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Default: the folder audit in the recipe's output.")
    ] = None,
    as_json: Json = False,
) -> None:
    """See what a recipe's guide drops.

    Before any training, or with a checkpoint as --model. Writes audit.json, and dropped.parquet and near.parquet: put
    positive or never into their column verdict, and name the file in the recipe's data.verdicts.
    """
    from tutelage.evaluate.audit_tables import audit_tables
    from tutelage.records.sources import data_folder
    from tutelage.train import audit as audits
    from tutelage.train.recipe import load_recipe

    loaded = load_recipe(recipe, sets or [])
    found = audits.audit(
        loaded, data_folder(data), model=model, batch_sizes=batch_size or [], batches=batches, rate=rate,
        out=out_folder, progress=not as_json,
    )  # fmt: skip
    if as_json:
        return print_json(found)
    for table in audit_tables(found):
        out.print(table)
        out.print()
    err.print(f"Written: {out_folder or loaded.output / audits.FOLDER}", highlight=False, soft_wrap=True)
