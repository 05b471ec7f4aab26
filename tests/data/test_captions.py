"""Generic captions: what a real BLIP says of the images, written so that nothing of the owner's is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import Blip2ForConditionalGeneration, BlipForConditionalGeneration

import captioners
from cultures import Row, picture, read, row, write
from scoft_hpc.config.command_configs import Captions, CaptionSource
from scoft_hpc.data import captions
from scoft_hpc.errors import ConfigError, DataError
from scoft_hpc.inputs import dataset
from scoft_hpc.inputs.metadata_rows import WRITER
from scoft_hpc.models import captioner
from scoft_hpc.study import atomic
from scoft_hpc.study.interrupt import Interrupted, StopFlag

CPU = torch.device("cpu")
MAKE = {CaptionSource.blip: captioners.blip, CaptionSource.blip2: captioners.blip2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[CaptionSource, Path]:
    root = tmp_path_factory.mktemp("captioners")
    return {source: make(root / source.name) for source, make in MAKE.items()}


@pytest.fixture
def culture(tmp_path: Path) -> Path:
    """Twelve pairs, of which the first and every fifth after it have a generic caption."""
    folder = tmp_path / "makers"
    rows = [
        row(folder, i, blip_text=None if i % 5 else f"given {i}", license="CC0", n=[i]) for i in range(12)
    ]
    rows[3] |= {"blip_text": ""}
    rows[4] |= {"blip_text": []}
    write(folder, rows)
    return folder


def survey(folder: Path) -> list[dataset.MetadataRow]:
    return dataset.validate(folder.parent, folder.name, captioned=False)


def counted(images: Sequence[Image.Image]) -> list[str]:
    """Not a captioner: the pictures' sizes, where only the writing is looked at."""
    return [f"{image.width} x {image.height}" for image in images]


@pytest.mark.slow
@pytest.mark.parametrize("source", MAKE)
def test_greedy_captions_of_the_real_classes(
    source: CaptionSource, folders: dict[CaptionSource, Path], tmp_path: Path
) -> None:
    """Preprocessing and decoding against values computed here by hand; a row's caption is its own in any batch."""
    resolved = captioner.find(Captions(source=source, path=str(folders[source])))
    assert resolved.name.startswith(f"{source.name} (") and resolved.folder == folders[source]
    loaded = captioner.load(resolved, CPU)
    images = [Image.open(picture(tmp_path / f"{i}.png", i, side=60 + i)).convert("RGB") for i in range(4)]
    captions = loaded.caption(images)
    assert len(set(captions)) > 1 and captions == [loaded.caption([image])[0] for image in images]
    by_hand = {CaptionSource.blip: _blip_by_hand, CaptionSource.blip2: _blip2_by_hand}[source]
    assert captions == [by_hand(folders[source], _pixels(image)) for image in images]


def test_a_captioner_that_lacks_weights_is_refused(
    folders: dict[CaptionSource, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders[CaptionSource.blip], tmp_path / "blip"))
    weights = load_file(folder / "model.safetensors")
    del weights["text_decoder.cls.predictions.transform.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ConfigError, match="BlipForConditionalGeneration: 1 of its weights are not in its files"
    ):
        captioner.load(captioner.find(Captions(source=CaptionSource.blip, path=str(folder))), CPU)


def _pixels(image: Image.Image) -> torch.Tensor:
    """[1, 3, S, S]: bicubic to the square, then CLIP's mean and standard deviation."""
    square = image.resize((captioners.SIDE, captioners.SIDE), Image.Resampling.BICUBIC)
    values = np.asarray(square, dtype=np.float32) / 255
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    return torch.from_numpy(((values - mean) / std).astype(np.float32)).permute(2, 0, 1)[None]


@torch.no_grad()
def _blip_by_hand(folder: Path, pixels: torch.Tensor) -> str:
    network = BlipForConditionalGeneration.from_pretrained(folder).eval()
    seen = network.vision_model(pixels)[0]
    tokens = [first := len(captioners.VOCABULARY) + 5]
    while len(tokens) <= captioner.MAX_CAPTION_TOKENS and tokens[-1] != 3:
        logits = network.text_decoder(torch.tensor([tokens]), encoder_hidden_states=seen).logits
        tokens.append(int(logits[0, -1].argmax()))
    return " ".join(captioners.VOCABULARY[i - 5] for i in tokens if 5 <= i < first)


@torch.no_grad()
def _blip2_by_hand(folder: Path, pixels: torch.Tensor) -> str:
    network = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
    seen = network.vision_model(pixels).last_hidden_state
    queries = network.qformer(query_embeds=network.query_tokens, encoder_hidden_states=seen).last_hidden_state
    embed = network.get_input_embeddings()
    tokens = [1]
    while len(tokens) <= captioner.MAX_CAPTION_TOKENS and (len(tokens) == 1 or tokens[-1] != 1):
        states = torch.cat([network.language_projection(queries), embed(torch.tensor([tokens]))], 1)
        tokens.append(int(network.language_model(inputs_embeds=states).logits[0, -1].argmax()))
    return " ".join(captioners.VOCABULARY[i - 3] for i in tokens[1:] if i >= 3)


@pytest.mark.slow
def test_only_rows_without_a_caption_change(culture: Path, folders: dict[CaptionSource, Path]) -> None:
    path = culture / "train" / "metadata.jsonl"
    before, text = read(culture), path.read_bytes()
    resolved = captioner.find(Captions(source=CaptionSource.blip, path=str(folders[CaptionSource.blip])))
    loaded = captioner.load(resolved, CPU)
    assert captions.fill(culture, survey(culture), loaded.caption, resolved.name, StopFlag()) == 9
    after = read(culture)
    assert path.with_name(captions.BEFORE).read_bytes() == text
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if i % 5 == 0:
            assert new == old and f"given {i}" == new["blip_text"]
        else:
            with Image.open(culture / "train" / old["file_name"]) as image:
                assert new["blip_text"] == loaded.caption([image.convert("RGB")])[0] != ""
            assert list(new) == [*old, *(key for key in ("blip_text", WRITER) if key not in old)]
            assert new[WRITER] == resolved.name and new["n"] == [i] and new["license"] == "CC0"
    unchanged = [line for i, line in enumerate(text.splitlines()) if i % 5 == 0]
    assert [line for i, line in enumerate(path.read_bytes().splitlines()) if i % 5 == 0] == unchanged
    dataset.read(culture.parent, culture.name)
    inode = path.stat()
    assert captions.fill(culture, survey(culture), loaded.caption, resolved.name, StopFlag()) == 0
    assert path.stat() == inode, "nothing is written where nothing is missing"


def test_held_out_rows_and_odd_files(tmp_path: Path) -> None:
    """A byte order mark, Windows line ends, blank lines, half a character in another key."""
    folder = tmp_path / "makers"
    write(folder, [row(folder, 0)])
    odd = row(folder, 1, "test", blip_text=None, note="half \ud83d")
    path = folder / "test" / "metadata.jsonl"
    path.write_bytes(b"\xef\xbb\xbf\r\n" + json.dumps(odd).encode() + b"\r\n\r\n")
    assert captions.fill(folder, survey(folder), counted, "me", StopFlag()) == 1
    new = {**odd, "blip_text": "49 x 48", WRITER: "me"}
    lines = path.read_bytes().split(b"\r\n")
    assert [json.loads(line) for line in lines if line] == [new] and len(lines) == 4
    assert dataset.read(tmp_path, "makers").held_out[0].blip_text == "49 x 48"
    assert not (folder / "train" / captions.BEFORE).exists()


class Killed(BaseException):
    """The process ends here."""


def test_a_kill_at_any_write_loses_nothing_and_the_next_run_ends_the_same(
    culture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (culture / "train" / "metadata.jsonl").read_bytes()
    captions.fill(culture, survey(culture), counted, "me", StopFlag())
    wanted = (culture / "train" / "metadata.jsonl").read_bytes()
    real: Callable[[Path], None] = atomic.fsync_folder
    for kill_at in range(1, 7):
        (culture / "train" / "metadata.jsonl").write_bytes(text)
        (culture / "train" / captions.BEFORE).unlink()
        calls = iter(range(1, 100))

        def write(folder: Path, kill_at: int = kill_at, calls: object = calls) -> None:
            real(folder)
            if next(calls) == kill_at:
                raise Killed

        monkeypatch.setattr(atomic, "fsync_folder", write)
        with pytest.raises(Killed):
            captions.fill(culture, survey(culture), counted, "me", StopFlag(), batch_size=2)
        monkeypatch.setattr(atomic, "fsync_folder", real)
        done = sum(WRITER in values for values in read(culture))
        assert done == min(9, 2 * (kill_at - 1)), "a batch is whole or not there"
        captions.fill(culture, survey(culture), counted, "me", StopFlag())
        assert (culture / "train" / "metadata.jsonl").read_bytes() == wanted
        assert (culture / "train" / captions.BEFORE).read_bytes() == text
        assert [path for path in (culture / "train").iterdir() if path.suffix == ".tmp"] == []


def test_a_stop_is_heeded_between_batches(culture: Path) -> None:
    stop = StopFlag()

    def caption(images: Sequence[Image.Image]) -> list[str]:
        stop.requested = True
        return counted(images)

    with pytest.raises(Interrupted):
        captions.fill(culture, survey(culture), caption, "me", stop)
    assert sum(WRITER in values for values in read(culture)) == captions.BATCH


def test_another_hand_is_not_overwritten(culture: Path) -> None:
    rows: list[Row] = [row | {"text": "edited"} for row in read(culture)]

    def caption(images: Sequence[Image.Image]) -> list[str]:
        write(culture, rows)
        return counted(images)

    with pytest.raises(DataError, match=r"metadata\.jsonl was changed while .* Run the same command again"):
        captions.fill(culture, survey(culture), caption, "me", StopFlag())
    assert read(culture) == rows


def test_an_image_without_a_caption_is_named(culture: Path) -> None:
    def caption(images: Sequence[Image.Image]) -> list[str]:
        return ["" if image.width == 48 else "wide" for image in images]

    with pytest.raises(DataError, match=r"me wrote nothing for \S+3\.png, \S+6\.png, \S+9\.png; expected"):
        captions.fill(culture, survey(culture), caption, "me", StopFlag())
    assert [values.get("blip_text") for values in read(culture)][1:3] == ["wide", "wide"]


def test_strict_reading_says_how_captions_come(culture: Path) -> None:
    with pytest.raises(DataError) as caught:
        dataset.read(culture.parent, culture.name)
    (fault,) = str(caught.value).splitlines()
    assert "row 2: `blip_text` is missing; expected a caption" in fault and "in 8 more rows" in fault
    remedy = "python -m scoft_hpc.prepare culture=makers data.root={} data.captions.source=blip"
    assert fault.endswith(remedy.format(culture.parent))


class TestFind:
    @pytest.fixture
    def folder(self, folders: dict[CaptionSource, Path], tmp_path: Path) -> Path:
        return shutil.copytree(folders[CaptionSource.blip2], tmp_path / "blip2")

    def fault(self, path: str, source: CaptionSource = CaptionSource.blip2) -> str:
        with pytest.raises(ConfigError) as caught:
            captioner.find(Captions(source=source, path=path))
        return str(caught.value)

    def test_a_hub_id_is_found_in_the_download_cache(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        assert "hf download Salesforce/blip2-opt-2.7b" in self.fault("Salesforce/blip2-opt-2.7b")
        repository = tmp_path / "hub" / "models--Salesforce--blip2-opt-2.7b"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("c0ffee")
        (repository / "snapshots").mkdir()
        folder.rename(repository / "snapshots" / "c0ffee")
        resolved = captioner.find(Captions(source=CaptionSource.blip2))
        assert resolved.name.startswith("Salesforce/blip2-opt-2.7b (")

    def test_another_model(self, folder: Path) -> None:
        fault = self.fault(str(folder), CaptionSource.blip)
        assert "model_type: 'blip-2'; expected 'blip'" in fault and str(folder) in fault

    def test_half_a_download_and_missing_parts_at_once(self, folder: Path) -> None:
        shard = min(folder.glob("model-*.safetensors"))
        os.truncate(shard, shard.stat().st_size - 100)
        max(folder.glob("model-*.safetensors")).unlink()
        (folder / "processor_config.json").unlink()
        fault = self.fault(str(folder))
        assert f"{shard.name} has " in fault and "half-downloaded" in fault and " is missing" in fault
        assert "preprocessor_config.json is missing" in fault and "hf download" in fault

    def test_a_pickle_is_refused(self, folder: Path) -> None:
        for path in folder.glob("model*.safetensors*"):
            path.unlink()
        (folder / "pytorch_model.bin").touch()
        assert "pytorch_model.bin: a pickle can run code when it is loaded, and is refused" in self.fault(
            str(folder)
        )
