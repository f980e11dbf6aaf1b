"""The guide store: every distinct text through the guide once, kept on disk, found by text id.

A folder of three files. ``vectors.npy`` (texts x dim, unit length, float16 unless told otherwise) and ``text_ids.npy``
(sorted) are memory-mapped; ``manifest.json`` carries the fingerprint and is written last: a folder without it is a
build that did not finish, and is built again.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree
from uuid import uuid4

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tutelage.errors import CacheMismatch, ConfigError, DataError
from tutelage.guide import fingerprint as fp
from tutelage.guide.sources import Guide, of_any
from tutelage.records.texts import canonical, distinct, text_ids

MANIFEST = "manifest.json"
FILES = ("text_ids.npy", "vectors.npy", MANIFEST)
DTYPES = ("float16", "float32", "float64")


class GuideStore:
    """Guide vectors by text id.

    The similarity of two texts is the dot product of their vectors; or, where there are ``guide_dims``, the largest dot
    product of slices of these widths, one slice for each guide.

    Example::

        store = GuideStore.build(guide, texts, "guides/minilm")   # once; later runs find it finished
        store = GuideStore.open("guides/minilm")
        store.vectors(text_ids(["nurse", "welder"]))              # [2, dim], unit length
    """

    def __init__(
        self,
        ids: Int64[np.ndarray, " texts"],
        matrix: np.ndarray,
        fingerprint: fp.Fingerprint,
        path: Path,
        guide_dims: tuple[int, ...] | None = None,
    ) -> None:
        self._ids, self._matrix = ids, matrix
        self.fingerprint, self.path, self.guide_dims = dict(fingerprint), path, guide_dims

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"GuideStore({self.path}, {len(self)} texts, {self.dim} dimensions, {fp.short(self.fingerprint)})"

    @property
    def dim(self) -> int:
        """Width of the guide's vectors."""
        return int(self._matrix.shape[1])

    @classmethod
    def build(
        cls,
        guide: Guide,
        texts: Iterable[str],
        path: str | Path,
        *,
        prompt: str | None = None,
        name: str | None = None,
        dtype: str = "float16",
        token_budget: int | None = None,
        progress: str | None = "guide",
        overwrite: bool = False,
    ) -> "GuideStore":
        """Embed every distinct text once and keep the vectors.

        A finished store of the same fingerprint is reused, and only the texts that it lacks are embedded. Of several
        processes one should build it before the others open it: each would embed all texts, and replace the others'.

        Args:
            guide: a sentence-transformers model, a function from a list of n texts to an (n, dim) array, or one of
                `tutelage.guide.sources`: n-grams, a matrix, several guides together.
            texts: all texts that training will touch; repeats cost nothing.
            path: the store's folder. It appears whole or not at all.
            prompt: the guide's own prompt (models only), put before every text.
            name: identifies a function in the fingerprint; change it when the function changes.
            dtype: ``float16`` (similarities good to about 1e-3), ``float32`` or ``float64``.
            token_budget: padded tokens in one forward pass.
            progress: label of the progress bar; none: silent.
            overwrite: replace a store of another fingerprint instead of refusing it.

        Raises:
            CacheMismatch: the folder holds the store of another guide, prompt or dtype, or a damaged one.
            ConfigError: a function without a name, or a folder that holds something else.
            DataError: no texts, or the guide returned another number of vectors, or some that are not numbers.
        """
        path = Path(path)
        texts = [canonical(text) for text in distinct(texts)]
        if not texts:
            raise DataError("guide store: no texts to embed. Give the training texts.")
        if dtype not in DTYPES:
            raise ConfigError(f"guide store: dtype is '{dtype}'. Options: {', '.join(DTYPES)}.")
        source = of_any(guide, prompt=prompt, name=name, token_budget=token_budget, progress=progress)
        fields = {**source.fields, "dtype": dtype}
        held = cls._held(path, fields, overwrite=overwrite)
        if held is not None:
            texts = [text for text, known in zip(texts, held.holds(text_ids(texts)), strict=True) if not known]
            if not texts:
                return held
        vectors, guide_dims = source.embed(texts)
        ids, matrix = text_ids(texts), vectors.astype(dtype)
        if held is not None:
            ids, matrix = np.concatenate([held._ids, ids]), np.concatenate([held._matrix, matrix])
        order = np.argsort(ids)
        _write(path, ids[order], matrix[order], fields, guide_dims)
        return cls.open(path, fields)

    @classmethod
    def _held(cls, path: Path, fields: fp.Fingerprint, *, overwrite: bool) -> "GuideStore | None":
        """The finished store that a build may go on from; none where there is none, or one to be replaced."""
        if path.exists() and (not path.is_dir() or {file.name for file in path.iterdir()} - set(FILES)):
            raise ConfigError(f"{path}: holds files that are no guide store. Choose another folder or empty this one.")
        if not (path / MANIFEST).is_file():
            return None
        try:
            return cls.open(path, fields)
        except CacheMismatch:
            if overwrite:
                return None
            raise

    @classmethod
    def open(cls, path: str | Path, fingerprint: fp.Fingerprint | None = None) -> "GuideStore":
        """A finished store, memory-mapped.

        Args:
            path: the store's folder.
            fingerprint: what the store must be; default: anything.

        Raises:
            CacheMismatch: unfinished, damaged, or of another fingerprint; the message names the fields that differ.
        """
        path = Path(path)
        if not (path / MANIFEST).is_file():
            raise CacheMismatch(
                f"guide store {path}: no finished store. Build it: GuideStore.build(guide, texts, path)."
            )
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            held, guide_dims = manifest["fingerprint"], manifest.get("guide_dims")
            ids, matrix = (np.load(path / file, mmap_mode="r") for file in FILES[:2])
            whole = ids.shape == (manifest["texts"],) and matrix.shape == (manifest["texts"], manifest["dim"])
            whole = whole and fp.of_texts(ids) == manifest["texts_digest"]
        except (KeyError, TypeError, ValueError, OSError, EOFError):
            whole = False
        if not whole:
            raise CacheMismatch(f"guide store {path}: damaged, or files of several stores. Remove it, and run again.")
        if fingerprint is not None and (changed := fp.differences(held, fingerprint)):
            raise CacheMismatch(
                f"guide store {path} holds fingerprint {fp.short(held)}, this run needs {fp.short(fingerprint)} "
                f"({', '.join(changed)} changed). Choose another folder (in a recipe: guide.store) or remove this one."
            )
        return cls(np.asarray(ids), matrix, held, path, tuple(guide_dims) if guide_dims else None)

    def holds(self, ids: Int64[np.ndarray, " texts"]) -> Bool[np.ndarray, " texts"]:
        """Whether the store has a vector for each of these text ids."""
        return np.asarray(self._ids[self._rows(ids)] == ids)

    def _rows(self, ids: Int64[np.ndarray, " texts"]) -> Int64[np.ndarray, " texts"]:
        """Where each id stands, or would stand."""
        return np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)

    def vectors(self, ids: Int64[np.ndarray, " texts"] | Tensor) -> Float[Tensor, "texts dim"]:
        """Vectors of these text ids, in their order, as float32 (float64 where stored so), on the ids' device.

        Raises:
            DataError: an id that the store does not hold.
        """
        wanted = ids.cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
        if (missing := ~self.holds(wanted)).any():
            raise DataError(
                f"guide store {self.path}: {int(missing.sum())} of {len(wanted)} texts are not in it (first id "
                f"{int(wanted[missing][0])}). Build it over all training texts: GuideStore.build(guide, texts, path)."
            )
        dtype = np.promote_types(self._matrix.dtype, np.float32)
        found = torch.from_numpy(self._matrix[self._rows(wanted)].astype(dtype))
        return found.to(ids.device) if isinstance(ids, Tensor) else found


def _write(
    path: Path,
    ids: Int64[np.ndarray, " texts"],
    matrix: np.ndarray,
    fingerprint: fp.Fingerprint,
    guide_dims: tuple[int, ...] | None,
) -> None:
    """Everything in a folder beside the target, the manifest last, then one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}-{uuid4().hex}")  # not mkdtemp: its folder would be closed to all others
    work.mkdir()
    try:
        for file, array in zip(FILES, (ids, matrix), strict=False):
            np.save(work / file, array)
        manifest = {
            "fingerprint": dict(fingerprint),
            "texts": len(matrix),
            "dim": matrix.shape[1],
            "guide_dims": guide_dims,
            "texts_digest": fp.of_texts(ids),
        }
        (work / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        old = work.with_name(f"{work.name}-old")
        if path.exists():
            os.replace(path, old)
        os.replace(work, path)
        rmtree(old, ignore_errors=True)
    finally:
        rmtree(work, ignore_errors=True)
