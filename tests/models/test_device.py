"""Which device a run takes, what it can compute in, and what counts as out of memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from scoft_hpc.config.schema import Precision
from scoft_hpc.errors import ConfigError
from scoft_hpc.models.device import check_precision, device_of, empty_cache, out_of_memory, precision_fault

CPU = torch.device("cpu")


def test_the_cpu_and_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of("cpu") == CPU
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match=r"device=cuda:99 cannot be used .*; try auto, cpu or cuda"):
        device_of("cuda:99")


@pytest.mark.slow
def test_a_gpu_that_was_given_and_not_found_is_told() -> None:
    """In a process of its own, where the GPU that was given is one that no machine has."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "99"}
    command = [sys.executable, "-c", "from scoft_hpc.models.device import device_of; device_of('auto')"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "a GPU was given (CUDA_VISIBLE_DEVICES=99), but this torch" in ended.stderr
    assert "ask for a CPU with device=cpu" in ended.stderr


@pytest.mark.parametrize("precision", list(Precision))
def test_a_cpu_computes_in_all(precision: Precision) -> None:
    check_precision(precision, CPU)


def test_bf16_takes_a_gpu_that_has_it() -> None:
    fault = precision_fault(Precision.bf16, False, "Tesla V100-SXM2-32GB")
    assert fault is not None
    assert fault.startswith("model.precision=bf16 cannot be used on Tesla V100-SXM2-32GB")
    assert "use model.precision=fp16" in fault
    assert precision_fault(Precision.fp16, False, "Tesla V100-SXM2-32GB") is None
    assert precision_fault(Precision.bf16, True, "NVIDIA A100-SXM4-80GB") is None


def test_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as host:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(host.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert out_of_memory(
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    )
    assert out_of_memory(
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported")
    )
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory."))
    empty_cache()
