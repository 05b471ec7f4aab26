"""A run while it trains: its slice of the stacked LoRA with its own AdamW, clipping and learning rate."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoft_hpc.config.schema import LrSchedule, RunConfig, Train
from scoft_hpc.data.cache import Culture
from scoft_hpc.data.streams import stream
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.training import checkpoint
from scoft_hpc.training.step import LaneTerms


class Lane:
    """One lane of a pack.

    Attributes:
        step: updates done. seconds: its share of the training time so far, of all attempts.
    """

    def __init__(self, config: RunConfig, terms: LaneTerms, culture: Culture, lora: LoraStack) -> None:
        self.config, self.terms, self.culture = config, terms, culture
        self.steps = config.train.updates(len(culture))
        self.step, self.seconds = 0, 0.0
        lora.init(terms.index, stream(config.seed, "lora"))
        self.parameters = lora.parameters(terms.index)
        train = config.train
        self.optimizer = torch.optim.AdamW(
            list(self.parameters.values()),
            lr=train.lr,
            betas=(train.betas[0], train.betas[1]),
            eps=train.eps,
            weight_decay=train.weight_decay,
        )

    def update(self) -> tuple[float, float]:
        """Clip the lane's gradient and take one AdamW step; return (gradient norm, learning rate).

        Raises:
            FloatingPointError: if the gradient is not finite; the weights stay as they were.
        """
        parameters = list(self.parameters.values())
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.train.max_grad_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"the gradient is not finite in update {self.step + 1}")
        rate = learning_rate(self.config.train, self.step, self.steps)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.step += 1
        return float(norm), rate

    def save(self, folder: Path) -> Path:
        """Write a checkpoint of the lane's whole state."""
        return checkpoint.write(folder, self.step, self.tensors(), {"seconds": repr(self.seconds)})

    def restore(self, state: checkpoint.State) -> None:
        """Continue from a checkpoint."""
        for name, part in self.parameters.items():
            part.copy_(state.tensors[name])
        saved: dict[str, Any] = self.optimizer.state_dict()
        saved["state"] = {
            i: {key: state.tensors[f"{name}/{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for i, name in enumerate(self.parameters)
            if f"{name}/step" in state.tensors
        }
        self.optimizer.load_state_dict(saved)
        self.step, self.seconds = state.step, float(state.words["seconds"])

    def tensors(self) -> dict[str, Tensor]:
        """The lane's weights and AdamW moments by name."""
        tensors = {name: part.detach().clone() for name, part in self.parameters.items()}
        for name, part in self.parameters.items():
            for key, value in self.optimizer.state[part].items():
                tensors[f"{name}/{key}"] = value.detach().clone()
        return tensors


def learning_rate(train: Train, step: int, steps: int) -> float:
    """The rate of update `step` (from 0): linear warm-up, then constant or half a cosine down to 0.

    Source: diffusers' get_cosine_schedule_with_warmup.
    """
    if step < train.warmup_steps:
        return train.lr * step / train.warmup_steps
    if train.schedule is LrSchedule.constant:
        return train.lr
    done = (step - train.warmup_steps) / max(1, steps - train.warmup_steps)
    return train.lr * 0.5 * (1 + math.cos(math.pi * done))
