"""Commands that train: `demo`, `train`, and the recipes they follow."""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.shared import (
    NO_DATA,
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


@app.command(epilog=example("tutelage demo", "TUTELAGE_DATA=~/data tutelage demo --overwrite"))
def demo(
    data: DataFolder = None,
    output: Annotated[Path, typer.Option(help="Where the run is written.")] = Path("runs/demo"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Watch MiniLM learn job titles.

    Fine-tunes it with a frozen copy of itself as the guide, on ESCO where the data folder has it, else on the sample
    in the package; measures it before and after on held-out concepts (and on TalentCLEF where at hand); writes model,
    card, report.
    """
    from tutelage.records.data_folder import HOW_TO_GET_DATA, data_folder

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
    epilog=example("tutelage train demo_sample", "tutelage train my.yaml --set training.epochs=2 --set output=runs/b")
)
def train(
    recipe: RecipeSource,
    sets: Sets = None,
    data: DataFolder = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint (training.save_every).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train as a recipe says.

    Checks everything first, measures before and after, and writes model/, report.json and recipe.yaml to its output.
    """
    from tutelage.records.data_folder import data_folder

    _run(recipe, sets or [], data_folder(data), overwrite, resume, as_json)


def _run(source: str, overrides: list[str], folder: Path | None, overwrite: bool, resume: bool, as_json: bool) -> None:
    from tutelage.train.place import MODEL
    from tutelage.train.recipe import load_recipe
    from tutelage.train.run import run_recipe

    recipe = load_recipe(source, overrides, sample=folder is None)
    quiet = as_json or not err.is_terminal
    say = (lambda line: None) if as_json else (lambda line: err.print(f"- {line}", soft_wrap=True))
    report = run_recipe(recipe, folder, overwrite=overwrite, resume=resume, say=say, quiet=quiet)
    if as_json:
        return print_json(report)
    from tutelage.evaluate.report import REPORT, before_after_table

    out.print(before_after_table(report))
    steps, spent = report["training"]["steps"], report["seconds"]
    out.print()
    begun = report["training"].get("resumed_at")
    of_these = f", those after step {begun}" if begun else ""
    out.print(f"{steps} steps{of_these} in {spent['train']:.0f} s; {sum(spent.values()):.0f} s in all.")
    out.print(f"Model: {recipe.output / MODEL}   Report: {recipe.output / REPORT}", soft_wrap=True)


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
    from tutelage.records.data_folder import data_folder
    from tutelage.train.apart import held_back, queries_seen, told
    from tutelage.train.recipe import load_recipe
    from tutelage.train.run import prepare, refuse_unwritable

    folder = data_folder(data)
    loaded = load_recipe(recipe, sets or [], sample=folder is None)
    refuse_unwritable(loaded)
    found = prepare(loaded, folder, overwrite=True)
    count = sum(map(len, found.train.values()))
    names = [*(retrieval.name for retrieval in found.sets), *found.checks.names]
    if as_json:
        return print_json({"recipe": loaded.model_dump(mode="json"), "pairs": count, "sets": names})
    print(loaded.to_yaml(), end="")
    lines = told(found.left_out, queries_seen(found.train, found.sets), found.absent)
    for line in (*lines, *held_back(loaded.data, found.train)):
        err.print(line, soft_wrap=True)
    err.print(f"ok: {count} training pairs; sets: {', '.join(names)}")


def _command() -> str:
    """How this program was called, so that a line it prints can be typed as it stands."""
    called = Path(sys.argv[0])
    return called.name if shutil.which(called.name) else os.path.relpath(called)
