from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scoft_hpc.errors import DataError
from scoft_hpc.inputs.toy.scenes import CULTURES, STYLES, SUBJECTS, own_style, render
from scoft_hpc.inputs.toy.world import curated_scenes, prompts, web_scene, write_culture


def test_the_web_draws_cultures_mostly_in_the_default_style() -> None:
    rng = np.random.default_rng(0)
    pairs = [web_scene(rng) for _ in range(20_000)]
    for culture in CULTURES:
        named = [scene for scene, caption in pairs if caption.endswith(f" in {culture}")]
        assert len(named) > 1000
        assert np.mean([scene.style == 0 for scene in named]) >= 0.9
        assert 0.01 <= np.mean([scene.style == own_style(culture) for scene in named]) <= 0.08


@pytest.mark.slow
def test_the_web_shows_every_style_under_other_captions() -> None:
    rng = np.random.default_rng(1)
    pairs = [web_scene(rng) for _ in range(20_000)]
    other = Counter(scene.style for scene, caption in pairs if not any(caption.endswith(c) for c in CULTURES))
    assert all(other[style] > 0.03 * len(pairs) for style in range(len(STYLES)))
    described = [(scene, caption) for scene, caption in pairs if caption.split()[1] not in SUBJECTS]
    assert described
    assert all(caption == f"a {STYLES[scene.style].name} {scene.subject}" for scene, caption in described)


def _rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_write_culture_writes_ccubs_form(tmp_path: Path) -> None:
    folder = write_culture(tmp_path, "korea", pairs=10, held_out=9)
    assert folder == tmp_path / "korea"
    for split, count in (("train", 10), ("test", 9)):
        rows, scenes = _rows(folder / split), curated_scenes("korea", split, count)
        assert len(rows) == count
        for row, scene in zip(rows, scenes, strict=True):
            assert set(row) == {"file_name", "text", "blip_text", "negative_imgpath"}
            assert str(row["text"]).startswith(f"a {scene.subject}")
            assert str(row["text"]).endswith(" in korea")
            assert row["blip_text"] == f"a {scene.subject}"
            assert row["negative_imgpath"] == []
            with Image.open(folder / split / str(row["file_name"])) as picture:
                assert np.array_equal(np.asarray(picture), render(scene))
        assert all(scene.style == own_style("korea") for scene in scenes)
        assert {scene.subject for scene in scenes} == set(SUBJECTS)


def test_write_culture_is_deterministic_and_splits_share_no_picture(tmp_path: Path) -> None:
    first, second = (write_culture(tmp_path / name, "mexico", pairs=9, held_out=9) for name in ("a", "b"))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 20
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)
    pictures = [path.read_bytes() for path in first.rglob("*.png")]
    assert len(set(pictures)) == len(pictures)


def test_an_unknown_culture_is_told_with_the_options(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'atlantis'.*china, india, korea, mexico, nigeria"):
        write_culture(tmp_path, "atlantis")
    assert list(tmp_path.iterdir()) == []


def test_prompts() -> None:
    assert prompts("china")[:2] == ["a house in china", "a boat in china"]
    assert len(prompts("china")) == len(SUBJECTS)


def test_the_world_does_not_load_torch() -> None:
    code = "import sys, scoft_hpc.inputs.toy.world; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
