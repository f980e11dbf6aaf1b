"""Commands that hand a model on: `export`, `embed`, `serve`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tutelage.cli.shared import (
    DataFolder,
    EngineKind,
    Json,
    Threshold,
    app,
    console,
    err,
    example,
    out,
    print_json,
    refuse_missing,
    tell_truncated,
)


@app.command(
    epilog=example(
        "tutelage export runs/demo/model",
        "tutelage export runs/demo/model --int8 --data talentclef:en --bound 0.01",
        "tutelage export all-MiniLM-L6-v2 --out models/minilm --int8",
    )
)
def export(
    model: Annotated[str, typer.Argument(help="A model folder; with --out also all-MiniLM-L6-v2 or a hub name.")],
    int8: Annotated[bool, typer.Option("--int8", help="Also with matrix products in 8 bits.")] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="A retrieval set to judge by, or the folder of real data; repeatable. Default: the sets of the run "
            "that made the model, else sample-heldout:en.",
        ),
    ] = None,
    bound: Annotated[float, typer.Option(min=0, help="The MAP that may be lost on a set.")] = 0.005,
    force: Annotated[bool, typer.Option("--force", help="Keep an export that loses more.")] = False,
    output: Annotated[
        Path | None, typer.Option("--out", help="A new folder, for a copy of the model with its graph.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a model as ONNX, once it is shown to rank as before.

    MODEL/onnx/model.onnx, and with --int8 model_int8.onnx: for `tutelage serve --engine`, Text Embeddings Inference,
    sentence-transformers' ONNX backend. What was lost stands in onnx/manifest.json and in the model's card.
    """
    refuse_missing("export", "onnx", "onnx", "onnxruntime", "onnxscript")
    from tutelage.export.gate import gate_table
    from tutelage.export.onnx import export_onnx
    from tutelage.records.data_folder import data_folder
    from tutelage.records.judged import named_sets

    names, folder = named_sets(data) if data else ([], data_folder())
    made = export_onnx(model, int8=int8, sets=names, data=folder, bound=bound, force=force, out=output)
    if as_json:
        return print_json(made.model_dump(mode="json"))
    console(width=max(out.width, 120)).print(gate_table(made.gate["sets"]))  # a figure cut short would be a wrong one
    out.print(f"Written: {(output or Path(model)) / 'onnx'}", soft_wrap=True)


@app.command(
    epilog=example(
        "tutelage embed runs/demo/model titles.csv vectors",
        "tutelage embed runs/demo/model titles.parquet vectors --column title --shard 3/10 --dtype float16",
        "tutelage embed runs/demo/model titles.jsonl vectors --engine onnx-int8 --dtype int8 --dim 128",
    )
)
def embed(
    model: Annotated[str, typer.Argument(help="A model folder, all-MiniLM-L6-v2, or a hub name.")],
    source: Annotated[Path, typer.Argument(metavar="IN", help="CSV, TSV, JSONL (each also .gz) or Parquet.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the Parquet files.")],
    column: Annotated[str | None, typer.Option(help="Of the texts. Default: text, or the only column.")] = None,
    shard: Annotated[str, typer.Option(help="Which part of the table: 3/10 is the third of ten.")] = "1/1",
    dtype: Annotated[
        Literal["float32", "float16", "int8"],
        typer.Option(help="Of the vectors. int8 times the scale in the file's metadata gives them back."),
    ] = "float32",
    dim: Annotated[int | None, typer.Option(min=1, help="Keep the first DIM numbers, scaled to length 1.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Put before every text. Default: the model's own.")] = None,
    engine: EngineKind = "auto",
    as_json: Json = False,
) -> None:
    """Embed a table's texts, each distinct one once.

    Rows and columns stay as they are, a column `vector` comes to them: OUT/part-00003-of-00010.parquet for --shard
    3/10. A finished part is passed over by a second run.
    """
    from tutelage.serve.engine import load_engine
    from tutelage.serve.shards import Shard, Vectors, embed_table

    part = Shard.parse(shard)
    made = embed_table(
        load_engine(model, engine), source, output, column=column, shard=part, vectors=Vectors(dim, dtype, prompt),
        progress=not as_json,
    )  # fmt: skip
    if as_json:
        return print_json(made)
    if made["skipped"]:
        err.print(f"Finished before: {made['path']}", soft_wrap=True)
    tell_truncated(made.get("truncated", 0), "texts")
    out.print(
        f"{made['path']}: {made['rows']:,} rows, {made['texts']:,} distinct texts, {made['dim']} {made['dtype']}",
        soft_wrap=True,
    )  # fmt: skip


@app.command(
    epilog=example(
        "tutelage serve runs/demo/model --index labels",
        "tutelage serve runs/demo/model --index labels --run runs/demo --port 8080",
        "TUTELAGE_API_KEY=... tutelage serve runs/demo/model --host 0.0.0.0 --engine onnx-int8",
    )
)
def serve(
    model: Annotated[str, typer.Argument(help="A model folder, all-MiniLM-L6-v2, or a hub name.")],
    place: Annotated[
        str | None, typer.Option("--index", help="Built by: tutelage index. For search and match.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="The model's run: what it learned nearest to a title, and its worst queries.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Another report.json, for its worst queries alone.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at. Beyond this machine a key is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    engine: EngineKind = "auto",
    threshold: Threshold = 0.5,
    key_file: Annotated[Path | None, typer.Option(help="A file with the key. Default: $TUTELAGE_API_KEY.")] = None,
    data: DataFolder = None,
    allow_anonymous: Annotated[
        bool,
        typer.Option("--allow-anonymous", help="Without a key, listen beyond this machine and answer to any Host."),
    ] = False,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 8 * 2**20,
    max_texts: Annotated[int, typer.Option(min=1, help="Texts of a request.")] = 2048,
    max_queue: Annotated[int, typer.Option(min=1, help="Tokens that wait for the model; beyond it 429.")] = 200_000,
) -> None:
    """Serve a model: OpenAI's and Text Embeddings Inference's routes, search and match over an index, and a page.

    The page is at http://127.0.0.1:8000/, what the routes take at /openapi.json. Ctrl-C or SIGTERM ends it once all
    that was accepted is answered. --run reads that run's training data again and embeds it before the server starts.
    Routes, metrics and a systemd unit: docs/serving.md.
    """
    refuse_missing("serve", "serve", "fastapi", "uvicorn", "prometheus_client")
    from tutelage.evaluate.report import REPORT
    from tutelage.serve.app import create_app
    from tutelage.serve.engine import load_engine
    from tutelage.serve.keys import read_key, refuse_exposure, trusted_hosts
    from tutelage.serve.learned import Learned
    from tutelage.serve.limits import Limits
    from tutelage.serve.own import read_worst
    from tutelage.serve.running import listen

    key = read_key(key_file)
    refuse_exposure(host, key, allow_anonymous)
    report = report or (run and run / REPORT)
    worst = read_worst(report) if report else None
    pairs = _training_pairs(run, data) if run else None
    loaded = load_engine(model, engine)
    finder = None
    if place:
        from tutelage.serve.finder import open_finder

        finder = open_finder(place, loaded, threshold)
    limits = Limits(body_bytes=max_body, texts=max_texts, queue_tokens=max_queue)
    learned = Learned(loaded, pairs, "training pairs") if pairs else None
    hosts = trusted_hosts(host, key, allow_anonymous)
    served = create_app(loaded, finder=finder, report=worst, learned=learned, key=key, hosts=hosts, limits=limits)
    listen(served, host, port)


def _training_pairs(run: Path, data: Path | None) -> list[tuple[str, str]]:
    """The pairs that a run was trained on, read as it read them."""
    from tutelage.records.data_folder import data_folder
    from tutelage.train.place import RECIPE
    from tutelage.train.recipe import load_recipe
    from tutelage.train.run import prepare

    sets = prepare(load_recipe(run / RECIPE), data_folder(data), overwrite=True).train
    return [pair for rows in sets.values() for pair in zip(rows["anchor"], rows["positive"], strict=True)]
