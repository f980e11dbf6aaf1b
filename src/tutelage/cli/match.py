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
        return print_json({"model": model, "corpus": corpus, "results": found_for})
    for query, row in zip(queries, hits, strict=True):
        table = Table("score", "label", "group", title=query, title_justify="left")
        for hit in row:
            table.add_row(f"{hit.score:.3f}", hit.label.text, hit.label.group)
        out.print(table)
