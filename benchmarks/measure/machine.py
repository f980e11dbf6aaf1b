"""What this machine can do: its rate of matrix products, and the memory that a process takes."""

import statistics
import time
from pathlib import Path

import torch


def gemm_rate(precision: str = "fp32", device: str = "cpu") -> float:
    """Flops a second of a large matrix product, now."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=DTYPES[precision]) for _ in range(2))
    spent = []
    for _ in range(8):
        start = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for the device
        spent.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(spent[2:])


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def forget_peak(device: str = "cpu") -> None:
    """Count the peak anew from here."""
    if device == "cpu":
        Path("/proc/self/clear_refs").write_text("5")
    else:
        torch.cuda.reset_peak_memory_stats()


def memory_gib(device: str = "cpu") -> tuple[float, float]:
    """Resident (on a GPU: allocated) memory of this process now, and its peak since `forget_peak`."""
    if device != "cpu":
        return torch.cuda.memory_allocated() / 2**30, torch.cuda.max_memory_allocated() / 2**30
    lines = Path("/proc/self/status").read_text().splitlines()
    held = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines if line.startswith("Vm"))}
    return held["VmRSS"] / 2**20, held["VmHWM"] / 2**20
