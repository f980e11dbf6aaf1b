"""Which precision a machine trains in: by what was asked, by the device, and on a CPU by the clock."""

import pytest
import torch

from tutelage.encode import precision
from tutelage.encode.precision import settle
from tutelage.errors import ConfigError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("bf16", "chosen"), [(0.5, "bf16"), (0.95, "fp32"), (2.0, "fp32")])
def test_on_a_cpu_auto_goes_by_the_clock_and_bf16_must_be_a_tenth_faster(monkeypatch, bf16, chosen) -> None:
    monkeypatch.setattr(precision, "_seconds", lambda dtype: bf16 if dtype == torch.bfloat16 else 1.0)
    assert settle("auto", CPU) == chosen


@pytest.mark.parametrize(("has", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_on_a_gpu_auto_is_bf16_where_it_has_that(monkeypatch, has, chosen) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    assert settle("auto", CUDA) == chosen


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_what_was_asked_for_is_kept(asked) -> None:
    assert settle(asked, CPU) == settle(asked, CUDA) == asked


def test_fp16_is_refused_on_a_cpu() -> None:
    assert settle("fp16", CUDA) == "fp16"
    with pytest.raises(ConfigError) as caught:
        settle("fp16", CPU)
    assert str(caught.value) == (
        "training.precision: fp16 needs a GPU and none is at hand. Set training.precision=auto."
    )


def test_the_clock_runs() -> None:
    assert 0 < precision._seconds(torch.float32) < 10
