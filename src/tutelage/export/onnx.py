"""A model's folder gains an ONNX form, ``MODEL/onnx``, once it is shown to rank as the model does.

The files are named and their inputs and outputs called as sentence-transformers' ONNX backend and Text Embeddings
Inference look for them.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from tutelage.encode.models import load_model
from tutelage.errors import ConfigError
from tutelage.evaluate.report import write_json, write_text
from tutelage.evaluate.sets import split_of
from tutelage.export.card import CARD, markdown_table, with_part
from tutelage.export.gate import BOUND, HEADINGS, judge, refuse_loss, rows_of, worst
from tutelage.export.graph import inputs_of, refuse_ungraphable, write_graph
from tutelage.export.int8 import write_int8
from tutelage.records.files import of_file, settle
from tutelage.records.judged import retrieval_set
from tutelage.records.retrieval import RetrievalSet
from tutelage.serve.engine import REPORT, TorchEngine, name_of, trained_dims
from tutelage.serve.onnx_engine import OnnxEngine
from tutelage.serve.onnx_folder import GRAPHS, MANIFEST, TOKENIZER, Manifest, replacing, sources_of

PACKAGES = ("tutelage", "torch", "sentence-transformers", "onnx", "onnxruntime")
HEADING = "## ONNX"
UNNAMED = "sample-heldout:en"  # what a model without a report is judged on
TEXTS = ["nurse", "senior java developer (remote)", "Maschinen- und Anlagenführerin", ""]
APART = 1e-4  # float32 sums of 1,000 terms in another order differ by 1e-6 or so; more is another computation


def export_onnx(
    name: str,
    *,
    int8: bool = False,
    sets: Sequence[str] = (),
    data: Path | None = None,
    bound: float = BOUND,
    force: bool = False,
    out: Path | None = None,
) -> Manifest:
    """Write ``onnx/model.onnx`` (and ``onnx/model_int8.onnx``) into a model's folder; the card tells what was lost.

    The export is judged against the model before it takes an old one's place. A killed or refused export leaves
    everything as it was.

    Args:
        name: a model's folder, or the name of a model.
        int8: the 8-bit form too.
        sets: retrieval sets to judge by; default: those of the report in the folder, else the held-out sample.
        data: the folder of real data.
        bound: how much MAP an export may lose on a set.
        force: keep it even so.
        out: a new folder, for a copy of the model with its graph; wanted where ``name`` is no folder.

    Raises:
        ConfigError: no such model or set; an ``out`` that holds something; a model that makes no graph; a loss beyond
            the bound.

    Example::

        export_onnx("runs/demo/model", int8=True).gate["sets"]["model_int8.onnx"]
    """
    if out is None and not Path(name).is_dir():
        raise ConfigError(f"export: '{name}' is no folder to write into. Name one for the model and its graph: --out.")
    if out is not None:
        _refuse_taken(out)
    judged = _sets(name, sets, data)
    model = load_model(name, device="cpu")
    refuse_ungraphable(model)
    engine = TorchEngine(model, name_of(name), trained_dims(name))
    with _saved(model, out, Path(name)) if out else nullcontext(Path(name)) as folder:
        with replacing(folder) as beside:
            manifest = _write(model.float(), engine, folder, beside, int8)
            exported = {
                graph: OnnxEngine(beside, manifest, name, kind)
                for kind, graph in GRAPHS.items()
                if graph in manifest.files
            }
            _refuse_another_computation(engine, exported[GRAPHS["onnx"]])
            found = judge(engine, exported, judged)
            if not force:
                refuse_loss(found, bound)
            gate = {"bound": bound, "forced": worst(found)[0] > bound, "sets": found}
            manifest = manifest.model_copy(update={"gate": gate})
            write_json(beside / MANIFEST, manifest.model_dump(mode="json"))
        tell_card(folder, gate)
    return manifest


def _refuse_taken(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(
            f"export: --out {out} is there already. Name a new folder, or export the model in it anew: tutelage export "
            f"{out}."
        )


@contextmanager
def _saved(model: SentenceTransformer, out: Path, source: Path) -> Iterator[Path]:
    """The model in a folder beside, with its run's report, which becomes ``out`` when the block ends without an error.

    The report knows the widths that were trained, and the sets to judge by.
    """
    out = out.resolve()
    work = out.with_name(f".{out.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    try:
        model.save_pretrained(str(work))
        if (source / REPORT).is_file():
            shutil.copyfile(source / REPORT, work / REPORT)
        yield work
        os.replace(work, out)
        settle(out.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sets(name: str, asked: Sequence[str], data: Path | None) -> list[RetrievalSet]:
    report = Path(name) / REPORT
    of_run = list(json.loads(report.read_text(encoding="utf-8")).get("after", {})) if report.is_file() else []
    split = split_of(name)
    return [retrieval_set(each, data, **split) for each in dict.fromkeys(asked or of_run or [UNNAMED])]


def _write(model: SentenceTransformer, engine: TorchEngine, folder: Path, beside: Path, int8: bool) -> Manifest:
    write_graph(model, beside / GRAPHS["onnx"])
    if int8:
        write_int8(model, beside / GRAPHS["onnx-int8"])
    tokenizer: Any = model.tokenizer
    write_text(beside / TOKENIZER, tokenizer.backend_tokenizer.to_str())
    return Manifest(
        fingerprint=engine.fingerprint,
        dims=engine.dims,
        max_length=engine.max_length,
        prompts=dict(engine.prompts),
        default_prompt=engine.default_prompt,
        padding_id=tokenizer.pad_token_id,
        inputs=tuple(inputs_of(model)),
        sources=sources_of(folder),
        files={path.name: of_file(path) for path in sorted(beside.iterdir())},
        gate={},
        versions={package: version(package) for package in PACKAGES},
    )


def _refuse_another_computation(model: TorchEngine, exported: OnnxEngine) -> None:
    """The float32 graph must give the model's vectors, whatever its ranking is worth."""
    apart = float(np.abs(model.encode(TEXTS) - exported.encode(TEXTS)).max())
    if not apart <= APART:
        raise ConfigError(
            f"export: the graph's vectors are {apart:.1e} from the model's, {APART:g} is the most. Nothing was "
            "changed. The model computes something that torch.onnx.export does not carry over; serve it with torch."
        )


def tell_card(folder: Path, gate: dict[str, Any]) -> None:
    """Put what was lost into the model's card, in the place of what an earlier export said."""
    path = folder / CARD
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    start = card.find(f"{HEADING}\n")
    if start >= 0:
        rest = card[start + len(HEADING) :]
        card = card[:start] + (rest[rest.index("\n## ") + 1 :] if "\n## " in rest else "")
    write_text(path, with_part(card, section(gate)))


def section(gate: dict[str, Any]) -> str:
    """The part of the card on the export, as Markdown."""
    kept = " It was kept by force." if gate["forced"] else ""
    lines = [
        HEADING, "",
        "`onnx/` holds this model for onnxruntime, pooling and norm included: inputs of token ids, outputs "
        "`token_embeddings` and `sentence_embedding`.", "",
        *markdown_table(HEADINGS, rows_of(gate["sets"])), "",
        f"Bound of a loss: {gate['bound']:g} MAP.{kept} First 10 shared and Kendall's tau: means over the queries, of "
        "the model's first 10.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n\n"
