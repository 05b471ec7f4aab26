"""Where a run computes, and what that place can do: through accelerate."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState
from accelerate.utils import is_bf16_available
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from scoft_hpc.config.schema import Precision
from scoft_hpc.errors import ConfigError
from scoft_hpc.text import first_line

BF16_SINCE = (8, 0)
"""The compute capability (Ampere's) from which on a GPU has bf16; torch itself emulates it on older ones."""

OUT_OF_MEMORY = ("ALLOC_FAILED", "CUDA error: out of memory")
"""What is said where there is none for cuBLAS, cuDNN or cuFFT themselves, or for a kernel that is first used."""


def device_of(device: str) -> torch.device:
    """The device that a setting names; `auto` is the first accelerator if there is one.

    Raises:
        ConfigError: if torch does not know or cannot use it, or finds no GPU where one was given.
    """
    if device == "auto":
        accelerator: torch.device = PartialState().device
        given = os.environ.get("CUDA_VISIBLE_DEVICES", "-1")
        if accelerator.type == "cpu" and given not in ("", "-1"):
            raise ConfigError(_no_cuda(given))
        return accelerator
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device={device} cannot be used ({first_line(error)}); try auto, cpu or cuda."
        ) from None


def check_precision(precision: Precision, device: torch.device) -> None:
    """Whether the device computes in a precision. CPUs compute in all: fp16 and bf16 slowly, for trying out.

    Raises:
        ConfigError: for bf16 on a GPU that only emulates it.
    """
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        able, name = capability >= BF16_SINCE, torch.cuda.get_device_name(device)
    else:
        able, name = is_bf16_available(), device.type
    if fault := precision_fault(precision, able, name):
        raise ConfigError(fault)


def precision_fault(precision: Precision, bf16: bool, name: str) -> str | None:
    """Why a device of that name, which has bf16 or not, cannot be used with the precision; None if it can."""
    if bf16 or precision is not Precision.bf16:
        return None
    return (
        f"model.precision=bf16 cannot be used on {name}: it takes an NVIDIA GPU of the Ampere generation or newer "
        f"(A100, A40, L40S, H100 …). On older ones, such as the V100, use model.precision=fp16."
    )


def empty_cache() -> None:
    """Give the memory that torch keeps for later back to the device."""
    clear_device_cache(garbage_collection=True)


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that a smaller batch may do: the device's or the host's memory was too small."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return bool(should_reduce_batch_size(error)) or any(text in str(error) for text in OUT_OF_MEMORY)


def _no_cuda(given: str) -> str:
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
    return (
        f"a GPU was given (CUDA_VISIBLE_DEVICES={given}), but this torch {torch.__version__}, built for {built}, "
        f"finds none. Install a build that fits the driver, or ask for a CPU with device=cpu: "
        f"the GPU would be paid for and not used."
    )
