"""Pre-training of the two readers: the feature network and the scorer."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from scoft_hpc.models.toy_networks import FeatureNet, Scorer
from toy_pretraining.web_dataset import ImageDataset, batches

log = logging.getLogger(__name__)

BATCH, LEARNING_RATE = 64, 2e-3


def worn(x: Tensor, generator: torch.Generator) -> Tensor:
    """The pictures with light noise and, half of them, a light blur: generated pictures are less crisp than renders."""
    noise = (
        torch.randn(x.shape, generator=generator) * torch.rand(len(x), 1, 1, 1, generator=generator) * 0.12
    )
    blurred = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    pick = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    return torch.where(pick, blurred, x) + noise


def _optimizer(network: nn.Module, steps: int) -> tuple[Optimizer, LRScheduler]:
    optimizer = AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    return optimizer, OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)


def train_feature_net(pictures: ImageDataset, steps: int, seed: int) -> FeatureNet:
    """A FeatureNet that learned to read style, subject and place."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = FeatureNet().train()
    optimizer, schedule = _optimizer(network, steps)
    for step, index in enumerate(batches(len(pictures), BATCH, steps, generator)):
        logits = network.read(worn(pictures.x(index), generator))
        labels = pictures.labels[index].unbind(dim=1)
        loss = torch.stack(
            [functional.cross_entropy(*pair) for pair in zip(logits, labels, strict=True)]
        ).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            log.info("feature net %d/%d loss %.4f", step, steps, loss.item())
    return network.eval().requires_grad_(False)


def train_scorer(pictures: ImageDataset, redrawn: Tensor, steps: int, seed: int) -> Scorer:
    """A Scorer that learned from renders and from `redrawn`, the same pictures after the autoencoder."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Scorer().train()
    optimizer, schedule = _optimizer(network, steps)
    for step, index in enumerate(batches(len(redrawn), BATCH, steps, generator)):
        pick = torch.rand(len(index), 1, 1, 1, generator=generator) < 0.5
        reading = network(worn(torch.where(pick, redrawn[index], pictures.x(index)), generator))
        style, subject, _ = pictures.labels[index].unbind(dim=1)
        loss = functional.cross_entropy(reading.style, style) + functional.cross_entropy(
            reading.subject, subject
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            log.info("scorer %d/%d loss %.4f", step, steps, loss.item())
    return network.eval().requires_grad_(False)
