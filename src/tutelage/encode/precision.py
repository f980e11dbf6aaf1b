"""Which floating-point precision a machine trains fastest in."""

import time
from collections.abc import Callable
from statistics import median
from typing import Literal

import torch

from tutelage.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]
PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16"]
GAIN = 1.1  # bf16 must be so much faster than fp32 on a CPU to be worth its eight bits


def accelerator() -> torch.device:
    """Where training runs: the GPU (or the like) at hand, else the CPU."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def settle(asked: PrecisionChoice, device: torch.device) -> Precision:
    """The precision to train in: the one asked for, or with ``auto`` the fastest that is safe.

    On a GPU ``auto`` means bf16, or fp16 where the GPU lacks it. On a CPU bf16 pays only where the processor has
    instructions for it, so both are timed on a product such as MiniLM's feed-forward layers make: 20 ms.

    Raises:
        ConfigError: fp16 without a GPU, where it has no instructions and no loss scaling.
    """
    if asked == "fp16" and device.type == "cpu":
        raise ConfigError("training.precision: fp16 needs a GPU and none is at hand. Set training.precision=auto.")
    if asked != "auto":
        return asked
    if device.type != "cpu":
        return "bf16" if device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if _seconds(torch.bfloat16) * GAIN < _seconds(torch.float32) else "fp32"


def _seconds(dtype: torch.dtype) -> float:
    """Of one product of 768 tokens, as fast as it usually comes."""
    tokens, weights = torch.ones(768, 384, dtype=dtype), torch.ones(384, 1536, dtype=dtype)
    return median(_timed(lambda: tokens @ weights) for _ in range(7))


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
