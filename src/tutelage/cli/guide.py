"""Commands that ask the guide before any training: `audit`, `mine`."""

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.shared import DataFolder, Json, RecipeSource, Sets, app, err, example, out, print_json


@app.command(
    epilog=example(
        "tutelage audit demo_sample",
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
    batches: Annotated[int, typer.Option(min=1, help="Batches audited, of each data set and batch size.")] = 32,
    rate: Annotated[float, typer.Option(help="Ask for the margin that drops this share of the candidates.")] = 0.01,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Default: the folder audit in the recipe's output.")
    ] = None,
    as_json: Json = False,
) -> None:
    """See what a recipe's guide drops.

    Before any training, or with a checkpoint as --model. Writes audit.json, dropped.parquet (most often dropped) and
    near.parquet (kept, nearest to the ceiling): put positive or never into their column verdict, and name the file in
    the recipe's data.verdicts.
    """
    from tutelage.evaluate.audit_tables import audit_tables
    from tutelage.records.data_folder import data_folder
    from tutelage.train import audit as audits
    from tutelage.train.recipe import load_recipe

    folder = data_folder(data)
    loaded = load_recipe(recipe, sets or [], sample=folder is None)
    found = audits.audit(
        loaded, folder, model=model, batch_sizes=batch_size or [], batches=batches, rate=rate,
        out=out_folder, progress=not as_json,
    )  # fmt: skip
    if as_json:
        return print_json(found)
    for table in audit_tables(found):
        out.print(table)
        out.print()
    err.print(f"Written: {out_folder or loaded.output / audits.FOLDER}", soft_wrap=True)


@app.command(
    epilog=example(
        "tutelage mine demo_sample --out triplets.parquet",
        "tutelage mine tquad:train --out tquad.parquet",
        "tutelage mine pairs.csv --out triplets.parquet --model all-MiniLM-L6-v2 --negatives 5 --max-score 0.8",
    )
)
def mine(
    source: Annotated[str, typer.Argument(help="A recipe (.yaml or a shipped name), or a source of pairs.")],
    output: Annotated[Path, typer.Option("--out", help="The Parquet file of triplets.")],
    sets: Sets = None,
    data: DataFolder = None,
    model: Annotated[
        str | None, typer.Option(help="Who finds near texts. Default: the recipe's guide, else its model, else MiniLM.")
    ] = None,
    negatives: Annotated[int, typer.Option(help="Negatives of each anchor.")] = 3,
    range_min: Annotated[int, typer.Option(help="Skip so many of the nearest.")] = 0,
    range_max: Annotated[int, typer.Option(help="Look at no more than so many.")] = 100,
    relative_margin: Annotated[
        float | None,
        typer.Option(help="Leave out what scores above (1 - margin) of the positive: 0.05, the 95 % rule."),
    ] = 0.05,
    absolute_margin: Annotated[
        float | None, typer.Option(help="Leave out what scores above the positive's score less this.")
    ] = None,
    max_score: Annotated[float | None, typer.Option(help="Leave out what scores above this.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out what scores below this.")] = None,
    as_json: Json = False,
) -> None:
    """Mine hard negatives.

    Never a text of the anchor's own concept. The file is a source for a recipe: name it in data.train with
    columns [anchor, positive, negative]. Concepts come along; sampling.sampler=no_duplicates uses every triplet that
    finds room in a full batch.
    """
    from tutelage.guide.mining import MiningRules
    from tutelage.records.data_folder import data_folder
    from tutelage.train.mining import mine_triplets

    rules = MiningRules(
        num_negatives=negatives, range_min=range_min, range_max=range_max, max_score=max_score, min_score=min_score,
        absolute_margin=absolute_margin, relative_margin=relative_margin,
    )  # fmt: skip
    about = mine_triplets(
        source, output, data_folder(data), model=model, rules=rules, overrides=sets or [], progress=not as_json
    )
    if as_json:
        return print_json(about)
    out.print(f"{about['triplets']} triplets of {about['pairs']} pairs, by {about['model']}: {output}", soft_wrap=True)
