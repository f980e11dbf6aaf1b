"""Commands that find: `search`."""

from typing import Annotated

import typer
from rich.table import Table

from tutelage.cli.shared import DataFolder, Json, app, example, out, print_json
from tutelage.errors import ConfigError


@app.command(
    epilog=example(
        "tutelage search runs/demo/model 'senior java dev' 'RN, intensive care'",
        "tutelage search runs/demo/model 'Pflegefachkraft' --corpus esco:en,de -k 3",
        "tutelage search runs/demo/model 'devops' --corpus titles.txt   (one label a line)",
        "tutelage search runs/demo/model 'devops' --index esco          (built by: tutelage index)",
    )
)
def search(
    model: Annotated[str, typer.Argument(help="A model folder, all-MiniLM-L6-v2, or a hub name.")],
    queries: Annotated[list[str], typer.Argument(help="What to look for.")],
    corpus: Annotated[
        str | None, typer.Option(help="sample:en (default), esco:en,de, a table, or a file with one label a line.")
    ] = None,
    place: Annotated[str | None, typer.Option("--index", help="An index of this model, instead of a corpus.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Labels shown for each query.")] = 5,
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Find the nearest labels, exactly."""
    from tutelage.records.sources import data_folder
    from tutelage.serve.engine import load_engine
    from tutelage.serve.entries import entries, once_a_concept
    from tutelage.serve.places import open_index, pair
    from tutelage.serve.snapshot import Snapshot

    if any(not query.strip() for query in queries):
        raise ConfigError("search: an empty query. Give a text to look for.")
    if place is not None:
        if corpus is not None:
            raise ConfigError("search: --corpus and --index. Give one of them.")
        index = open_index(place)
        engine = load_engine(model)
        pair(engine, index)
        hits = index.search(engine.encode(queries), k)
    else:
        found = once_a_concept(entries(corpus or "sample:en", data_folder(data)))
        engine = load_engine(model)
        labels = engine.encode([entry.text for entry in found], progress=None if as_json else "corpus")
        hits = Snapshot.of(found, labels).search(engine.encode(queries), k)
    if as_json:
        rows = [[{**hit.entry._asdict(), "score": hit.score} for hit in row] for row in hits]
        found_for = [{"query": query, "hits": row} for query, row in zip(queries, rows, strict=True)]
        return print_json({"model": model, "corpus": place or corpus or "sample:en", "results": found_for})
    for query, row in zip(queries, hits, strict=True):
        table = Table("score", "label", "group", title=query, title_justify="left")
        for hit in row:
            table.add_row(f"{hit.score:.3f}", hit.entry.text, hit.entry.group)
        out.print(table)
