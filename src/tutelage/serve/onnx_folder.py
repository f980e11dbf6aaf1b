"""An export on disk, ``MODEL/onnx``: what it holds, which weights it was made of, and whether both are still whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tutelage.errors import CacheMismatch, ConfigError
from tutelage.records.files import of_file, settle

FOLDER, MANIFEST, TOKENIZER = "onnx", "manifest.json", "tokenizer.json"
GRAPHS = {"onnx": "model.onnx", "onnx-int8": "model_int8.onnx"}  # kind of engine -> its graph
INT8 = "-int8"  # ends the fingerprint of a model's 8-bit form
BESIDE, REPLACED = ".onnx.partial", ".onnx.replaced"
WEIGHTS = (".safetensors", ".bin")
SETTINGS = (".json", ".txt", ".model")
OTHERS = ("report.json",)  # what a run leaves in a model's folder, and no vector depends on


class Manifest(BaseModel):
    """What an export is: written last, so that a folder without it is no export.

    ``fingerprint`` is the torch model's; ``sources`` are the checksums of the files that it was loaded from, ``files``
    those of the export's own; ``gate`` tells for each graph and evaluation set what was lost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    dims: tuple[int, ...]
    max_length: int
    prompts: dict[str, str | None]
    default_prompt: str | None
    padding_id: int
    inputs: tuple[str, ...]
    sources: dict[str, str]
    files: dict[str, str]
    gate: dict[str, Any]
    versions: dict[str, str]


def sources_of(model: Path) -> dict[str, str]:
    """Checksums of the weights and settings in a model's folder, by their place in it."""
    found = (path for path in sorted(model.rglob("*")) if path.suffix in WEIGHTS + SETTINGS and path.is_file())
    own = [path.relative_to(model) for path in found]
    return {
        path.as_posix(): of_file(model / path)
        for path in own
        if path.parts[0] != FOLDER and not path.parts[0].startswith(".") and path.name not in OTHERS
    }


def has_weights(model: Path) -> bool:
    """Whether torch could load the folder."""
    return any(path.suffix in WEIGHTS for path in [*model.glob("*"), *model.glob("*/*")])


def folder_of(model: Path) -> Path | None:
    """Where a model's export is: what a killed export moved aside counts, if it came to no new one."""
    return next((each for each in (model / FOLDER, model / REPLACED) if (each / MANIFEST).is_file()), None)


def read_export(model: Path, kind: str) -> tuple[Path, Manifest]:
    """The folder and manifest of a model's export, once its files and the model's are found to be what they were.

    Raises:
        ConfigError: no export there, or none of this kind.
        CacheMismatch: files that changed since; weights or settings that it was not made of.
    """
    folder = folder_of(model)
    int8 = " --int8" * (kind == "onnx-int8")
    if folder is None:
        raise ConfigError(f"model {model}: no ONNX export there. Make one: tutelage export {model}{int8}.")
    cure = f"Export anew: tutelage export {model}{int8}."
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValidationError as fault:
        raise CacheMismatch(f"{folder / MANIFEST}: no manifest of ours ({fault.errors()[0]['msg']}). {cure}") from None
    graph = GRAPHS[kind]
    if graph not in manifest.files:
        raise ConfigError(f"{folder}: holds no {graph}. Make it: tutelage export {model}{int8}.")
    for name, checksum in manifest.files.items():
        if name in (TOKENIZER, graph, f"{graph}.data") and _checksum(folder / name) != checksum:
            raise CacheMismatch(f"{folder / name}: missing, or not as it was exported. {cure}")
    for name, checksum in manifest.sources.items():
        if (model / name).is_file() and of_file(model / name) != checksum:
            raise CacheMismatch(f"{folder}: made of another {name} than {model} holds now. {cure}")
    return folder, manifest


def _checksum(path: Path) -> str:
    return of_file(path) if path.is_file() else ""


@contextmanager
def replacing(model: Path) -> Iterator[Path]:
    """A folder to write an export into; it takes the old one's place when the block ends without an error.

    A killed export leaves the old one: whole, or set aside under a name that readers know.
    """
    beside, place, old = model / BESIDE, model / FOLDER, model / REPLACED
    if old.exists() and not place.exists():
        os.rename(old, place)
    for left in (beside, old):
        shutil.rmtree(left, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        for path in [*beside.iterdir(), beside]:
            settle(path)
        if place.exists():
            os.rename(place, old)
        os.rename(beside, place)
        settle(model)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
