"""Probes of this machine: GPU and torch, the internet, and which secrets the environment holds."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.schema import Precision, WandbMode
from scoft_hpc.launch.doctor.checks import CheckResult, CheckStatus, run_concurrently, run_external
from scoft_hpc.launch.slurm.client import SECRETS

CAPABILITY = {
    "v100": 70,
    "t4": 75,
    "a100": 80,
    "a40": 86,
    "l40": 89,
    "l40s": 89,
    "h100": 90,
    "h200": 90,
    "gh200": 90,
}
"""NVIDIA's compute capability (times ten) by the first part of a site's name of the GPU."""

BF16_SINCE = 80

HOSTS = ("huggingface.co", "api.wandb.ai")

ASK_TORCH = """
import json, torch
flags = getattr(torch._C, "_cuda_getArchFlags", lambda: None)() or ""  # known without a GPU, unlike get_arch_list
gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
print(json.dumps({
    "version": torch.__version__, "cuda": torch.version.cuda, "archs": flags.split(),
    "gpus": [[gpu.name, 10 * gpu.major + gpu.minor] for gpu in gpus],
}))
"""


@dataclass(frozen=True)
class Torch:
    """`archs` are what its kernels were built for (`sm_70`, `compute_90`); `gpus` the names and capabilities here."""

    version: str
    cuda: str | None
    archs: list[str]
    gpus: list[tuple[str, int]]


def gpu(config: SweepConfig, wanted: str) -> Iterator[CheckResult]:
    """Findings on the GPUs here and on torch; `wanted` is the type that the jobs ask for, empty for any."""
    torch = _torch()
    if isinstance(torch, str):
        advice = "install it for the environment that runs this command: pip install torch"
        yield CheckResult("torch", torch, CheckStatus.fault, advice)
        return
    yield CheckResult("GPU here", ", ".join(name for name, _ in torch.gpus) or "none")
    build = f"torch {torch.version}, " + (f"CUDA {torch.cuda}" if torch.cuda else "without CUDA")
    if config.device == "cpu":
        yield CheckResult("torch", build)
        return
    kinds = torch.gpus or ([(wanted, known)] if (known := capability(wanted)) else [])
    faults = [incompatibility(torch, name, number, config.model.precision) for name, number in kinds]
    if any(faults):
        advice = " ".join(dict.fromkeys(filter(None, faults)))
        yield CheckResult("torch", build, CheckStatus.fault, advice)
    elif not torch.cuda and wanted:
        advice = "it would leave the GPU idle; install a build for CUDA, or ask for device=cpu."
        yield CheckResult("torch", build, CheckStatus.note, advice)
    else:
        yield CheckResult("torch", f"{build}{_fits(kinds)}")


def incompatibility(torch: Torch, name: str, number: int, precision: Precision) -> str:
    """Why this torch cannot train on the GPU of that compute capability; empty if it can, or has no CUDA at all."""
    if torch.cuda and torch.archs and not runs_on(torch.archs, number):
        advice = "install a build that has it"
        if number == CAPABILITY["v100"]:
            advice = "a V100 needs torch up to 2.14 built for CUDA 12.6"
        return f"{name} needs kernels for sm_{number}, this build has {' '.join(torch.archs)}; {advice}."
    if precision is Precision.bf16 and number < BF16_SINCE:
        return f"{name} has no bf16; take model.precision=fp16."
    return ""


def runs_on(archs: Iterable[str], number: int) -> bool:
    """Whether kernels built for `archs` run on a compute capability.

    Machine code (sm) runs on the same major version from its minor version on; PTX (compute) on all that is later.
    """
    for arch in archs:
        kind, _, digits = arch.partition("_")
        built = int(re.sub(r"\D", "", digits) or 1000)
        if built <= number and (kind == "compute" or built // 10 == number // 10):
            return True
    return False


def capability(gpu_name: str) -> int | None:
    """Of the GPU that a site calls so (`v100-32`, `a100`); None if that is not known."""
    return CAPABILITY.get(re.split(r"[^a-z0-9]", gpu_name.lower())[0])


def internet(seconds: float = 4.0) -> list[CheckResult]:
    """One finding: which of the hosts that weights come from and results may go to take a connection."""
    tries = run_concurrently([(host, partial(_reached, host, seconds)) for host in HOSTS], seconds + 1)
    reached = [finding.check for finding in tries if finding.observed == "reached"]
    missed = [host for host in HOSTS if host not in reached]
    observed = "; ".join(filter(None, [_listed(reached, "reached"), _listed(missed, "not")]))
    if not missed:
        return [CheckResult("internet", observed)]
    advice = (
        "fetch weights where there is a connection (sbatch/fetch.sh) and name their folder with model.path=; "
        "jobs need no network, and gather publishes later."
    )
    return [CheckResult("internet", observed, CheckStatus.note, advice)]


def tokens(config: SweepConfig) -> Iterator[CheckResult]:
    """Which secrets are there; never what they are."""
    names = [name for name in SECRETS if os.environ.get(name)]
    login = (Path.home() / ".netrc").is_file()
    observed = ", ".join([*names, *(["~/.netrc"] if login else [])])
    if config.wandb.mode is WandbMode.online and "WANDB_API_KEY" not in names and not login:
        advice = "wandb.mode=online needs a key when results are gathered: run `wandb login` once."
        yield CheckResult("tokens", observed or "none", CheckStatus.note, advice)
    else:
        yield CheckResult(
            "tokens", f"{observed} (not shown; jobs need none)" if observed else "none; jobs need none"
        )


def _torch() -> Torch | str:
    """What torch says in a process of its own, so that this one stays light; or why it says nothing."""
    answer = run_external(sys.executable, "-c", ASK_TORCH, seconds=100)
    if answer.code != 0:
        return answer.error_message.rpartition("Error: ")[2] or "it cannot be loaded"
    reported = json.loads(answer.output)
    gpus = [(str(name), int(number)) for name, number in reported["gpus"]]
    return Torch(reported["version"], reported["cuda"], list(reported["archs"]), gpus)


def _fits(kinds: list[tuple[str, int]]) -> str:
    return f", fits {', '.join(dict.fromkeys(name for name, _ in kinds))}" if kinds else ""


def _reached(host: str, seconds: float) -> list[CheckResult]:
    with socket.create_connection((host, 443), timeout=seconds):
        return [CheckResult(host, "reached")]


def _listed(hosts: list[str], how: str) -> str:
    return f"{', '.join(hosts)} {how}" if hosts else ""
