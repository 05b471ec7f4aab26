"""The whole line on photographs and Stable Diffusion's own layers: prepare, train, generate, score, report; twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import Dinov2Config, Dinov2Model

from waiting import PATIENCE

MODEL = ["model=sd14_random", "model.shrink=10", "model.resolution=64", "model.precision=fp32"]
SHORT = [
    "lora.rank=4",
    "train.steps=3",
    "train.batch=2",
    "objective.rollout_steps=4",
    "evaluation.prompts=2",
    "evaluation.samples=2",
    "evaluation.neutral=1",
    "evaluation.steps=2",
    "data.negatives.steps=2",
    "lora.kohya=true",
    "wandb.mode=disabled",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A culture of photographs of several sizes, and a tiny DINOv2 with random weights."""
    path = tmp_path_factory.mktemp("line")
    rng, rows = np.random.default_rng(0), []
    (path / "data" / "quilts" / "train").mkdir(parents=True)
    for i, (width, height) in enumerate([(90, 64), (64, 120), (200, 150), (80, 80)]):
        pixels = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
        name = f"{i}.jpg"
        Image.fromarray(pixels).resize((width, height)).save(path / "data" / "quilts" / "train" / name)
        rows.append({"file_name": name, "text": f"quilt number {i}", "blip_text": "a blanket"})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (path / "data" / "quilts" / "train" / "metadata.jsonl").write_text(lines)
    torch.manual_seed(0)
    dino = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14, mlp_ratio=2
    )
    Dinov2Model(dino).save_pretrained(path / "dino")
    return path


def run(folder: Path, verb: str, *arguments: str) -> str:
    arguments = (
        *arguments,
        *MODEL,
        *SHORT,
        "objective.distance=dino",
        "objective.distance_path=dino",
        "objective.w_vgg=0",
        "scoring.features=dino",
        "scoring.features_path=dino",
    )
    command = [sys.executable, "-m", f"scoft_hpc.{verb}", "culture=quilts", "data.root=data", *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.slow
def test_from_photographs_to_the_report_and_again_from_caches(folder: Path) -> None:
    output = run(folder, "prepare")
    assert "preparing quilts (4 pairs)" in output and "computing the dino" in output
    for name in ("manifest.json", "README.md", "croissant.json"):
        assert (folder / "data" / "quilts" / name).is_file()
    (cache,) = (folder / "outputs" / "cache").glob("quilts-*")
    (features,) = cache.glob("dino-*.safetensors")
    assert load_file(features)["negative"].shape == (4, 2, 1, 1 + 16 * 16, 16)
    created = {path: path.stat().st_mtime_ns for path in (folder / "outputs" / "cache").rglob("*.*")}

    output = run(folder, "prepare")
    assert "loading" not in output and "taking" not in output, "from caches"
    for seed in (0, 1):
        output = run(folder, "train", "variant=mpc", "data=folder", f"seed={seed}")
        assert "preparing" not in output and "taking" not in output and "report" in output
    assert {path: path.stat().st_mtime_ns for path in created} == created, "nothing was made again"

    results = list((folder / "outputs").glob("quilts-mpc-*/runs/*/result.json"))
    assert len(results) == 2
    for result in results:
        rows = [json.loads(line) for line in (result.parent / "metrics.jsonl").read_text().splitlines()]
        assert len(rows) == 3 and rows[0]["loss_c"] is not None
        assert len(list((result.parent / "samples").glob("*.png"))) == 4
        scores = json.loads((result.parent / "scores.json").read_text())
        assert {"clip_score", "base_distance", "diversity", "neutral_kid"} <= set(scores["metrics"])
        assert "that the run was trained with" in scores["metrics"]["diversity"]["warning"], (
            "distance and judge are one network"
        )
        card = (result.parent / "README.md").read_text()
        assert "random" in card and "quilts" in card
        assert (result.parent / "pytorch_lora_weights.kohya.safetensors").is_file()
        weights = load_file(result.parent / "pytorch_lora_weights.safetensors")
        assert all(tensor.isfinite().all() for tensor in weights.values())
        assert any(tensor.abs().max() > 0 for name, tensor in weights.items() if "lora_B" in name)
    assert len(list((folder / "outputs").glob("quilts-mpc-*/report.html"))) == 2
