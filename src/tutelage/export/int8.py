"""A model in 8 bits: outliers smoothed away, then onnxruntime's dynamic quantisation.

Activations share one scale a batch, and in transformers a few columns of what leaves a LayerNorm are 10 to 20 times as
large as the rest: they take all of the scale. Dividing such columns by s and multiplying the weights' by s changes no
product (SmoothQuant, arXiv:2211.10438), and leaves both easy to round.

Measured on MiniLM, MAP on TalentCLEF's English set (float32: .4966): as onnxruntime does by default .4903; by channel
.4927, MatMul alone by channel .4901; smoothed, MatMul alone: by channel .4969, one scale a matrix .4924; with the
embedding table in 8 bits too .4923; smoothing of every product's input, not of a LayerNorm's alone, .4881; s leaning
to the activations (exponent .7) .4944; smoothed with scales fixed beforehand .4933.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import Float
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from tutelage.encode.encoder import encode
from tutelage.export.graph import quiet, write_graph
from tutelage.records.taxonomy import labels

LEAST = 1e-5  # of a column's size: below it the column holds nothing


class Smoothed(nn.Module):
    """A linear layer whose input's columns are divided by ``size``, and its weights' multiplied."""

    shrink: Tensor

    def __init__(self, linear: nn.Linear, size: Float[Tensor, " columns"]):
        super().__init__()
        self.weight, self.bias = nn.Parameter(linear.weight.detach() * size), linear.bias
        self.register_buffer("shrink", 1 / size)

    def forward(self, x: Tensor) -> Tensor:
        """As the linear layer, but for rounding."""
        return nn.functional.linear(x * self.shrink, self.weight, self.bias)


def write_int8(model: SentenceTransformer, path: Path) -> None:
    """Write the model as ONNX with its matrix products in 8 bits.

    Weights take the whole range of 8 bits: processors without VNNI instructions (before 2019) may add up too far there.

    Args:
        model: on the CPU, in float32; it stays as it is.
        path: ends in ``.onnx``.
    """
    with TemporaryDirectory(dir=path.parent) as folder:
        whole, prepared = Path(folder) / "whole.onnx", Path(folder) / "prepared.onnx"
        write_graph(smoothed(model, calibration_texts()), whole)
        large = whole.with_name(f"{whole.name}.data").exists()
        with quiet():
            quant_pre_process(
                whole, prepared, skip_optimization=True, skip_symbolic_shape=True, save_as_external_data=large
            )
            quantize_dynamic(
                prepared, path, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8,
                use_external_data_format=large,
            )  # fmt: skip


def calibration_texts() -> list[str]:
    """Job titles of the sample, in four languages: how large an activation's columns are hardly depends on the text."""
    return [label.text for label in labels("sample:en,de,es,tr")]


def smoothed(model: SentenceTransformer, texts: Sequence[str]) -> SentenceTransformer:
    """A copy of the model, smoothed where a LayerNorm feeds linear layers; the same vectors, but for rounding."""
    copy = deepcopy(model).eval()
    groups = _fed_by_norms(copy, texts[0])
    sizes = _column_sizes(copy, [group[0] for group in groups], texts)
    layers = dict(copy.named_modules())
    for group, size in zip(groups, sizes, strict=True):
        weight = torch.stack([layers[name].weight.detach().abs().amax(0) for name in group]).amax(0)
        scale = (size.clamp(min=LEAST) / weight.clamp(min=LEAST)).sqrt()
        for name in group:
            parent, _, own = name.rpartition(".")
            setattr(layers[parent], own, Smoothed(layers[name], scale / scale.median()))
    return copy


def _fed_by_norms(model: SentenceTransformer, text: str) -> list[list[str]]:
    """Names of the linear layers that share an input, where that is what a LayerNorm gave."""
    kept: list[Tensor] = []  # so that no place in memory is used twice
    normed: set[tuple[int, torch.Size]] = set()
    fed: dict[tuple[int, torch.Size], list[str]] = {}

    def leaves_norm(module: nn.Module, inputs: object, output: Tensor) -> None:
        kept.append(output)
        normed.add((output.data_ptr(), output.shape))

    def enters(name: str, x: Tensor) -> None:
        kept.append(x)
        if (place := (x.data_ptr(), x.shape)) in normed:  # a part of it begins at the same place
            fed.setdefault(place, []).append(name)

    norms = [module for module in model.modules() if type(module).__name__.endswith("Norm")]
    with _hooked(model, enters):
        hooks = [module.register_forward_hook(leaves_norm) for module in norms]
        encode(model, [text])
        for hook in hooks:
            hook.remove()
    return list(fed.values())


def _column_sizes(
    model: SentenceTransformer, names: Sequence[str], texts: Sequence[str]
) -> list[Float[Tensor, " columns"]]:
    """The largest absolute value in each column of these layers' inputs."""
    found: dict[str, Tensor] = {}

    def enters(name: str, x: Tensor) -> None:
        if name in names:
            size = x.detach().flatten(0, -2).abs().amax(0).clone()
            found[name] = torch.maximum(found[name], size) if name in found else size

    with _hooked(model, enters):
        encode(model, texts)
    return [found[name] for name in names]


@contextmanager
def _hooked(model: SentenceTransformer, enters) -> Iterator[None]:  # type: ignore[no-untyped-def]
    def hook(name: str):  # type: ignore[no-untyped-def]
        return lambda module, inputs: enters(name, inputs[0])

    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_pre_hook(hook(name)) for name, module in layers]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()
