"""The authors' training loop over one culture, plainly: batch 1, no caches, the networks called one after another.

Each micro-step encodes its picture and its three texts, and predicts under the null text whether or not a rollout
follows. The mathematics is the slow rewriting that the parity tests compare with (`tests/reference`).
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from reference import authors, world
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.losses.perceptual import Distance
from scoft_hpc.models.families.stable_diffusion import StableDiffusion

TIMESTEPS = 1000


@dataclass(frozen=True)
class Example:
    """A picture [1, 3, H, W] in [-1, 1] and its negatives, on the device, and the texts."""

    picture: Tensor
    negatives: tuple[Tensor, ...]
    text: str
    generic: str


class Loop:
    """Trains on the examples in turn.

    Args:
        base: its U-Net is shared, not changed.
        s, vgg: the distances; None: without VGG.
    """

    def __init__(
        self,
        base: StableDiffusion,
        config: RunConfig,
        examples: Sequence[Example],
        s: Distance,
        vgg: Distance | None,
    ) -> None:
        self.base, self.config, self.examples, self.done = base, config, examples, 0
        self.unet = sharing(base.unet)
        lora, train, objective = config.lora, config.train, config.objective
        adapter = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha or lora.rank,
            target_modules=list(lora.targets),
            init_lora_weights="gaussian",
        )
        with base.device:
            self.unet.add_adapter(adapter)
        self.trained = [p for name, p in self.unet.named_parameters() if "lora" in name]
        for parameter in self.trained:
            parameter.data = parameter.data.float()
        self.optimizer = torch.optim.AdamW(self.trained, train.lr, train.betas, train.eps, train.weight_decay)
        self.objective = authors.Objective(w_vgg=objective.w_vgg if vgg else None, every=objective.every)
        self.s, self.vgg = between(s), between(vgg) if vgg else None
        self.rng = torch.Generator().manual_seed(config.seed)

    def micro_step(self) -> None:
        """One example; the weights change after every `train.batch` of them."""
        example = self.examples[self.done % len(self.examples)]
        active = self.done % self.objective.every == 0
        with self._autocast():
            micro = self._encoded(example)
            reference = world.Base(self.unet, self.base.vae, self.base.scheduler)
            if not active:  # predicted on every step; where a rollout follows, that predicts it itself
                with torch.no_grad():
                    alphas = self.base.scheduler.alphas_cumprod
                    z_t = authors.add_noise(alphas, micro.z_start, micro.eps, micro.t)
                    self._predict(z_t, micro.t, micro.null_text)
            terms = authors.micro_step(
                self._predict, reference, micro, self.objective, active, self.s, self.vgg
            )
        (terms["loss"] / self.config.train.batch).backward()
        self.done += 1
        if self.done % self.config.train.batch == 0:
            torch.nn.utils.clip_grad_norm_(self.trained, self.config.train.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def _encoded(self, example: Example) -> world.Micro:
        base = self.base
        mean, std = base.encode_images(example.picture).unbind(1)
        text, generic, null = (
            base.encode_text([words]).tensors["states"] for words in (example.text, example.generic, "")
        )
        return world.Micro(
            t=int(torch.randint(1, TIMESTEPS, (), generator=self.rng)),
            z_start=mean + std * torch.randn_like(mean),
            eps=torch.randn_like(mean),
            text=text,
            blip_text=generic,
            null_text=null,
            x_pos=example.picture,
            x_neg=example.negatives,
            rollout_eps=torch.randn(world.CALLS, *mean.shape, device=mean.device),
            random_call=0.0,
        )

    def _predict(self, z: Tensor, t: int, text: Tensor) -> Tensor:
        out: Tensor = self.unet(z, torch.full((1,), t, device=z.device), text, return_dict=False)[0]
        return out

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.base.dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.base.device.type, self.base.dtype)


def sharing(network: nn.Module) -> nn.Module:
    """A copy of the network's modules on the same weights."""
    weights = [*network.parameters(), *network.buffers()]
    return copy.deepcopy(network, {id(weight): weight for weight in weights})


def between(distance: Distance) -> Callable[[Tensor, Tensor], Tensor]:
    """S of two pictures [1, 3, H, W]; the second one's features are taken anew each time."""
    seeds = torch.zeros(1, dtype=torch.long)
    return lambda x_hat, x: distance(x_hat, distance.target(x)[:, None], seeds)
