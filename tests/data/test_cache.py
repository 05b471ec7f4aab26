"""What is prepared of a culture: the base's own latents and negatives, made once, found again, never mistaken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scoft_hpc.config import compose
from scoft_hpc.config.schema import Negatives, NegativeSource, RunConfig
from scoft_hpc.data import culture_cache, images
from scoft_hpc.data.training_batch import TargetNames, concatenate, sample_batch
from scoft_hpc.errors import DataError
from scoft_hpc.inputs import data_root, dataset
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.inputs.checkpoints import base_model
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.models.families.stable_diffusion import StableDiffusion, load
from scoft_hpc.models.toy_networks import load_scorer
from scoft_hpc.perceptual.toy import ToyDistance
from scoft_hpc.study.interrupt import StopFlag


@pytest.fixture(scope="module")
def base() -> StableDiffusion:
    config: RunConfig = compose.compose("train", [])
    return load(base_model.resolve(config.model), torch.device("cpu"))


@pytest.fixture
def toy(tmp_path: Path) -> tuple[RunConfig, Manifest]:
    config: RunConfig = compose.compose(
        "train", [f"output={tmp_path}", "data.negatives.steps=10", "data.pairs=8"]
    )
    root = data_root.locate(config.data, tmp_path)
    return config, dataset.read(root, "korea", 8)


@pytest.mark.slow
def test_the_cache_holds_what_the_networks_say(
    toy: tuple[RunConfig, Manifest], base: StableDiffusion
) -> None:
    config, manifest = toy
    culture = culture_cache.load(culture_cache.prepare(config, manifest, base, StopFlag()), base.device)
    x = images.read_images([pair.image for pair in manifest.pairs], 64)
    for flip, pictures in enumerate((x, x.flip(-1))):
        torch.testing.assert_close(
            culture.moments[:, flip], base.encode_images(pictures), rtol=1e-4, atol=1e-5
        )
    for held, texts in (
        (culture.text, [pair.text for pair in manifest.pairs]),
        (culture.generic, [pair.blip_text for pair in manifest.pairs]),
        (culture.null, [""]),
    ):
        torch.testing.assert_close(held.tensors, base.encode_text(texts).tensors)
    assert torch.equal(images.from_pixels(culture.positive), x)


@pytest.mark.slow
def test_negatives_are_what_the_base_draws(toy: tuple[RunConfig, Manifest], base: StableDiffusion) -> None:
    """Drawn for the culture's captions they are in the default style, not in the culture's own: what L_C needs."""
    config, manifest = toy
    config = replace(
        config,
        data=replace(config.data, negatives=Negatives(NegativeSource.txt2img, per_positive=2, steps=20)),
    )
    culture = culture_cache.load(culture_cache.prepare(config, manifest, base, StopFlag()), base.device)
    assert culture.negative.shape == (8, 2, 3, 64, 64)
    assert culture.negative_mask.all()
    assert not torch.equal(culture.negative[:, 0], culture.negative[:, 1])
    styles = load_scorer()(images.from_pixels(culture.negative.flatten(0, 1))).style.argmax(1)
    assert (styles == 0).float().mean() >= 0.6


@pytest.mark.slow
def test_a_second_preparation_finds_the_first(toy: tuple[RunConfig, Manifest], base: StableDiffusion) -> None:
    config, manifest = toy
    folder = culture_cache.prepare(config, manifest, base, StopFlag())
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert culture_cache.prepare(config, manifest, base, StopFlag()) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert [
        path for path in folder.parent.iterdir() if not path.name.startswith(("korea-", "negatives-"))
    ] == []
    assert list(folder.parent.glob("korea-*")) == [folder]


@pytest.mark.slow
def test_other_data_model_or_settings_have_a_cache_of_their_own(toy: tuple[RunConfig, Manifest]) -> None:
    config, manifest = toy
    folders = {
        folder_of(config, manifest.digest),
        folder_of(config, "other"),
        folder_of(replace(config, model=replace(config.model, digest="other")), manifest.digest),
        folder_of(replace(config, data=replace(config.data, negatives=Negatives(seed=5))), manifest.digest),
    }
    assert len(folders) == 4
    assert folder_of(replace(config, seed=9), manifest.digest) in folders


@pytest.mark.slow
def test_given_negatives_are_taken_as_they_are(
    toy: tuple[RunConfig, Manifest], base: StableDiffusion
) -> None:
    config, manifest = toy
    pictures = [pair.image for pair in manifest.pairs]
    pairs = tuple(replace(pair, negatives=tuple(pictures[: i % 3])) for i, pair in enumerate(manifest.pairs))
    given = replace(config, data=replace(config.data, negatives=Negatives(NegativeSource.given)))
    culture = culture_cache.load(
        culture_cache.prepare(given, replace(manifest, pairs=pairs, digest="given"), base, StopFlag()),
        base.device,
    )
    assert culture.negative_mask.sum(1).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert torch.equal(culture.negative[2, 1], culture.positive[1])


@pytest.mark.slow
def test_a_batch_flips_an_image_and_its_negatives_together(
    toy: tuple[RunConfig, Manifest], base: StableDiffusion
) -> None:
    config, manifest = toy
    config = replace(config, objective=replace(config.objective, every=1))
    culture = culture_cache.load(culture_cache.prepare(config, manifest, base, StopFlag()), base.device)
    flipped, states = 0, culture.text.tensors["states"]
    for step in range(4):
        batch = sample_batch(config, culture, base.process, 0, step, TargetNames("pixels", negatives=True))
        targets = batch.targets[0]
        for i in range(config.train.batch):
            pair = int((states == batch.text.tensors["states"][i]).all(-1).all(-1).nonzero()[0])
            x, x_neg = images.from_pixels(culture.positive[pair]), images.from_pixels(culture.negative[pair])
            flip = torch.equal(targets.positive[i], x.flip(-1))
            assert flip or torch.equal(targets.positive[i], x)
            assert torch.equal(targets.negative[i], x_neg.flip(-1) if flip else x_neg)
            flipped += flip
    assert 0 < flipped < 16


@pytest.mark.slow
def test_lanes_with_different_numbers_of_negatives_share_a_batch(
    toy: tuple[RunConfig, Manifest], base: StableDiffusion
) -> None:
    config, manifest = toy
    config = replace(config, objective=replace(config.objective, every=1))
    culture = culture_cache.load(culture_cache.prepare(config, manifest, base, StopFlag()), base.device)
    more = replace(
        culture,
        negative=culture.negative.repeat(1, 3, 1, 1, 1),
        negative_mask=culture.negative_mask.repeat(1, 3),
    )
    wanted = TargetNames("pixels", negatives=True)
    batch = concatenate(
        [
            sample_batch(config, culture, base.process, 0, 0, wanted),
            sample_batch(config, more, base.process, 1, 0, wanted),
        ]
    )
    assert [targets.negative_mask.sum(1).tolist() for targets in batch.targets.values()] == [[1] * 4, [3] * 4]
    assert batch.active.tolist() == list(range(8))
    assert batch.lane.tolist() == [0] * 4 + [1] * 4


@pytest.mark.slow
def test_a_cache_of_something_else_is_not_used(
    toy: tuple[RunConfig, Manifest], base: StableDiffusion
) -> None:
    """The folder of one model with the contents of another's, as after a copy by hand; or damaged."""
    config, manifest = toy
    other = replace(config, model=replace(config.model, digest="other"))
    mine, others = (culture_cache.prepare(c, manifest, base, StopFlag()) for c in (config, other))
    (mine / culture_cache.TENSORS).write_bytes((others / culture_cache.TENSORS).read_bytes())
    with pytest.raises(
        DataError, match=rf"is not the cache of {mine.name} \(found: {others.name}\).*makes it again"
    ):
        culture_cache.load(mine, base.device)
    (mine / culture_cache.TENSORS).write_bytes((others / culture_cache.TENSORS).read_bytes()[:-10])
    with pytest.raises(DataError, match="is not the cache of"):
        culture_cache.load(mine, base.device)


@pytest.mark.slow
def test_a_cache_that_the_disk_has_no_room_for_is_not_begun(
    toy: tuple[RunConfig, Manifest], base: StableDiffusion
) -> None:
    config, manifest = toy
    huge = replace(config, model=replace(config.model, resolution=800_000))
    with pytest.raises(DataError, match=r"takes about \d+\.\d GB, and .* are free"):
        culture_cache.prepare(huge, manifest, base, StopFlag())
    assert not folder_of(huge, manifest.digest).exists()


@pytest.mark.slow
def test_out_of_memory_halves_the_pictures_that_are_encoded_at_a_time(
    toy: tuple[RunConfig, Manifest], base: StableDiffusion
) -> None:
    config, manifest = toy
    whole = culture_cache.load(culture_cache.prepare(config, manifest, base, StopFlag()), base.device)
    seen = []

    def ask(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(len(inputs[0]))
        if len(inputs[0]) > 3:
            torch.empty(2**50)  # a petabyte, which no allocator has

    hook = base.vae.encoder.register_forward_pre_hook(ask)
    try:
        folder = culture_cache.prepare(config, replace(manifest, digest="again"), base, StopFlag())
    finally:
        hook.remove()
    assert seen == [8, 4, *[2] * 8]
    torch.testing.assert_close(
        culture_cache.load(folder, base.device).moments, whole.moments, rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
def test_a_cache_that_cannot_be_put_in_its_place_is_told(
    toy: tuple[RunConfig, Manifest], base: StableDiffusion
) -> None:
    config, manifest = toy
    folder = folder_of(config, manifest.digest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder would go")
    with pytest.raises(DataError, match=r"cannot be written: Not a directory"):
        culture_cache.prepare(config, manifest, base, StopFlag())
    assert list(folder.parent.glob(".*.tmp")) == []


@pytest.mark.slow
def test_features_are_taken_once_and_found_again(
    toy: tuple[RunConfig, Manifest], base: StableDiffusion
) -> None:
    config, manifest = toy
    folder = culture_cache.prepare(config, manifest, base, StopFlag())
    distance = ToyDistance()
    culture = culture_cache.load(folder, base.device)
    culture_cache.cache_targets(folder, culture, "toy", distance, StopFlag())
    written = (folder / "toy.safetensors").stat().st_mtime_ns
    again = culture_cache.load(folder, base.device)
    culture_cache.cache_targets(folder, again, "toy", distance, StopFlag())
    assert (folder / "toy.safetensors").stat().st_mtime_ns == written
    pair, flip = torch.tensor([3, 0, 3]), torch.tensor([1, 0, 0])
    for one in (culture, again):
        positive, negative = one.targets("toy", pair, flip, True)
        x, x_neg = one.targets("images", pair, flip, True)
        torch.testing.assert_close(positive, distance.target(x), rtol=1e-4, atol=1e-5)
        expected = distance.target(x_neg.flatten(0, 1)).unflatten(0, x_neg.shape[:2])
        torch.testing.assert_close(negative, expected, rtol=1e-4, atol=1e-5)
