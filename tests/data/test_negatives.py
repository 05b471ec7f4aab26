"""Negatives: what the base draws by each way, each drawn once, whatever else is drawn with it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel, DPMSolverMultistepScheduler, StableDiffusionControlNetPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessorPil, pipeline

from scoft_hpc.config import compose
from scoft_hpc.config.schema import Lora, Model, Negatives, NegativeSource, Precision
from scoft_hpc.data import images
from scoft_hpc.data.negatives.depth import Depth
from scoft_hpc.data.negatives.draw import draw, folder_of
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import negatives
from scoft_hpc.inputs.checkpoints.base_model import resolve as resolve_model
from scoft_hpc.inputs.dataset import Pair
from scoft_hpc.inputs.toy import world
from scoft_hpc.models.controlnet import load_controlnet
from scoft_hpc.models.depth import load_depth
from scoft_hpc.models.families.stable_diffusion import StableDiffusion, load
from scoft_hpc.study.interrupt import Interrupted, StopFlag

SIDE = 64
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> Model:
    return resolve_model(Model(resolution=SIDE))


@pytest.fixture(scope="module")
def base(model: Model) -> StableDiffusion:
    return load(model, CPU)


@pytest.fixture(scope="module")
def depth(base: StableDiffusion, tmp_path_factory: pytest.TempPathFactory) -> Negatives:
    """A tiny random DPT, and a ControlNet of the toy base whose outputs, which start as zero, are not."""
    root = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=96,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 16, 32],
        fusion_hidden_size=16,
    )
    DPTForDepthEstimation(config).save_pretrained(root / "dpt")
    DPTImageProcessorPil(size={"height": 96, "width": 96}).save_pretrained(root / "dpt")
    controlnet = ControlNetModel.from_unet(base.unet)
    with torch.no_grad():
        for parameter in controlnet.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    controlnet.save_pretrained(root / "controlnet")
    settings = Negatives(
        NegativeSource.depth, steps=4, depth_path=str(root / "dpt"), controlnet_path=str(root / "controlnet")
    )
    return negatives.resolve(settings)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    folder = world.write_culture(tmp_path_factory.mktemp("toy"), "korea", pairs=4, held_out=1) / "train"
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    return [Pair(folder / row["file_name"], row["text"], row["blip_text"]) for row in rows]


@pytest.fixture
def copied(depth: Negatives, tmp_path: Path) -> Negatives:
    """The networks of `depth` in folders that may be broken."""
    for given in (depth.depth_path, depth.controlnet_path):
        shutil.copytree(given, tmp_path / Path(given).name)
    return replace(depth, depth_path=str(tmp_path / "dpt"), controlnet_path=str(tmp_path / "controlnet"))


Draw = Callable[..., list[list[Path]]]


@pytest.fixture
def drawn(base: StableDiffusion, model: Model, tmp_path: Path) -> Draw:
    def run(
        pairs: list[Pair],
        settings: Negatives,
        cache: str = "cache",
        stop: StopFlag | None = None,
        **more: int,
    ) -> list[list[Path]]:
        return draw(base, pairs, settings, model, tmp_path / cache, stop or StopFlag(), **more)

    return run


def pictures(files: list[list[Path]]) -> Tensor:
    """[P, K, 3, H, W] of pixels."""
    return torch.stack([torch.stack([images.read_pixels(path, SIDE).int() for path in one]) for one in files])


def different(pictures: Tensor) -> int:
    return len({picture.numpy().tobytes() for picture in pictures.flatten(0, 1)})


def written(files: list[list[Path]]) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for one in files for path in one}


def noise(rows: int) -> Tensor:
    return torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(3))


def test_depth_is_that_of_transformers_own_pipeline(depth: Negatives, pairs: list[Pair]) -> None:
    x = images.read_images([pair.image for pair in pairs], SIDE)
    maps = load_depth(Path(depth.depth_path), CPU).maps(x)
    theirs = pipeline(
        "depth-estimation",
        DPTForDepthEstimation.from_pretrained(depth.depth_path),
        image_processor=DPTImageProcessorPil.from_pretrained(depth.depth_path),
    )
    assert maps.shape == (len(pairs), 3, SIDE, SIDE)
    for depth_map, pair in zip(maps, pairs, strict=True):
        inverse = theirs(str(pair.image))["predicted_depth"]
        expected = (inverse - inverse.min()) / (inverse.max() - inverse.min())
        torch.testing.assert_close(depth_map, expected.expand(3, -1, -1), rtol=0, atol=1e-4)


def test_networks_that_lack_weights_are_refused(
    base: StableDiffusion, copied: Negatives, pairs: list[Pair]
) -> None:
    """But for the layer that the public DPT leaves out, through which no depth passes."""
    x = images.read_images([pairs[0].image], SIDE)
    whole = load_depth(Path(copied.depth_path), CPU).maps(x)
    dpt = Path(copied.depth_path) / "model.safetensors"
    assert without(dpt, "neck.fusion_stage.layers.0.residual_layer1.") == 4
    assert torch.equal(load_depth(Path(copied.depth_path), CPU).maps(x), whole)
    assert without(dpt, "head.head.0.") == 2
    with pytest.raises(
        ConfigError, match=r"DPTForDepthEstimation: 2 of its weights .* as head\.head\.0\.bias"
    ):
        load_depth(Path(copied.depth_path), CPU)
    controlnet = Path(copied.controlnet_path) / "diffusion_pytorch_model.safetensors"
    assert without(controlnet, "controlnet_mid_block.") == 2
    with pytest.raises(ConfigError, match="ControlNetModel: 2 of its weights are not in its files"):
        load_controlnet(copied, base)


def without(file: Path, start: str) -> int:
    """Take the weights whose names begin so out of a file; return how many."""
    weights = load_file(file)
    gone = [name for name in weights if name.startswith(start)]
    save_file({name: weight for name, weight in weights.items() if name not in gone}, file, {"format": "pt"})
    return len(gone)


def test_a_flat_picture_has_a_map_too(depth: Negatives) -> None:
    maps = load_depth(Path(depth.depth_path), CPU).maps(torch.zeros(1, 3, SIDE, SIDE))
    assert maps.isfinite().all()
    assert 0 <= maps.min() <= maps.max() <= 1


@pytest.mark.slow
def test_the_steered_base_draws_what_diffusers_own_pipeline_draws(
    base: StableDiffusion, depth: Negatives, pairs: list[Pair]
) -> None:
    texts = [pair.text for pair in pairs]
    x = images.read_images([pair.image for pair in pairs], SIDE)
    draw = Depth(base, depth)(x, base.encode_text(texts), base.encode_text([""]), noise(len(pairs)))
    pipe = StableDiffusionControlNetPipeline(
        base.vae,
        base.text_encoder,
        base.tokenizer,
        base.unet,
        ControlNetModel.from_pretrained(depth.controlnet_path),
        DPMSolverMultistepScheduler.from_config(base.scheduler.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)

    def theirs(scale: float) -> Tensor:
        drawn: Tensor = pipe(
            texts,
            image=load_depth(Path(depth.depth_path), CPU).maps(x),
            latents=noise(len(pairs)),
            num_inference_steps=depth.steps,
            guidance_scale=depth.guidance,
            controlnet_conditioning_scale=scale,
            output_type="pt",
        ).images
        return drawn * 2 - 1

    torch.testing.assert_close(draw, theirs(1.0), rtol=0, atol=2e-4)
    assert (draw - theirs(0.0)).abs().mean() > 0.02  # the control does count


def test_a_reduced_base_is_steered_in_its_own_precision(
    model: Model, base: StableDiffusion, depth: Negatives, pairs: list[Pair]
) -> None:
    reduced = load(replace(model, precision=Precision.bf16), CPU)
    assert load_controlnet(depth, reduced).dtype == reduced.unet.dtype == torch.bfloat16
    x = images.read_images([pair.image for pair in pairs], SIDE)

    def picture(of: StableDiffusion) -> Tensor:
        text, null = of.encode_text([pair.text for pair in pairs]), of.encode_text([""])
        return Depth(of, depth)(x, text, null, noise(len(pairs)))

    reduced_picture, exact = picture(reduced), picture(base)
    assert reduced_picture.dtype == torch.float32
    assert (reduced_picture - exact).abs().mean() < 0.05


def test_adapters_are_off(model: Model, base: StableDiffusion, depth: Negatives, pairs: list[Pair]) -> None:
    tuned = load(model, CPU)
    tuned.adapt(1, Lora(4, None, ("to_q", "to_v")))
    tuned.lora.init(0, torch.Generator().manual_seed(0))
    for part in tuned.lora.parameters(0).values():
        part.data.normal_()
    x = images.read_images([pair.image for pair in pairs], SIDE)
    text, null = base.encode_text([pair.text for pair in pairs]), base.encode_text([""])
    draws = [Depth(one, depth) for one in (base, tuned)]
    assert torch.equal(*(draw(x, text, null, noise(len(pairs))) for draw in draws))


@pytest.mark.slow
@pytest.mark.parametrize("source", [s for s in NegativeSource if s is not NegativeSource.given])
def test_each_way_draws_k_different_ones_that_the_seed_and_the_place_decide(
    source: NegativeSource, drawn: Draw, depth: Negatives, pairs: list[Pair]
) -> None:
    settings = replace(depth, source=source, per_positive=3)
    drawings = pictures(drawn(pairs, settings))
    assert drawings.shape == (4, 3, 3, SIDE, SIDE)
    assert different(drawings) == 12
    assert torch.equal(pictures(drawn(pairs, settings, "again")), drawings)
    assert not torch.equal(pictures(drawn(pairs, replace(settings, seed=1))), drawings)
    other = pictures(drawn([replace(pair, text="a red circle") for pair in pairs], settings))
    assert not torch.equal(other, drawings)
    assert different(other) == 12  # with one caption for all, it is the noise that differs


@pytest.mark.slow
def test_a_negative_is_the_same_in_any_company(drawn: Draw, depth: Negatives, pairs: list[Pair]) -> None:
    together = pictures(drawn(pairs, replace(depth, per_positive=2)))
    for i, pair in enumerate(pairs):
        (alone,) = pictures(drawn([pair], replace(depth, per_positive=2), "alone"))
        assert (alone - together[i]).abs().max() <= 1  # a level of 255: sums are taken in another order


def test_only_what_is_missing_is_drawn(drawn: Draw, depth: Negatives, pairs: list[Pair]) -> None:
    first = drawn(pairs[1:3], depth)
    before = written(first)
    more = drawn([*pairs, pairs[1]], replace(depth, per_positive=2))
    assert [more[1][0], more[2][0]] == [first[0][0], first[1][0]]
    assert written(first) == before
    assert more[4] == more[1]
    assert len(list(first[0][0].parent.iterdir())) == 4 * 2


def test_an_interruption_keeps_what_was_drawn(drawn: Draw, depth: Negatives, pairs: list[Pair]) -> None:
    class StopAfterTwo(StopFlag):
        """Requested once two batches were begun: it is looked at before the networks are loaded and at each batch."""

        checks = 0

        def raise_if_set(self) -> None:
            self.checks += 1
            self.requested = self.checks > 3
            super().raise_if_set()

    with pytest.raises(Interrupted):
        drawn(pairs, depth, stop=StopAfterTwo(), max_batch=1)
    files = [path for one in drawn(pairs[:2], depth) for path in one]
    before = written([files])
    assert sorted(files[0].parent.iterdir()) == sorted(files)
    assert len(set(written(drawn(pairs, depth)).items()) & set(before.items())) == 2


def test_a_kill_between_two_files_of_a_batch_changes_no_bit(
    drawn: Draw, depth: Negatives, pairs: list[Pair]
) -> None:
    """An image drawn alone differs by a rounding: what is missing of a batch is drawn in the whole batch again."""
    settings = replace(depth, per_positive=2)
    whole = [path for of_pair in drawn(pairs, settings, max_batch=3) for path in of_pair]
    content = {path: path.read_bytes() for path in whole}
    for path in whole:
        path.unlink()
        drawn(pairs, settings, max_batch=3)
        assert {path: path.read_bytes() for path in whole} == content


def test_nothing_is_loaded_where_nothing_is_missing(
    drawn: Draw, copied: Negatives, pairs: list[Pair]
) -> None:
    files = drawn(pairs, copied)
    shutil.rmtree(copied.controlnet_path)
    assert drawn(pairs, copied) == files


def test_the_folder_follows_model_and_settings_and_not_k(model: Model, depth: Negatives) -> None:
    others = [
        folder_of(depth, model, Path("cache")),
        folder_of(depth, replace(model, digest="other"), Path("cache")),
        folder_of(depth, replace(model, resolution=128), Path("cache")),
        folder_of(depth, replace(model, precision=Precision.fp16), Path("cache")),
        *(folder_of(replace(depth, **change), model, Path("cache")) for change in (
            {"source": NegativeSource.img2img}, {"strength": 0.5}, {"steps": 5}, {"guidance": 1.0}, {"seed": 1},
            {"digest": "other"},
        )),
    ]  # fmt: skip
    assert len(set(others)) == len(others)
    assert folder_of(replace(depth, per_positive=5), replace(model, path="moved"), Path("cache")) == others[0]


def test_a_controlnet_of_another_base_is_refused(
    base: StableDiffusion, model: Model, copied: Negatives, drawn: Draw, pairs: list[Pair]
) -> None:
    assert negatives.faults(copied, Path(model.path)) == []
    other = ControlNetModel.from_config(base.unet.config, cross_attention_dim=48)
    other.save_pretrained(copied.controlnet_path)
    (planned,) = negatives.faults(copied, Path(model.path))
    with pytest.raises(ConfigError) as caught:
        drawn(pairs, copied)
    for message in (planned, str(caught.value)):
        assert (
            f"data.negatives.controlnet_path={copied.controlnet_path} was made for another base model"
            in message
        )
        assert "cross_attention_dim 48, the base's is 96" in message
        assert "negatives=img2img" in message
    assert negatives.faults(replace(copied, source=NegativeSource.img2img), Path(model.path)) == []


def test_resolving_finds_and_digests(
    depth: Negatives, copied: Negatives, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Path(depth.depth_path).is_absolute()
    assert len(depth.digest) == 16
    assert negatives.resolve(depth) == depth
    assert negatives.resolve(copied).digest == depth.digest
    (tmp_path / "dpt" / "preprocessor_config.json").write_text(json.dumps({"size": 64}))
    assert negatives.resolve(copied).digest != depth.digest
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--lllyasviel--sd-controlnet-depth"
    shutil.copytree(depth.controlnet_path, repository / "snapshots" / "0a1b")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0a1b")
    cached = negatives.resolve(replace(depth, controlnet_path="lllyasviel/sd-controlnet-depth"))
    assert cached == replace(depth, controlnet_path=str(repository / "snapshots" / "0a1b"))


def test_other_sources_need_no_networks() -> None:
    for source in (NegativeSource.given, NegativeSource.txt2img, NegativeSource.img2img):
        assert negatives.resolve(Negatives(source)) == Negatives(source)


def test_all_faults_of_both_networks_are_told(
    copied: Negatives, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fault(settings: Negatives) -> str:
        with pytest.raises(ConfigError) as caught:
            negatives.resolve(settings)
        return str(caught.value)

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    absent = fault(Negatives(NegativeSource.depth))
    for needed in (
        "data.negatives.depth_path=Intel/dpt-large", "data.negatives.controlnet_path=lllyasviel/sd-controlnet-depth",
        "hf download Intel/dpt-large", "model.safetensors", "diffusion_pytorch_model.safetensors",
    ):  # fmt: skip
        assert needed in absent
    os.truncate(Path(copied.depth_path) / "model.safetensors", 100_000)
    controlnet = Path(copied.controlnet_path) / "config.json"
    controlnet.write_text(json.dumps(json.loads(controlnet.read_text()) | {"_class_name": "T2IAdapter"}))
    broken = fault(copied)
    assert "half-downloaded" in broken
    assert "config.json says _class_name: 'T2IAdapter'; expected 'ControlNetModel'" in broken


def test_a_group_has_an_option_for_each_source() -> None:
    for source in NegativeSource:
        assert compose.compose("train", [f"negatives={source.name}"]).data.negatives.source is source
    assert set(compose.options("negatives")) == {source.name for source in NegativeSource}
