"""The distance `dreamsim` on DreamSim's own package, with random weights at full size, from a folder of its layout.

The package needs torchvision, which the core does without. So this is run by name where the extra is installed, and
fails elsewhere: `pip install '.[perceptual]'`, then `pytest tests/perceptual/check_dreamsim.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scoft_hpc.config.schema import Objective, Variant
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints.distances import resolve
from scoft_hpc.losses.perceptual import Distance
from scoft_hpc.perceptual.registry import load_distance

pytestmark = [
    pytest.mark.filterwarnings(f"default::{kind}")
    for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")
]

SEEDS = torch.tensor([0, 0])

HUBCONF = """
import torch
from dreamsim.feature_extraction.vision_transformer import vit_base

def dino_vitb16(pretrained=True):
    network = vit_base(patch_size=16, num_classes=0)
    network.load_state_dict(torch.hub.load_state_dict_from_url("https://example.org/dino_vitbase16_pretrain.pth"))
    return network
"""


@pytest.fixture(scope="session")
def objective(tmp_path_factory: pytest.TempPathFactory) -> Objective:
    """The folder as the package leaves it: three backbones, DINO's repository, and the ensemble's adapter."""
    from dreamsim.config import dreamsim_args
    from dreamsim.feature_extraction.vision_transformer import DINOHead, vit_base
    from dreamsim.model import PerceptualModel
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dreamsim")
    (folder / "checkpoints").mkdir()
    torch.save(vit_base(num_classes=0).state_dict(), folder / "checkpoints" / "dino_vitbase16_pretrain.pth")
    head = {f"module.head.{name}": value for name, value in DINOHead(768, 2048).state_dict().items()}
    head["module.head.last_layer.weight"] = torch.randn(2048, 256)
    torch.save({"student": head}, folder / "dino_vitb16_pretrain.pth")
    for name in ("clip", "open_clip"):
        backbone = vit_base(num_classes=0)
        backbone.pos_drop = torch.nn.LayerNorm(768)
        state = {**backbone.state_dict(), "proj": torch.randn(768, 512) / 28}
        torch.save({"state_dict": state}, folder / f"{name}_vitb16_pretrain.pth.tar")
    (folder / "facebookresearch_dino_main").mkdir()
    (folder / "facebookresearch_dino_main" / "hubconf.py").write_text(HUBCONF)
    settings = dreamsim_args["model_config"]["ensemble"]
    network = PerceptualModel(**settings, load_dir=str(folder), device="cpu", normalize_embeds=True)
    adapted = get_peft_model(network, LoraConfig(r=16, lora_alpha=0.5, target_modules=["qkv"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    adapted.save_pretrained(folder / "ensemble_lora")
    return Objective(distance="dreamsim", distance_path=str(folder), w_vgg=0)


@pytest.fixture(scope="session")
def distance(objective: Objective) -> Distance:
    return load_distance("dreamsim", resolve(objective, Variant.mpc), torch.device("cpu"))


def images(*shape: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(len(shape))
    patches = torch.rand(*shape, 3, 16, 16, generator=rng) * 2 - 1
    return patches.repeat_interleave(16, -1).repeat_interleave(16, -2)


def test_it_is_the_packages_own_distance(objective: Objective, distance: Distance) -> None:
    """Pairs one by one through `PerceptualModel.forward`, the images resized by PIL."""
    from dreamsim import dreamsim

    network, _ = dreamsim(device="cpu", cache_dir=objective.distance_path)
    x_hat, x = images(2), images(2, 2)
    target_features = distance.target(x.flatten(0, 1)).unflatten(0, (2, 2))
    assert distance.cacheable
    assert target_features.shape == (2, 2, 768 + 512 + 512)
    s = distance(x_hat, target_features, SEEDS)
    for n in range(2):
        for k in range(2):
            with torch.no_grad():
                expected = network(resized(x_hat[n]), resized(x[n, k]))
            assert float(s[n, k]) == pytest.approx(float(expected), rel=1e-3, abs=1e-5)
            assert float(expected) > 1e-3


def resized(image: torch.Tensor) -> torch.Tensor:
    channels = [Image.fromarray(channel, "F") for channel in ((image + 1) / 2).numpy()]
    small = [np.array(channel.resize((224, 224), Image.Resampling.BICUBIC)) for channel in channels]
    return torch.from_numpy(np.stack(small))[None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_gradient_reaches_the_image_and_a_row_knows_nothing_of_its_neighbour(
    distance: Distance, dtype: torch.dtype
) -> None:
    x_hat, x = images(2).to(dtype).requires_grad_(), images(2).to(dtype)
    target_features = distance.target(x)[:, None]
    assert distance(x, target_features, SEEDS).abs().max() < 1e-5
    target_features = target_features.flip(0)
    s = distance(x_hat, target_features, SEEDS)
    assert s.dtype == torch.float32
    s.sum().backward()
    assert x_hat.grad is not None
    assert x_hat.grad.flatten(1).abs().sum(1).min() > 0
    alone = distance(x_hat[1:].detach(), target_features[1:], SEEDS[1:])
    torch.testing.assert_close(alone[0], s.detach()[1], rtol=1e-3, atol=1e-5)


def test_its_folder_for_torch_hub_is_left_as_it_was(objective: Objective) -> None:
    before = torch.hub.get_dir()
    load_distance("dreamsim", objective, torch.device("cpu"))
    assert torch.hub.get_dir() == before


def test_weights_that_cannot_be_loaded_are_refused(objective: Objective, tmp_path: Path) -> None:
    for path in Path(objective.distance_path or "").rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(str(objective.distance_path))
            copy.parent.mkdir(exist_ok=True)
            copy.symlink_to(path)
    (tmp_path / "clip_vitb16_pretrain.pth.tar").unlink()
    (tmp_path / "clip_vitb16_pretrain.pth.tar").write_bytes(b"half a download")
    with pytest.raises(ConfigError, match="does not give DreamSim's ensemble"):
        load_distance("dreamsim", Objective(distance_path=str(tmp_path)), torch.device("cpu"))
