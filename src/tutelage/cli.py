"""The command line. Thin: each command calls one function and shows what it returned."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tutelage import __version__
from tutelage.errors import ConfigError, TutelageError

app = typer.Typer(
    help="Fine-tune text-embedding models under a guide, prove the gain, search with the result.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
recipes = typer.Typer(help="Show or check a recipe.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(recipes, name="recipe")

out, err = Console(), Console(stderr=True)

DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Folder of real data (ESCO, TalentCLEF). Default: $TUTELAGE_DATA.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output instead of a table.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a key of the recipe: training.epochs=2.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a finished run in the output folder.")]
RecipeSource = Annotated[str, typer.Argument(help="A recipe file (.yaml) or the name of a shipped one: demo.")]

INTERRUPTED = 130  # what typer leaves with after Ctrl-C
NO_DATA = (
    "No data folder is named, so this runs on the sample inside the package: 305 occupations, written for trying "
    "things out, too small to judge quality by."
)


def example(*lines: str) -> str:
    """The last paragraph of a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  {line}" for line in lines)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    """Options of every command."""
    if version:
        out.print(__version__)
        raise typer.Exit


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
        return _print_json(report)
    from tutelage.evaluate.report import REPORT, before_after_table

    out.print(before_after_table(report))
    steps, spent = report["training"]["steps"], report["seconds"]
    out.print()
    out.print(f"{steps} steps in {spent['train']:.0f} s; {sum(spent.values()):.0f} s in all.")
    out.print(f"Model: {recipe.output / MODEL}   Report: {recipe.output / REPORT}", soft_wrap=True)


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
        return _print_json({"model": model, "metrics": means})
    out.print(metrics_table(means, metric or SHOWN))


@app.command(
    epilog=example(
        "tutelage search runs/demo/model 'senior java dev' 'RN, intensive care'",
        "tutelage search runs/demo/model 'Pflegefachkraft' --corpus esco:en,de -k 3",
        "tutelage search runs/demo/model 'devops' --corpus titles.txt   (one label a line)",
    )
)
def search(
    model: Annotated[str, typer.Argument(help="A model folder, all-MiniLM-L6-v2, or a hub name.")],
    queries: Annotated[list[str], typer.Argument(help="What to look for.")],
    corpus: Annotated[str, typer.Option(help="sample:en, esco:en,de, or a file with one label a line.")] = "sample:en",
    k: Annotated[int, typer.Option("-k", min=1, help="Labels shown for each query.")] = 5,
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Find the nearest labels, exactly."""
    from tutelage.encode.models import load_model
    from tutelage.records.sources import data_folder, labels
    from tutelage.serve.index import LabelIndex

    found = labels("sample:en" if corpus == "sample" else corpus, data_folder(data))
    if any(not query.strip() for query in queries):
        raise ConfigError("search: an empty query. Give a text to look for.")
    encoder = load_model(model)
    hits = LabelIndex.build(encoder, found).search(encoder, queries, k)
    if as_json:
        rows = [[{**hit.label._asdict(), "score": hit.score} for hit in row] for row in hits]
        found_for = [{"query": query, "hits": row} for query, row in zip(queries, rows, strict=True)]
        return _print_json({"model": model, "corpus": corpus, "results": found_for})
    for query, row in zip(queries, hits, strict=True):
        table = Table("score", "label", "group", title=query, title_justify="left")
        for hit in row:
            table.add_row(f"{hit.score:.3f}", hit.label.text, hit.label.group)
        out.print(table)


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
        return _print_json({"recipe": loaded.model_dump(mode="json"), "pairs": count, "sets": names})
    print(loaded.to_yaml(), end="")
    err.print(f"ok: {count} training pairs; sets: {', '.join(names)}", highlight=False)


def _command() -> str:
    """How this program was called, so that a line it prints can be typed as it stands."""
    called = Path(sys.argv[0])
    return called.name if shutil.which(called.name) else os.path.relpath(called)


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False))


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """A user's mistake is one line on standard error and exit code 2."""
    try:
        yield
    except TutelageError as fault:
        print(f"{type(fault).__name__}: {' '.join(str(fault).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            print("Interrupted. A run with training.save_every goes on with --resume.", file=sys.stderr)
        raise


def main() -> None:
    """Entry point of the command ``tutelage``."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars in logs, ours or other packages'
    with _one_line_errors():
        app()
