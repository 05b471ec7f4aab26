"""A family of the tests' own, as unlike Stable Diffusion as the interface allows: what a family must provide.

A rectified flow with real times; latents of 6 channels with a shift; two text encoders side by side, and a pooled
vector; a transformer in plain torch; guidance with a null text, or embedded. Nothing in `src` knows it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from scoft_hpc.config.schema import Lora, Model, NegativeSource
from scoft_hpc.diffusion.rectified_flow import RectifiedFlow
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import families
from scoft_hpc.inputs.checkpoints.digest import digest
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DTYPES
from scoft_hpc.models.families import registry
from scoft_hpc.models.guidance import Guidance
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.models.lora_file import AdapterFormat

NAME = "tiny_flow"
FILES = ("config.json", "weights.safetensors")
CHANNELS, PATCH, TOKENS, WIDTH = 6, 8, 20, 32
NARROW, WIDE = 10, 14
SHIFT, SCALE = 0.2, 1.7
FLOW = RectifiedFlow(shift=2.0)
TARGETS = ("wq", "wk", "wv", "head")


class Autoencoder(nn.Module):
    """Each 8 x 8 patch through an orthonormal basis of 6 vectors, and back."""

    def __init__(self) -> None:
        super().__init__()
        basis = torch.linalg.qr(torch.randn(3 * PATCH**2, CHANNELS))[0]
        basis[:, :3] = 0  # the first three are the patch's mean colour, so that pictures are seen at all
        for channel in range(3):
            basis[channel * PATCH**2 : (channel + 1) * PATCH**2, channel] = 1 / PATCH
        self.basis = nn.Parameter(torch.linalg.qr(basis)[0].T.contiguous())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        patches = functional.pixel_unshuffle(x, PATCH)
        mean = torch.einsum("kc,nchw->nkhw", self.basis, patches) / PATCH
        return mean, torch.full_like(mean, 0.01)

    def decode(self, z: Tensor) -> Tensor:
        return functional.pixel_shuffle(torch.einsum("kc,nkhw->nchw", self.basis, z) * PATCH, PATCH)


class TextEncoder(nn.Module):
    """Letters with their places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(256, width), nn.Embedding(TOKENS, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.tanh(self.letters(tokens) + self.places.weight)


class Attention(nn.Module):
    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.wq, self.wo = nn.Linear(width, width), nn.Linear(width, width)
        self.wk, self.wv = nn.Linear(context, width), nn.Linear(context, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q, k, v = self.wq(x), self.wk(context), self.wv(context)
        return self.wo(functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0])


class Transformer(nn.Module):
    """Latent pixels as tokens, with sines of the time, the pooled text and the guidance scale added to them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(CHANNELS, WIDTH), nn.Linear(WIDTH, CHANNELS)
        self.globals = nn.Linear(WIDE + 9, WIDTH)
        self.own = Attention(WIDTH, WIDTH)
        self.cross = Attention(WIDTH, NARROW + WIDE)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, z: Tensor, t: Tensor, states: Tensor, pooled: Tensor, guidance: Tensor) -> Tensor:
        angles = t[:, None] * math.pi * 2.0 ** torch.arange(4, dtype=z.dtype)
        seen = torch.cat([pooled, angles.sin(), angles.cos(), guidance[:, None]], 1)
        x = self.embed(z.flatten(2).mT) + self.globals(seen)[:, None]
        x = x + self.own(x, x)
        x = x + self.cross(x, states)
        x = x + self.mlp(x)
        return z + self.head(x).mT.unflatten(2, z.shape[2:])


class EulerSampler:
    """Euler's steps down the flow's own ladder."""

    def __init__(self, process: RectifiedFlow, steps: int) -> None:
        self.process = process
        self.ladder = process.rollout_times(torch.ones(1, dtype=torch.float64), steps)[0]
        self.times = self.ladder[:-1]

    def add_noise(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        return self.process.add_noise(z_0, eps, t.expand(len(z_0)))

    def step(self, out: Tensor, t: Tensor, z: Tensor) -> Tensor:
        later = self.ladder[int((self.ladder == t).nonzero()[0, 0]) + 1]
        return z + float(later - t) * out


@dataclass
class TinyFlow:
    """A `DiffusionModel`."""

    vae: Autoencoder
    texts: tuple[TextEncoder, TextEncoder]
    transformer: Transformer
    guidance: Guidance
    device: torch.device
    dtype: torch.dtype = torch.float32
    process: RectifiedFlow = FLOW
    lora: LoraStack | None = None

    def latent_shape(self, resolution: int) -> tuple[int, int, int]:
        return CHANNELS, resolution // PATCH, resolution // PATCH

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Conditioning:
        padded = [text.encode()[:TOKENS].ljust(TOKENS, b"\0") for text in texts]
        tokens = torch.tensor([list(text) for text in padded], device=self.device)
        narrow, wide = (encoder(tokens).float() for encoder in self.texts)
        return Conditioning(
            {
                "states": torch.cat([narrow, wide], 2),
                "pooled": wide.mean(1),
                "guidance": torch.ones(len(texts), device=self.device),
            }
        )

    @torch.no_grad()
    def encode_images(self, x: Tensor) -> Tensor:
        mean, std = self.vae.encode(x.to(self.dtype))
        return torch.stack([(mean.float() - SHIFT) * SCALE, std.float() * SCALE], 1)

    def decode(self, z_0: Tensor) -> Tensor:
        return self.vae.decode((z_0 / SCALE + SHIFT).to(self.dtype)).float()

    def predict(
        self, z_t: Tensor, t: Tensor, conditioning: Conditioning, lane: Tensor | None = None
    ) -> Tensor:
        c = conditioning.to(self.dtype).tensors
        z, t = z_t.to(self.dtype), t.to(self.device, self.dtype)
        if self.lora is None:
            return self.transformer(z, t, c["states"], c["pooled"], c["guidance"]).float()
        with self.lora.rows(lane):
            return self.transformer(z, t, c["states"], c["pooled"], c["guidance"]).float()

    def sampler(self, steps: int) -> EulerSampler:
        return EulerSampler(self.process, steps)

    def adapt(self, lanes: int, lora: Lora) -> LoraStack:
        self.lora = LoraStack(self.transformer, lanes, lora, AdapterFormat("transformer"), TARGETS)
        return self.lora


def new(guidance: Guidance = Guidance.classifier_free, dtype: torch.dtype = torch.float32) -> TinyFlow:
    """A model of random weights, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae, narrow, wide, transformer = Autoencoder(), TextEncoder(NARROW), TextEncoder(WIDE), Transformer()
    for network in (vae, narrow, wide, transformer):
        network.requires_grad_(False).eval().to(dtype)
    return TinyFlow(vae, (narrow, wide), transformer, guidance, torch.device("cpu"), dtype)


def write(folder: Path) -> Path:
    """A checkpoint of the family."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"guidance": Guidance.classifier_free.name}))
    save_file(_weights(new()), folder / "weights.safetensors")
    return folder


def load(model: Model, device: torch.device) -> TinyFlow:
    """The half with torch."""
    folder = Path(model.path)
    loaded = new(Guidance[json.loads((folder / "config.json").read_text())["guidance"]])
    weights = load_file(folder / "weights.safetensors")
    for name, parameter in _weights(loaded).items():
        parameter.copy_(weights[name])
    for network in (loaded.vae, *loaded.texts, loaded.transformer):
        network.to(device, DTYPES[model.precision])
    return replace(loaded, device=device, dtype=DTYPES[model.precision])


def resolve(model: Model) -> Model:
    """The half without torch."""
    folder = Path(model.path).absolute()
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise ConfigError(f"model.path={model.path} lacks {', '.join(missing)}.")
    return replace(model, path=str(folder), digest=digest(folder, FILES))


def register(patch: pytest.MonkeyPatch) -> None:
    """Put the family into the two tables, and nothing more."""
    ways = frozenset({NegativeSource.given, NegativeSource.txt2img, NegativeSource.img2img})
    family: Any = families.ModelFamily(resolve, ways, False, "TinyFlowPipeline", None, "tiny-flow")
    patch.setitem(families.FAMILIES, NAME, family)
    patch.setitem(registry.FAMILIES, NAME, load)


def _weights(model: TinyFlow) -> dict[str, Tensor]:
    parts = {
        "vae": model.vae,
        "narrow": model.texts[0],
        "wide": model.texts[1],
        "transformer": model.transformer,
    }
    return {
        f"{part}.{name}": w.data for part, network in parts.items() for name, w in network.named_parameters()
    }
