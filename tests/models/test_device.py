"""Which device a run takes, what it can compute in, and what counts as out of memory."""

from __future__ import annotations

import pytest
import torch

from scoft_hpc.config.schema import Precision
from scoft_hpc.errors import ConfigError
from scoft_hpc.models.device import check_precision, device_of, empty_cache, out_of_memory

CPU = torch.device("cpu")


def test_the_cpu_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of("cpu") == CPU
    if not torch.cuda.is_available():
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        assert device_of("auto") == CPU
        with pytest.raises(ConfigError, match=r"device=cuda cannot be used .*; try auto, cpu or cuda"):
            device_of("cuda")


def test_a_gpu_that_was_given_and_not_found_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(ConfigError, match=r"a GPU was given \(CUDA_VISIBLE_DEVICES=0\).*ask for a CPU"):
        device_of("auto")


@pytest.mark.parametrize("precision", list(Precision))
def test_a_cpu_computes_in_all(precision: Precision) -> None:
    check_precision(precision, CPU)


@pytest.mark.parametrize(("capability", "able"), [((7, 0), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_takes_an_ampere(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], able: bool
) -> None:
    """Against torch's own words for a V100, an A100 and an H100."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: able or including_emulation
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: f"a GPU of {capability}")
    monkeypatch.setattr(torch.cuda, "device", lambda _: torch.device("cpu"))
    gpu = torch.device("cuda")
    check_precision(Precision.fp16, gpu)
    if able:
        check_precision(Precision.bf16, gpu)
    else:
        with pytest.raises(
            ConfigError, match=r"bf16 cannot be used on a GPU of \(7, 0\).*model\.precision=fp16"
        ):
            check_precision(Precision.bf16, gpu)


def test_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as host:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(host.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert out_of_memory(
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    )
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory."))
    empty_cache()
