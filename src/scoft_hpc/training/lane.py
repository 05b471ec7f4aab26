"""A run while it trains: its part of the stacked LoRA with its own AdamW, clipping and learning rate."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoft_hpc.config.schema import LrSchedule, Precision, RunConfig, Train
from scoft_hpc.data.culture_cache import CachedCulture
from scoft_hpc.data.rng import generator_for
from scoft_hpc.data.training_batch import TrainingBatch, sample_batch
from scoft_hpc.diffusion.noise_process import NoiseProcess
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.training import checkpoint
from scoft_hpc.training.objective import LaneObjective
from scoft_hpc.training.scaler import MIN_SCALE, LossScale


class Lane:
    """One lane of a pack.

    Attributes:
        step: updates done. seconds: its part of the training time so far, over all attempts.
        scale: its loss scale, in fp16 only. skipped: updates without a step, because the gradient overflowed.
    """

    def __init__(
        self, config: RunConfig, terms: LaneObjective, culture: CachedCulture, lora: LoraStack
    ) -> None:
        self.config, self.objective, self.culture, self._lora = config, terms, culture, lora
        self.steps = config.train.updates(len(culture))
        self.step, self.seconds, self.skipped = 0, 0.0, 0
        self.scale = LossScale() if config.model.precision is Precision.fp16 else None
        lora.init(terms.index, generator_for(config.seed, "lora"))
        self.weights = lora.weights[terms.index]
        self.weights.grad = lora.gradients[terms.index]
        train = config.train
        self.optimizer = torch.optim.AdamW(
            [self.weights],
            lr=train.lr,
            betas=(train.betas[0], train.betas[1]),
            eps=train.eps,
            weight_decay=train.weight_decay,
        )

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The lane's matrices by name."""
        return self._lora.parameters(self.objective.index)

    @property
    def gradient(self) -> Tensor:
        """Of the weights [P]."""
        assert self.weights.grad is not None
        return self.weights.grad

    def next_batch(self, process: NoiseProcess) -> TrainingBatch:
        """The rows of its next update."""
        return sample_batch(
            self.config, self.culture, process, self.objective.index, self.step, self.objective.target_names
        )

    @property
    def row_weight(self) -> float:
        """What a row counts in the lane's loss, loss scale included."""
        return (self.scale.scale if self.scale else 1.0) / self.config.train.batch

    def update(self) -> tuple[float, float]:
        """Clip the lane's gradient and take one AdamW step; return (gradient norm, learning rate).

        In fp16, an update whose gradient overflowed takes no step and halves the loss scale; its norm is not finite.

        Raises:
            FloatingPointError: if the gradient is not finite; the weights stay as they were.
        """
        rate = learning_rate(self.config.train, self.step, self.steps)
        if self.scale:
            self.gradient.div_(self.scale.scale)
        norm = float(torch.nn.utils.clip_grad_norm_([self.weights], self.config.train.max_grad_norm))
        finite = math.isfinite(norm)
        if self.scale:
            self.scale.update(finite)
        if not finite and (self.scale is None or self.scale.scale < MIN_SCALE):
            raise FloatingPointError(f"the gradient is not finite in update {self.step + 1}")
        if finite:
            self.optimizer.param_groups[0]["lr"] = rate
            self.optimizer.step()
        self.skipped += not finite
        self.step += 1
        return norm, rate

    def save(self, folder: Path) -> Path:
        """Write a checkpoint of the lane's whole state."""
        metadata = {"seconds": repr(self.seconds), "skipped": str(self.skipped)}
        if self.scale:
            metadata |= {
                "loss_scale": repr(self.scale.scale),
                "loss_scale_updates": str(self.scale.updates_since_change),
            }
        return checkpoint.write(folder, self.step, self.tensors(), metadata)

    def restore(self, state: checkpoint.Checkpoint) -> None:
        """Continue from a checkpoint."""
        names = list(self.parameters)
        for name, part in self.parameters.items():
            part.copy_(state.tensors[name])
        if "step" in state.tensors:
            saved: dict[str, Any] = self.optimizer.state_dict()
            flat = {
                key: torch.cat([state.tensors[f"{name}/{key}"].flatten() for name in names])
                for key in ("exp_avg", "exp_avg_sq")
            }
            saved["state"] = {0: {"step": state.tensors["step"], **flat}}
            self.optimizer.load_state_dict(saved)
        self.step, self.seconds = state.step, float(state.metadata["seconds"])
        self.skipped = int(state.metadata["skipped"])
        if self.scale:
            self.scale.scale = float(state.metadata["loss_scale"])
            self.scale.updates_since_change = int(state.metadata["loss_scale_updates"])

    def tensors(self) -> dict[str, Tensor]:
        """The lane's weights and AdamW moments by name."""
        tensors = {name: part.clone() for name, part in self.parameters.items()}
        for state in self.optimizer.state.values():
            tensors["step"] = state["step"].clone()
            for key in ("exp_avg", "exp_avg_sq"):
                named = self._lora.named(state[key])
                tensors |= {f"{name}/{key}": part.clone() for name, part in named.items()}
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
