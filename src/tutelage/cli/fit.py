"""Commands that train: `demo`, `train`, the recipes they follow, and `mine`, which makes triplets for them."""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.shared import (
    DataFolder,
    Json,
    Overwrite,
    RecipeSource,
    Sets,
    app,
    err,
    example,
    out,
    print_json,
    recipes,
)

NO_DATA = (
    "No data folder is named, so this runs on the sample inside the package: 305 occupations, written for trying "
    "things out, too small to judge quality by."
)


@app.command(epilog=example("tutelage demo", "TUTELAGE_DATA=~/data tutelage demo --overwrite"))
def demo(
    data: DataFolder = None,
    output: Annotated[Path, typer.Option(help="Where the run is written.")] = Path("runs/demo"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Watch MiniLM learn job titles.

    Fine-tunes it under its own frozen twin, on ESCO where the data folder has it, else on the sample in the package;
    measures it before and after on held-out concepts (and on TalentCLEF where at hand); writes model, card, report.
    """
    from tutelage.records.sources import HOW_TO_GET_DATA, data_folder

    folder = data_folder(data)
    real = folder is not None and any((folder / "esco").glob("en.csv*"))
    if not real:
        err.print(f"{NO_DATA} {HOW_TO_GET_DATA}", soft_wrap=True)
    _run("demo" if real else "demo_sample", [f"output={output}"], folder, overwrite, False, as_json)
    if not as_json:
        corpus = "esco:en" if real else "sample:en"
        out.print("Now search with it:")
        out.print(f"  {_command()} search {output / 'model'} 'senior java dev' --corpus {corpus}", soft_wrap=True)


@app.command(
    epilog=example("tutelage train demo", "tutelage train my.yaml --set training.epochs=2 --set output=runs/b")
)
def train(
    recipe: RecipeSource,
    sets: Sets = None,
    data: DataFolder = None,
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    as_json: Json = False,
) -> None:
    """Train as a recipe says.

    Checks everything first, measures before and after, and writes model/, report.json and recipe.yaml to its output.
    """
    from tutelage.records.sources import data_folder

    _run(recipe, sets or [], data_folder(data), overwrite, resume, as_json)


def _run(source: str, overrides: list[str], folder: Path | None, overwrite: bool, resume: bool, as_json: bool) -> None:
    from tutelage.train.recipe import load_recipe
    from tutelage.train.run import MODEL, run_recipe

    recipe = load_recipe(source, overrides)
    quiet = as_json or not err.is_terminal
    say = (lambda line: None) if as_json else (lambda line: err.print(f"- {line}", highlight=False, soft_wrap=True))
    report = run_recipe(recipe, folder, overwrite=overwrite, resume=resume, say=say, quiet=quiet)
    if as_json:
        return print_json(report)
    from tutelage.evaluate.report import REPORT, before_after_table

    out.print(before_after_table(report))
    steps, spent = report["training"]["steps"], report["seconds"]
    out.print()
    out.print(f"{steps} steps in {spent['train']:.0f} s; {sum(spent.values()):.0f} s in all.")
    out.print(f"Model: {recipe.output / MODEL}   Report: {recipe.output / REPORT}", soft_wrap=True)


@app.command(
    epilog=example(
        "tutelage mine demo --out triplets.parquet",
        "tutelage mine pairs.csv --out triplets.parquet --model all-MiniLM-L6-v2 --negatives 5 --max-score 0.8",
    )
)
def mine(
    source: Annotated[str, typer.Argument(help="A recipe (.yaml or a shipped name), or a source of pairs.")],
    output: Annotated[Path, typer.Option("--out", help="The Parquet file of triplets.")],
    sets: Sets = None,
    data: DataFolder = None,
    model: Annotated[
        str | None, typer.Option(help="Who finds texts near. Default: the recipe's guide, else all-MiniLM-L6-v2.")
    ] = None,
    negatives: Annotated[int, typer.Option(help="Of each anchor.")] = 3,
    range_min: Annotated[int, typer.Option(help="Skip so many of the nearest.")] = 0,
    range_max: Annotated[int, typer.Option(help="Look at no more than so many.")] = 100,
    relative_margin: Annotated[
        float | None,
        typer.Option(help="Leave out what scores above (1 - margin) of the positive: 0.05, the 95 % rule."),
    ] = 0.05,
    absolute_margin: Annotated[float | None, typer.Option(help="Leave out what scores above it less this.")] = None,
    max_score: Annotated[float | None, typer.Option(help="Leave out what scores above this.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out what scores below this.")] = None,
    as_json: Json = False,
) -> None:
    """Mine hard negatives.

    Never a text of the anchor's own concept. The file is a source for a recipe: columns anchor, positive, negative.
    """
    from tutelage.guide.mining import MiningRules
    from tutelage.records.sources import data_folder
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


@recipes.command("show", epilog=example("tutelage recipe show", "tutelage recipe show demo > my.yaml"))
def recipe_show(
    recipe: Annotated[str | None, typer.Argument(help="A file or a shipped name. None: list.")] = None,
) -> None:
    """Print a recipe, or list the shipped ones."""
    from tutelage.records.tables import read_text
    from tutelage.train.recipe import SHIPPED, shipped

    if recipe is None:
        return out.print("\n".join(shipped()))
    path = SHIPPED / f"{recipe}.yaml" if recipe in shipped() else Path(recipe)
    print(read_text(path), end="")


@recipes.command(
    "check", epilog=example("tutelage recipe check my.yaml", "tutelage recipe check demo --set loss.margin=0.1")
)
def recipe_check(recipe: RecipeSource, sets: Sets = None, data: DataFolder = None, as_json: Json = False) -> None:
    """Check a recipe whole, load no model.

    Reads its data too, and prints the recipe with every default spelled out.
    """
    from tutelage.records.sources import data_folder
    from tutelage.train.recipe import load_recipe
    from tutelage.train.run import prepare

    loaded = load_recipe(recipe, sets or [])
    evaluation, pairs = prepare(loaded, data_folder(data), overwrite=True)
    count = sum(pairs.num_rows.values()) if isinstance(pairs.num_rows, dict) else pairs.num_rows
    names = [retrieval.name for retrieval in evaluation]
    if as_json:
        return print_json({"recipe": loaded.model_dump(mode="json"), "pairs": count, "sets": names})
    print(loaded.to_yaml(), end="")
    err.print(f"ok: {count} training pairs; sets: {', '.join(names)}", highlight=False)


def _command() -> str:
    """How this program was called, so that a line it prints can be typed as it stands."""
    called = Path(sys.argv[0])
    return called.name if shutil.which(called.name) else os.path.relpath(called)
