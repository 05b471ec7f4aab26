"""The header of a safetensors file, read by hand, against the library's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scoft_hpc.inputs.checkpoints import safetensors_header

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_file(
        {"a.weight": torch.zeros(3, 2, 1, 1), "scalar": torch.tensor(1.0)}, path, metadata={"format": "pt"}
    )
    return path


def test_names_and_shapes(file: Path) -> None:
    assert safetensors_header.problem(file) is None
    assert safetensors_header.shapes(file) == {"a.weight": (3, 2, 1, 1), "scalar": ()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a safetensors file, or only its beginning"),
        (b"\x80\x04" * 50, "is not a safetensors file"),
        (b"\x02" + bytes(7) + b"[]", "is not a safetensors file"),
        (b"\x0d" + bytes(7) + b'{"a":{"b":1}}', "is not a safetensors file"),
        (LFS, "is a Git LFS pointer"),
    ],
)
def test_what_is_none(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    assert message in str(safetensors_header.problem(file))


def test_half_a_file_and_none(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert safetensors_header.problem(file) == f"has {len(whole) - 1} bytes of {len(whole)}: half-downloaded"
    file.unlink()
    assert safetensors_header.problem(file) == "is missing"
