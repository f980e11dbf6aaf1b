"""Commands that find: `search`, `index`, `match`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tutelage.cli.shared import (
    NO_DATA,
    DataFolder,
    EngineKind,
    Json,
    Threshold,
    app,
    err,
    example,
    out,
    print_json,
    tell_truncated,
)
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
    engine: EngineKind = "auto",
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Find the nearest labels, exactly."""
    from tutelage.records.data_folder import data_folder
    from tutelage.records.texts import canonical
    from tutelage.serve.engine import load_engine
    from tutelage.serve.entries import entries, once_a_concept
    from tutelage.serve.places import open_index, pair
    from tutelage.serve.snapshot import Snapshot

    if any(not query.strip() for query in queries):
        raise ConfigError("search: an empty query. Give a text to look for.")
    asked = [canonical(query) for query in queries]
    if place is not None:
        if corpus is not None:
            raise ConfigError("search: --corpus and --index. Give one of them.")
        index = open_index(place)
        loaded = load_engine(model, engine)
        pair(loaded, index)
        hits = index.search(loaded.encode(asked), k)
    else:
        found = once_a_concept(entries(corpus or "sample:en", data_folder(data)))
        loaded = load_engine(model, engine)
        labels = loaded.encode([entry.text for entry in found], progress=None if as_json else "corpus")
        hits = Snapshot.of(found, labels).search(loaded.encode(asked), k)
    if as_json:
        rows = [[{**hit.entry._asdict(), "score": hit.score} for hit in row] for row in hits]
        found_for = [{"query": query, "hits": row} for query, row in zip(queries, rows, strict=True)]
        return print_json({"model": model, "corpus": place or corpus or "sample:en", "results": found_for})
    for query, row in zip(queries, hits, strict=True):
        table = Table("score", "label", "group", title=query, title_justify="left")
        for hit in row:
            table.add_row(f"{hit.score:.3f}", hit.entry.text, hit.entry.group)
        out.print(table)


@app.command(
    epilog=example(
        "tutelage index runs/demo/model sample:en,de labels",
        "tutelage index runs/demo/model esco:en,de,fr esco --data ~/data --engine onnx-int8",
        "tutelage index all-MiniLM-L6-v2 taxonomy.csv own   (columns label, concept, code, preferred, group, language)",
        "tutelage index runs/demo/model esco:en qdrant+http://127.0.0.1:6333/esco --kind qdrant",
    )
)
def index(
    model: Annotated[str, typer.Argument(help="A model folder, all-MiniLM-L6-v2, or a hub name.")],
    labels: Annotated[
        str, typer.Argument(help="sample:en,de, esco:en,de, a table with a column label, or a label a line.")
    ],
    place: Annotated[str, typer.Argument(metavar="OUT", help="A folder, or the address of a Qdrant server.")],
    kind: Annotated[str, typer.Option(help="Who searches: exact, faiss, faiss-hnsw or qdrant.")] = "exact",
    engine: EngineKind = "auto",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Confidence that the printed reliability is told for; kept nowhere.")
    ] = 0.5,
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Build an index of labels to search and match in.

    A table has a column label and, where it likes, concept (a URI), code, preferred (the text that the concept is shown
    by), group (ISCO) and language. Labels of one concept share concept, or else code.

    Learns too how far a match is to be believed: from labels left out of a first index, some of them of concepts that
    it does not know. An index that is there already is replaced in one step; who reads it keeps the old one.
    """
    from tutelage.records.data_folder import HOW_TO_GET_DATA, data_folder
    from tutelage.serve.building import build_index
    from tutelage.serve.calibration import FOLDS, LEAST_LABELS, LEAST_QUERIES
    from tutelage.serve.engine import load_engine
    from tutelage.serve.entries import entries
    from tutelage.serve.places import new_index

    new_index(place, kind)  # a place that cannot be used is told before the model is loaded
    found = entries(labels, data_folder(data))
    if labels.partition(":")[0] == "sample" and not as_json:
        err.print(f"{NO_DATA} {HOW_TO_GET_DATA}", soft_wrap=True)
    built = build_index(
        load_engine(model, engine), model, found, place, kind=kind, threshold=threshold, progress=not as_json
    )
    stats = built.stats
    if as_json:
        reliability = built.reliability._asdict() if built.reliability else None
        figures = {"truncated": built.truncated} | {
            name: dict(each) if isinstance(each, Mapping) else each for name, each in stats._asdict().items()
        }
        return print_json({"place": place, **figures, "reliability": reliability})
    tell_truncated(built.truncated, "labels")
    table = Table("language", "labels")
    for language, count in stats.languages.items():
        table.add_row(language or "-", str(count))
    out.print(table)
    if built.reliability is None:
        err.print(
            f"Too few labels to learn from (wanted: {LEAST_QUERIES} to hold out, of {FOLDS} concepts of {LEAST_LABELS} "
            "labels or more): confidence will be the score itself.",
            soft_wrap=True,
        )
    else:
        told = built.reliability
        out.print(
            f"Held out: {told.queries} labels, {told.absent} of them of absent concepts. First concept right: "
            f"{told.right:.1%}. At confidence {told.threshold}: {told.answered:.1%} answered, {told.precision:.1%} of "
            f"them rightly. Calibration error {told.ece:.3f}, Brier score {told.brier:.3f}.",
            soft_wrap=True,
        )  # fmt: skip
    out.print(f"{stats.entries} labels, {stats.concepts} concepts. Index: {place}", soft_wrap=True)


@app.command(
    "match",
    epilog=example(
        "tutelage match titles.csv --index labels --out matched.csv",
        "tutelage match staff.parquet --index esco --out matched.parquet --column job_title -k 5 --threshold 0.7",
        "tutelage match titles.jsonl --index esco --out matched.csv --languages en,de --groups 25,35",
    ),
)
def match_titles(
    titles: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL (each also .gz) or Parquet.")],
    place: Annotated[str, typer.Option("--index", help="Built by: tutelage index.")],
    output: Annotated[Path, typer.Option("--out", help="The file to write: .csv, .tsv, .jsonl or .parquet.")],
    model: Annotated[str | None, typer.Option(help="Default: the one that the index was built with.")] = None,
    engine: EngineKind = "auto",
    column: Annotated[str | None, typer.Option(help="Default: title, else text, else the only one.")] = None,
    languages: Annotated[str, typer.Option(help="Of the labels, joined by commas. Default: all.")] = "",
    groups: Annotated[str, typer.Option(help="ISCO groups or their first digits, joined by commas.")] = "",
    k: Annotated[int, typer.Option("-k", min=1, help="Concepts of each title: the best and its alternatives.")] = 3,
    threshold: Threshold = 0.5,
    as_json: Json = False,
) -> None:
    """Find what each title of a table means.

    Writes all its columns and concept, code, label, matched_label, matched_language, score, confidence, alternatives.
    A title whose best concept is not to be believed, or that is empty, is Unknown; its alternatives are suggestions.
    """
    from tutelage.serve.engine import load_engine
    from tutelage.serve.match import Matcher
    from tutelage.serve.places import open_index
    from tutelage.serve.titles import match_table

    asked = _listed(languages)

    def matcher() -> Matcher:
        opened = open_index(place)
        held = opened.stats()
        if unknown := [language for language in asked if language not in held.languages]:
            raise ConfigError(
                f"match: --languages {unknown[0]}: index {place} has no such labels. Its languages: "
                f"{', '.join(filter(None, held.languages)) or 'none named'}."
            )
        named = model or held.notes.get("model")
        if not named:
            raise ConfigError(f"index {place} does not say what model it was built with. Give --model.")
        if model is None and Path(named).is_absolute() and not Path(named).is_dir():
            raise ConfigError(f"index {place} was built with {named}, which is not there now. Say where: --model.")
        found = Matcher(load_engine(named, engine), opened, threshold)
        if not found.calibrated:
            err.print(
                "The index has too few labels to learn confidence from: it is the score itself, as the threshold is.",
                soft_wrap=True,
            )
        return found

    summary = match_table(
        matcher, titles, output, column=column, k=k, languages=asked, groups=_listed(groups), progress=not as_json
    )
    if as_json:
        return print_json({**summary._asdict(), "unknown": summary.unknown, "out": str(output)})
    tell_truncated(summary.truncated, "titles")
    out.print(f"{summary.rows} rows: {summary.known} known, {summary.unknown} unknown.")
    out.print(f"Written: {output}", soft_wrap=True)


def _listed(words: str) -> list[str]:
    return [word for each in words.split(",") if (word := each.strip())]
