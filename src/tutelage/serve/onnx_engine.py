"""An exported model as an engine: onnxruntime and a tokenizer, no torch."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from jaxtyping import Float, Int64
from tokenizers import Tokenizer
from tqdm import tqdm

from tutelage.encode.lengths import pack
from tutelage.serve.onnx_folder import GRAPHS, INT8, TOKENIZER, Manifest, read_export

OUTPUT = "sentence_embedding"
TOKENISED_AT_ONCE = 1024  # texts
TOKEN_BUDGET = 768  # padded tokens of a batch: its activations stay in a core's cache
WIDE = 768  # from this width on an operation is long enough to be worth sharing between cores


class OnnxEngine:
    """A graph that `tutelage.export.onnx` wrote, as an engine.

    Narrow models run a batch on each core, wide ones each batch on all cores: the operations of a narrow model are so
    short that handing them to another core costs more than it saves. A call is cut into as many batches as there are
    cores, so that also a small one uses them all.

    In 8 bits the activations' scale is one for a batch, so a text's vector depends a little on its company (cosine
    about 0.99 between any two); its fingerprint is not the torch model's.

    Args:
        folder: ``MODEL/onnx``.
        manifest: what it holds.
        name: what clients call the model by.
        kind: ``onnx`` or ``onnx-int8``.
        cores: default: as many as this process may use, or ``OMP_NUM_THREADS``.

    Example::

        engine = open_onnx("runs/demo/model", "onnx-int8")
        engine.encode(["senior java dev"]).shape
    """

    def __init__(self, folder: Path, manifest: Manifest, name: str, kind: str = "onnx", cores: int | None = None):
        self.name, self.dims, self.max_length = name, manifest.dims, manifest.max_length
        self.prompts: Mapping[str, str | None] = manifest.prompts
        self.default_prompt = manifest.default_prompt
        self.fingerprint = manifest.fingerprint + INT8 * (kind == "onnx-int8")
        self._inputs, self._padding = manifest.inputs, manifest.padding_id
        cores = cores or cores_at_hand()
        shared = self.dims[0] >= WIDE
        self._batches_at_once = 1 if shared else cores
        self._session = _session(folder / GRAPHS[kind], cores if shared else 1)
        self._pool = ThreadPoolExecutor(self._batches_at_once, thread_name_prefix="onnx")
        # Truncation is a setting of a tokenizer: one that cuts, one that counts.
        self._cutting, self._counting = (Tokenizer.from_file(str(folder / TOKENIZER)) for _ in range(2))
        for tokenizer in (self._cutting, self._counting):
            tokenizer.no_padding()
            tokenizer.no_truncation()
        if self.max_length:
            self._cutting.enable_truncation(self.max_length)

    def encode(
        self, texts: Sequence[str], *, prompt: str | None = None, progress: str | None = None
    ) -> Float[np.ndarray, "texts dim"]:
        """Unit float32 vectors, in order; texts that the tokenizer cannot tell apart have equal vectors."""
        place: dict[bytes, int] = {}
        again = np.empty(len(texts), dtype=np.int64)
        for at, row in enumerate(self._token_rows([self._prompted(text, prompt) for text in texts])):
            again[at] = place.setdefault(row, len(place))
        rows = [np.frombuffer(row, dtype=np.int32) for row in place]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        found = np.empty((len(rows), self.dims[0]), dtype=np.float32)

        def run(batch: Int64[np.ndarray, " rows"]) -> int:
            found[batch] = self._forward([rows[row] for row in batch])
            return len(batch)

        budget = min(TOKEN_BUDGET, -(-int(lengths.sum()) // self._batches_at_once) or 1)
        with tqdm(total=len(texts), desc=progress, unit=" texts", disable=None if progress else True) as bar:
            bar.update(len(texts) - len(rows))
            for count in self._pool.map(run, pack(lengths, budget)):
                bar.update(count)
        return found[again]

    def tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[list[int]]:
        """Token ids as the model would see them, uncut."""
        return [each.ids for each in self._counting.encode_batch([self._prompted(text, prompt) for text in texts])]

    def pieces(self, ids: Sequence[int]) -> list[tuple[str, bool]]:
        """Each token as the tokenizer spells it, and whether it is a special one."""
        special = {at for at, token in self._counting.get_added_tokens_decoder().items() if token.special}
        return [(self._counting.id_to_token(each) or "", each in special) for each in ids]

    def _prompted(self, text: str, prompt: str | None) -> str:
        return ((self.default_prompt if prompt is None else prompt) or "") + text

    def _token_rows(self, texts: Sequence[str]) -> Iterator[bytes]:
        """The int32 token ids of each text, as bytes: a key, and an array's content."""
        windows = [texts[start : start + TOKENISED_AT_ONCE] for start in range(0, len(texts), TOKENISED_AT_ONCE)]
        for encodings in self._pool.map(self._cutting.encode_batch_fast, windows):
            yield from (np.array(each.ids, dtype=np.int32).tobytes() for each in encodings)

    def _forward(self, rows: Sequence[np.ndarray]) -> Float[np.ndarray, "rows dim"]:
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        used = np.arange(max(int(sizes.max()), 1)) < sizes[:, None]
        ids = np.full(used.shape, self._padding, dtype=np.int64)
        ids[used] = np.concatenate(rows)
        features = {"input_ids": ids, "attention_mask": used.astype(np.int64), "token_type_ids": np.zeros_like(ids)}
        vectors: np.ndarray = self._session.run([OUTPUT], {name: features[name] for name in self._inputs})[0]
        return vectors


def open_onnx(model: str, kind: str = "onnx", name: str | None = None) -> OnnxEngine:
    """The engine of the export in a model's folder.

    Args:
        model: the model's folder.
        kind: ``onnx`` or ``onnx-int8``.
        name: what clients call it by; default: the folder.

    Raises:
        ConfigError: no such export.
        CacheMismatch: an export whose files, or whose model's, are not what they were.
    """
    folder, manifest = read_export(Path(model), kind)
    return OnnxEngine(folder, manifest, name or Path(model).name, kind)


def cores_at_hand() -> int:
    """``OMP_NUM_THREADS``, as torch takes it, else the cores that this process may run on."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdigit() and int(named):
        return int(named)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # A thread that waits for work would otherwise keep a core from the server's other threads.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # onnxruntime's fused "add, then normalise" is not vectorised in float32: 1.5 ms for 768 tokens 384 wide, where the
    # two operations apart take 0.25.
    return onnxruntime.InferenceSession(
        str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
    )
