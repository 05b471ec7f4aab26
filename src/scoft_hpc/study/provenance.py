"""The code, versions, machine and data that a run was computed with."""

from __future__ import annotations

import functools
import platform
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from scoft_hpc import __version__
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import RunDir

PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "safetensors",
    "numpy",
    "hydra-core",
    "submitit",
)


def write(run: RunDir, device: str, data_digest: str, model_digest: str) -> None:
    """Write provenance.json; no environment variable goes into it."""
    atomic.write_json(
        run.provenance,
        {
            "scoft_hpc": __version__,
            **commit(),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
            "host": socket.gethostname(),
            "device": device,
            "data_digest": data_digest,
            "model_digest": model_digest,
            "program": Path(sys.argv[0]).name,
        },
    )


@functools.cache
def commit() -> dict[str, str | bool | None]:
    """{"commit": hex or None, "dirty": bool or None}: of the checkout that holds the code, if any."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout

    try:
        if not git("ls-files", "--", __file__).strip():
            return {"commit": None, "dirty": None}
        return {
            "commit": git("rev-parse", "HEAD").strip(),
            "dirty": bool(git("status", "--porcelain").strip()),
        }
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
