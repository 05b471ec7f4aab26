"""Images of another generator: found by name or by a list, checked at once, and taken as a run's samples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from scoft_hpc.config.schema import RunConfig, Variant
from scoft_hpc.data import images
from scoft_hpc.errors import DataError
from scoft_hpc.evaluation.generate import EvaluatedRun, import_samples
from scoft_hpc.inputs import external_images
from scoft_hpc.inputs.dataset import Manifest, Pair
from scoft_hpc.study.paths import RunDir
from settings_changes import changed

TEXTS = ("a house", "a boat")
MANIFEST = Manifest("korea", Path("korea"), tuple(Pair(Path("x"), text, text) for text in TEXTS), (), "")


def picture(path: Path, shade: int, size: tuple[int, int] = (48, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 0, 0)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two samples of each prompt, by name."""
    for prompt in range(2):
        for sample in range(2):
            ending = "JPG" if sample else "png"
            picture(
                tmp_path / "sdxl" / "korea" / f"p{prompt:02d}-s{sample:02d}.{ending}",
                80 * prompt + 9 * sample,
            )
    return tmp_path / "sdxl" / "korea"


def config(folder: Path, **changes: object) -> RunConfig:
    usual = {"data.name": "folder", "evaluation.images": str(folder.parent), "evaluation.samples": 2}
    return changed(RunConfig(variant=Variant.base), {**usual, "model.resolution": 32, **changes})


def listed(folder: Path, *rows: object) -> None:
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def faults(config: RunConfig) -> str:
    with pytest.raises(DataError) as caught:
        external_images.find(config, MANIFEST)
    return str(caught.value)


def test_by_name(folder: Path) -> None:
    picture(folder / "p02-s00.png", 0)  # of a prompt that is not asked
    (folder / "notes.txt").write_text("anything")
    matched = external_images.find(config(folder), MANIFEST)
    names = [[path.name for path in paths] for paths in matched.images]
    assert names == [["p00-s00.png", "p00-s01.JPG"], ["p01-s00.png", "p01-s01.JPG"]]
    first = external_images.find(config(folder, **{"evaluation.samples": 1}), MANIFEST)
    assert [len(paths) for paths in first.images] == [1, 1] and first.digest != matched.digest


def test_by_a_list(folder: Path) -> None:
    names = [
        ("p01-s00.png", "a house"),
        ("p00-s00.png", " a boat "),
        ("p00-s01.JPG", "a boat"),
        ("p01-s01.JPG", "a house"),
    ]
    listed(folder, *({"file_name": name, "prompt": prompt, "cfg": 7} for name, prompt in names))
    matched = external_images.find(config(folder), MANIFEST)
    assert [[path.name for path in paths] for paths in matched.images] == [
        ["p01-s00.png", "p01-s01.JPG"],
        ["p00-s00.png", "p00-s01.JPG"],
    ]


def test_the_digest_is_of_the_bytes_and_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    before = external_images.with_digest(config(folder), MANIFEST)
    moved = folder.parent.rename(tmp_path / "elsewhere") / "korea"
    after = external_images.with_digest(config(moved), MANIFEST)
    assert after.digest == before.digest and after.images == str(tmp_path / "elsewhere")
    planned = replace(config(moved), evaluation=after)
    picture(moved / "p00-s00.png", 200)
    assert "has changed since the run was planned" in faults(planned)


def test_a_draw_for_each_seed(folder: Path) -> None:
    assert external_images.seeds(config(folder), "korea", [3, 1, 2]) == [3], "one draw is one seed's"
    (folder / "seed1").mkdir()
    for path in folder.glob("p*"):
        path.rename(folder / "seed1" / path.name)
    assert external_images.seeds(config(folder), "korea", [0, 1, 2]) == [1]
    assert external_images.find(config(folder, seed=1), MANIFEST).images[0][0].parent.name == "seed1"
    assert "too few images" in faults(config(folder, seed=0))
    assert external_images.seeds(changed(config(folder), {"evaluation.images": None}), "korea", [0, 1]) == [
        0,
        1,
    ]


def test_all_faults_at_once(folder: Path) -> None:
    (folder / "p00-s00.png").write_bytes(b"no image")
    (folder / "p00-s01.JPG").unlink()
    picture(folder / "p00-s01.png", 1, (9, 9))
    (folder / "p01-s00.png").unlink()
    (folder / "p01-s00.png").symlink_to("/etc/passwd")
    picture(folder / "p01-s01.png", 3)
    messages = faults(config(folder))
    assert "'p01-s00.png' leads out of the culture's folder" in messages
    assert "p01-s01.png and p01-s01.JPG are the same sample" in messages
    assert "too few images: 1 of 'a boat'; expected evaluation.samples=2" in messages
    assert "p00-s00.png is not a whole image" in messages and "p00-s01.png is 9 x 9" in messages


def test_all_faults_of_a_list_at_once(folder: Path) -> None:
    picture(folder.parent / "secret.png", 1)
    good = {"file_name": "p00-s00.png", "prompt": "a house"}
    bad = [[], {"file_name": "p00-s00.png"}, {**good, "prompt": 3}]
    places = [{**good, "file_name": name} for name in ("../secret.png", "/etc/passwd", "none.png")]
    listed(folder, good, *bad, *places)
    messages = faults(config(folder))
    for row in (2, 3, 4, 5, 6, 7):
        assert f"row {row}: " in messages
    assert (
        "too few images: 1 of 'a house', 0 of 'a boat'" in messages and "rows of metadata.jsonl" in messages
    )


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "has no folder korea" in faults(config(tmp_path / "sdxl" / "korea"))


def test_they_become_samples_of_the_models_size(folder: Path, tmp_path: Path) -> None:
    turned = Image.new("RGB", (40, 64), (0, 0, 0))
    turned.paste((250, 250, 250), (0, 0, 40, 32))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned.save(folder / "p00-s01.JPG", quality=95, exif=exif)
    run = RunDir(tmp_path / "run")
    import_samples(EvaluatedRun(run, config(folder), MANIFEST, 0))
    names = sorted(path.name for path in run.samples.iterdir())
    assert names == ["p00-s00.png", "p00-s01.png", "p01-s00.png", "p01-s01.png"]
    pixels = images.read_pixels(run.samples / "p00-s01.png", 32)
    assert pixels.shape == (3, 32, 32)
    assert pixels[:, :10].float().mean() < 20 and pixels[:, -10:].float().mean() > 230
    exact = images.read_pixels(run.samples / "p01-s00.png", 32)
    assert torch.equal(exact, images.read_pixels(folder / "p01-s00.png", 32))
