"""What the commands share: the program, its consoles, options that several take, and the form of examples."""

import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from tutelage.errors import ConfigError

app = typer.Typer(
    help="Fine-tune text-embedding models under a guide, prove the gain, search with the result.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
recipes = typer.Typer(help="Show or check a recipe.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(recipes, name="recipe")

# What is printed is text: "Entwickler [m/w/d]" has no markup in it, and ":nurse:" is no picture.
console = partial(Console, markup=False, emoji=False, highlight=False)
out, err = console(), console(stderr=True)

NO_DATA = (
    "No data folder is named, so this runs on the sample inside the package: 305 occupations, written for trying "
    "things out, too small to judge quality by."
)

DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Folder of real data (ESCO, TalentCLEF). Default: $TUTELAGE_DATA.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output instead of a table.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a key of the recipe: training.epochs=2.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a finished run in the output folder.")]
EngineKind = Annotated[
    Literal["auto", "torch", "onnx", "onnx-int8"],
    typer.Option("--engine", help="What runs the model; onnx kinds want an export."),
]
Threshold = Annotated[float, typer.Option(min=0, max=1, help="Confidence below which a match is Unknown.")]
RecipeSource = Annotated[
    str, typer.Argument(help="A recipe file (.yaml) or the name of a shipped one: demo (needs ESCO), demo_sample.")
]


def example(*lines: str) -> str:
    """The last paragraph of a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  {line}" for line in lines)


def refuse_missing(command: str, extra: str, *packages: str) -> None:
    """Raise where a command's extra is not installed.

    Raises:
        ConfigError: the first package that is missing.
    """
    if missing := [package for package in packages if find_spec(package) is None]:
        raise ConfigError(f'{command} needs {missing[0]}: pip install "tutelage[{extra}]".')


def print_json(content: Any) -> None:
    """For programs, on standard output."""
    print(json.dumps(content, indent=2, ensure_ascii=False))


def tell_truncated(count: int, what: str) -> None:
    """On standard error, that some texts were longer than the model reads."""
    if count:
        err.print(f"{count:,} {what} are longer than the model reads: their ends are not in their vectors.")
