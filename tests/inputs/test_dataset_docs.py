"""What is written about a culture, read by those whom it is for: the Hub's and Croissant's own libraries."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard

from cultures import Row, picture, read, row, write
from scoft_hpc.inputs import dataset, dataset_docs
from scoft_hpc.inputs.dataset_docs import CARD, CROISSANT, MANIFEST, WrittenDocuments
from scoft_hpc.inputs.metadata_rows import WRITER

FIELDS = [
    "file",
    "split",
    "sha256",
    "caption",
    "generic_caption",
    "generic_caption_by",
    "category",
    "license",
    "url",
]
READER = Path(__file__).parents[1] / "croissant_reader.py"


@pytest.fixture
def culture(tmp_path: Path) -> Path:
    """Four pairs and one held out; a negative, licences, a name with brackets, captions in other scripts."""
    folder = tmp_path / "prosthetic_limbs"
    picture(folder / "negatives" / "0.png", 9)
    rows = [
        row(folder, 0, license="CC-BY-4.0", url="https://example.org/0.jpg", category="sport"),
        row(folder, 1, text='의족 "C-Leg",\nrunning', negative_imgpath=["negatives/0.png"]),
        row(folder, 2, license="a | b *c*\n<script>", **{WRITER: "blip (c0ffee)"}),
    ]
    picture(folder / "train" / "images" / "a [3]*.png", 3)
    rows.append({"file_name": "./images/a [3]*.png", "text": "x", "blip_text": ["one", "two"], "category": 3})
    picture(folder / "train" / "images" / "stray.png", 4)
    write(folder, rows)
    (folder / "test").mkdir()
    write(folder, [row(folder, 5, "test")], "test")
    return folder


def document(folder: Path) -> WrittenDocuments:
    rows = dataset.validate(folder.parent, folder.name)
    return dataset_docs.write(folder, rows, dataset.from_rows(folder.name, folder, rows).digest)


def contents(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return content


def test_the_manifest_holds_every_file_with_its_hash(culture: Path) -> None:
    assert document(culture).files == tuple(culture / name for name in (MANIFEST, CARD, CROISSANT))
    files = contents(culture)
    assert (files["schema"], files["culture"]) == (1, "prosthetic_limbs")
    assert files["digest"] == dataset.read(culture.parent, culture.name).digest
    rows = files["rows"]
    assert [entry["file"] for entry in rows][3:] == ["train/images/a [3]*.png", "test/images/5.png"]
    assert [entry["split"] for entry in rows] == ["train"] * 4 + ["test"]
    for entry in [*rows, *rows[1]["negatives"]]:
        content = (culture / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest() and entry["bytes"] == len(content)
    assert (rows[1]["width"], rows[1]["height"]) == (49, 48)
    assert (
        rows[1]["caption"] == '의족 "C-Leg",\nrunning'
        and rows[1]["negatives"][0]["file"] == "negatives/0.png"
    )
    assert [entry["generic_caption_by"] for entry in rows] == [
        "given",
        "given",
        "blip (c0ffee)",
        "given",
        "given",
    ]
    assert rows[3]["generic_caption"] == "one" and rows[3]["category"] == "3"
    assert rows[0]["license"] == "CC-BY-4.0" and rows[0]["url"] == "https://example.org/0.jpg"
    assert rows[1]["license"] is rows[1]["url"] is None


def test_the_card_is_one_that_the_hub_reads(culture: Path) -> None:
    document(culture)
    text = (culture / CARD).read_text()
    card = DatasetCard(text)
    assert card.data.license == "other" and card.data.task_categories == ["text-to-image"]
    assert card.data.size_categories == ["n<1K"] and card.data.pretty_name.startswith("prosthetic_limbs")
    (config,) = yaml.safe_load(text.split("---\n")[1])["configs"]
    assert config["data_files"] == [
        {"split": "train", "path": "train/**"},
        {"split": "test", "path": "test/**"},
    ]
    assert "| CC-BY-4.0 | 1 |" in text and "| not stated | 3 |" in text
    assert r"| a \| b \*c\* \<script\> | 1 |" in text, "words of a row cannot become markup"
    assert "| train | 4 |" in text and "| test | 1 |" in text
    assert "given (4), blip (c0ffee) (1)" in text and "known for 1 of 5 images" in text
    assert "1 images of what an un-fine-tuned model draws" in text
    assert f"`{dataset.read(culture.parent, culture.name).digest}`" in text
    for part in ("Sources and licences", "What it is for", "consent and care"):
        assert f"## {part}" in text or f": {part}" in text
    assert max(map(len, text.splitlines())) < 200 and "\n\n\n" not in text


@pytest.mark.slow
def test_croissant_is_read_by_its_own_library(culture: Path) -> None:
    document(culture)
    command = [sys.executable, str(READER), str(culture / CROISSANT)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    content = json.loads(ended.stdout.splitlines()[-1])
    assert content["errors"] == []
    rows = contents(culture)["rows"]
    assert len(content["pairs"]) == 5
    for record, entry in zip(content["pairs"], rows, strict=True):
        assert record == {f"pairs/{field}": entry[field] for field in FIELDS}
    images = content["images"]
    assert sorted(images) == sorted(entry["file"] for entry in rows), "no stray image, no negative"
    assert all(images[entry["file"]] == [entry["width"], entry["height"]] for entry in rows)
    assert json.loads((culture / CROISSANT).read_text())["distribution"][0]["sha256"] == (
        hashlib.sha256((culture / MANIFEST).read_bytes()).hexdigest()
    )


def test_again_gives_the_same_bytes_and_writes_nothing(culture: Path, tmp_path: Path) -> None:
    document(culture)
    before = {path: (path.read_bytes(), path.stat()) for path in culture.iterdir() if path.is_file()}
    assert document(culture).notes == ()
    assert {path: (path.read_bytes(), path.stat()) for path in before} == before
    for path in before:
        path.unlink()
    document(culture)
    assert {path: path.read_bytes() for path in before} == {path: old[0] for path, old in before.items()}


def test_what_changed_since_is_named(culture: Path) -> None:
    document(culture)
    old = dataset.read(culture.parent, culture.name).digest
    picture(culture / "train" / "images" / "0.png", 100)
    rows: list[Row] = read(culture)
    rows[1] |= {"text": "new words", "negative_imgpath": []}
    rows[2] |= {"blip_text": "new"}
    write(culture, [*rows[:3], row(culture, 7)])
    path = culture / MANIFEST
    assert document(culture).notes == (
        f"since {path} was last written, images that are new: train/images/7.png",
        f"since {path} was last written, images that are gone: train/images/a [3]*.png",
        f"since {path} was last written, images that differ: train/images/0.png",
        f"since {path} was last written, rows whose caption differs: train/images/1.png",
        f"since {path} was last written, rows whose generic caption differs: train/images/2.png",
        f"since {path} was last written, rows whose negatives differ: train/images/1.png",
    )
    assert contents(culture)["digest"] != old and old not in (culture / CARD).read_text()
    assert document(culture).notes == ()


@pytest.mark.parametrize("name", [MANIFEST, CARD, CROISSANT])
@pytest.mark.parametrize("edited", [True, False])
def test_a_file_that_was_edited_by_hand_is_not_overwritten(culture: Path, name: str, edited: bool) -> None:
    if edited:
        document(culture)
    path = culture / name
    theirs = path.read_text().replace("prosthetic", "Prosthetic", 1) if edited else "mine\xff"
    path.write_bytes(theirs.encode(errors="surrogateescape") if edited else b"mine \xff")
    before = path.read_bytes()
    written = document(culture)
    assert path.read_bytes() == before and path not in written.files
    assert any(str(path) in note and "not overwritten" in note for note in written.notes)
    assert name != MANIFEST or culture / CROISSANT not in written.files, "it would tell another file's hash"
    path.unlink()
    assert document(culture).notes == () and path.exists()


def test_words_that_are_no_text_elsewhere(tmp_path: Path) -> None:
    """Half a character, a number that JSON has no word for, markup, our own stamp: from a row that is taken."""
    folder = tmp_path / "k"
    stamp = "written by scoft_hpc.prepare, checksum 0123456789abcdef"
    write(
        folder,
        [row(folder, 0, text=f"{stamp} ---", license="half \ud83d", url=float("nan"), category="| {{ x }}")],
    )
    document(folder)
    assert contents(folder)["rows"][0]["url"] == "nan" and "half" in (folder / CARD).read_text()
    assert document(folder).notes == ()
    assert all(
        dataset_docs.is_unmodified((folder / name).read_text()) for name in (MANIFEST, CARD, CROISSANT)
    )
