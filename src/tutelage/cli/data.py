"""Commands that make training data: `data job-titles`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tutelage.cli.shared import NO_DATA, DataFolder, Json, app, err, example, out, print_json
from tutelage.errors import ConfigError

data = typer.Typer(help="Make training data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data, name="data")


@data.command(
    "job-titles",
    epilog=example(
        "tutelage data job-titles sets",
        "tutelage data job-titles sets --languages en,de --max-pairs 20 --no-mix --overwrite",
        "tutelage data job-titles sets --titles zh=my_titles.csv   (columns conceptUri, label)",
    ),
)
def job_titles(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the sets.")],
    languages: Annotated[str, typer.Option(help="Of ESCO, joined by commas.")] = "en,de,es",
    titles: Annotated[
        list[str] | None,
        typer.Option(
            help="LANGUAGE=FILE: titles of a language that ESCO lacks, in its layout or one a row; repeatable."
        ),
    ] = None,
    max_pairs: Annotated[int, typer.Option(min=1, help="Of one occupation in one language.")] = 10,
    mix: Annotated[bool, typer.Option(help="Pair titles across languages too, as one more set.")] = True,
    mix_languages: Annotated[str | None, typer.Option(help="Which of the languages. Default: all.")] = None,
    mix_pairs: Annotated[int, typer.Option(min=1, help="Of one occupation across languages.")] = 7,
    official: Annotated[bool, typer.Option(help="Take TalentCLEF's own training files where they are.")] = False,
    seed: Annotated[int, typer.Option(help="Of the pairs drawn.")] = 0,
    data: DataFolder = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the sets that OUT holds.")] = False,
    as_json: Json = False,
) -> None:
    """Write the training sets of a job-title matcher.

    full_en, full_de ... and mix, as JSONL files that a recipe names in data.train: pairs of one occupation's titles,
    drawn from ESCO (else the sample) as TalentCLEF's were, with concept, ISCO group and language. manifest.json beside
    them tells rule, counts and terms.
    """
    from tutelage.records.data_folder import HOW_TO_GET_DATA, data_folder
    from tutelage.records.job_titles import JobTitles, write_job_titles

    folder = data_folder(data)
    mixed = tuple(mix_languages.split(",")) if mix_languages else None
    wanted = JobTitles(
        tuple(languages.split(",")), _titles(titles or []), max_pairs, mixed if mix else (), mix_pairs, official, seed
    )
    manifest = write_job_titles(output, wanted, folder, overwrite=overwrite)
    if folder is None:
        err.print(f"{NO_DATA} {HOW_TO_GET_DATA}", soft_wrap=True)
    if as_json:
        return print_json(manifest)
    table = Table("set", "rows", "concepts", "distinct texts", "source")
    for name, each in manifest["sets"].items():
        table.add_row(name, *(str(each[count]) for count in ("rows", "concepts", "texts")), each["source"])
    out.print(table)
    out.print(f"Written: {output}", soft_wrap=True)


def _titles(given: list[str]) -> dict[str, Path]:
    """Language -> file."""
    found = {}
    for each in given:
        language, _, file = each.partition("=")
        if not (language.isalpha() and file):
            raise ConfigError(f"--titles {each}: wanted LANGUAGE=FILE, as in --titles zh=my_titles.csv.")
        found[language] = Path(file)
    return found
