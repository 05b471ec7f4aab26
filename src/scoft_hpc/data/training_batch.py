"""What a pack trains on in one update: every lane's rows, drawn from its own random generators.

Indices and timesteps stay on the host; what goes through a network is on its device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scoft_hpc.config.schema import Cadence, Gradient, RunConfig
from scoft_hpc.data.culture_cache import CachedCulture
from scoft_hpc.data.rng import generator_for
from scoft_hpc.diffusion.noise_process import NoiseProcess
from scoft_hpc.diffusion.rollout import last_call
from scoft_hpc.models.conditioning import Conditioning


@dataclass(frozen=True)
class TargetNames:
    """What a lane compares its rollouts to: the names under which its culture has targets of S and of VGG.

    Attributes:
        s: None for a variant without rollouts. vgg: None where its weight is 0.
        negatives: whether it compares to the negatives too.
    """

    s: str | None = None
    vgg: str | None = None
    negatives: bool = False


@dataclass(frozen=True)
class PerceptualTargets:
    """What the rollouts of one lane's M active rows are compared to.

    Attributes:
        positive: targets of S [M, *F]; negative: [M, K, *F] with present [M, K] bool, where the lane has L_C.
        vgg: targets of VGG [M, *G], where the lane has it. seeds: of each row's augmentations [M], on the host.
    """

    positive: Tensor
    seeds: Tensor
    negative: Tensor | None = None
    negative_mask: Tensor | None = None
    vgg: Tensor | None = None

    def rows(self, first: int, end: int) -> PerceptualTargets:
        """The same of the rows `first` .. `end` - 1."""
        parts = {name: part[first:end] for name, part in vars(self).items() if part is not None}
        return replace(self, **parts)


@dataclass(frozen=True)
class TrainingBatch:
    """N rows of one or more lanes, and the M of them (`active`) with a rollout, each lane's together.

    Attributes:
        lane: [N], the lane of each row; t: [N], its time in the noise process; on the host.
        z_0, eps: [N, C, h, w].
        text, generic: conditioning of the captions and the generic ones [N]; null: of the empty text [1].
        active: [M], indices into the N rows; grad_call: [M], the rollout call that keeps its graph; on the host.
        noise: [S, M, C, h, w].
        targets: of each lane that has active rows, by lane.
    """

    lane: Tensor
    t: Tensor
    z_0: Tensor
    eps: Tensor
    text: Conditioning
    generic: Conditioning
    null: Conditioning
    active: Tensor
    grad_call: Tensor
    noise: Tensor
    targets: dict[int, PerceptualTargets]

    def __len__(self) -> int:
        return len(self.lane)

    def targets_of(self, first: int, end: int) -> Iterator[tuple[int, slice, PerceptualTargets]]:
        """Of the active rows `first` .. `end` - 1, by lane: the lane, where its rows are among them, its targets."""
        lanes = self.lane[self.active].tolist()
        at = first
        while at < end:
            lane = lanes[at]
            until = min(end, at + lanes[at:].count(lane))
            start = lanes.index(lane)
            yield lane, slice(at - first, until - first), self.targets[lane].rows(at - start, until - start)
            at = until

    def microbatches(self, rows: int | None) -> Iterator[TrainingBatch]:
        """The batch in parts of at most `rows` rows; None: as it is.

        Active rows come first: in few parts together, their rollouts take fewer calls of the denoiser.
        """
        if rows is None or rows >= len(self):
            yield self
            return
        still = torch.ones(len(self), dtype=torch.bool)
        still[self.active] = False
        order = torch.cat([self.active, still.nonzero()[:, 0]])
        for first in range(0, len(self), rows):
            part = order[first : first + rows]
            start, end = (min(edge, len(self.active)) for edge in (first, first + rows))
            yield replace(
                self,
                **{
                    name: getattr(self, name)[part] for name in ("lane", "t", "z_0", "eps", "text", "generic")
                },
                active=torch.arange(end - start),
                grad_call=self.grad_call[start:end],
                noise=self.noise[:, start:end],
                targets={lane: lane_targets for lane, _, lane_targets in self.targets_of(start, end)},
            )


def active_rows(step: int, batch: int, every: int, cadence: Cadence) -> list[int]:
    """Which of an update's `batch` micro-steps have the perceptual terms; `step` counts updates from 0.

    Source: SCoFT train.py, `step % 10 == 0`, with one micro-step a pair; micro-steps are counted over the whole run.
    """
    if cadence is Cadence.update:
        return list(range(batch)) if step % every == 0 else []
    return [j for j in range(batch) if (step * batch + j) % every == 0]


def sample_batch(
    config: RunConfig, culture: CachedCulture, process: NoiseProcess, lane: int, step: int, names: TargetNames
) -> TrainingBatch:
    """The rows of one lane in update `step` (from 0); `lane` is its number in the pack, written to every row."""
    size, key = config.train.batch, (config.seed, config.culture)
    pair = _pairs(config, len(culture), step)
    rng = generator_for(*key, "step", step)
    flip = torch.randint(2, (size,), generator=rng) * int(config.data.random_flip)
    t = process.sample_times(size, rng)
    mean, std = culture.moments[pair, flip].unbind(1)
    z_0 = mean + std * torch.randn(mean.shape, generator=rng).to(mean)
    eps = torch.randn(mean.shape, generator=rng).to(mean)
    objective = config.objective
    rows = active_rows(step, size, objective.every, objective.cadence) if names.s else []
    active = torch.tensor(rows, dtype=torch.long)
    rolls = generator_for(*key, "rollout", step)
    noise = torch.randn(objective.rollout_steps, len(rows), *mean.shape[1:], generator=rolls).to(mean)
    grad_call = _grad_calls(objective.gradient, process, t[active], objective.rollout_steps, rolls)
    return TrainingBatch(
        lane=torch.full((size,), lane),
        t=t,
        z_0=z_0,
        eps=eps,
        text=culture.text[pair],
        generic=culture.generic[pair],
        null=culture.null,
        active=active,
        grad_call=grad_call,
        noise=noise,
        targets={
            lane: _targets(culture, names, pair[active], flip[active], generator_for(*key, "look", step))
        }
        if rows
        else {},
    )


def concatenate(batches: Sequence[TrainingBatch]) -> TrainingBatch:
    """The lanes' rows one after another."""
    starts = [0]
    for b in batches:
        starts.append(starts[-1] + len(b))

    def joined(name: str, dim: int = 0) -> Tensor:
        return torch.cat([getattr(b, name) for b in batches], dim)

    return TrainingBatch(
        **{name: joined(name) for name in ("lane", "t", "z_0", "eps", "grad_call")},
        text=Conditioning.cat(b.text for b in batches),
        generic=Conditioning.cat(b.generic for b in batches),
        null=batches[0].null,
        active=torch.cat([b.active + start for b, start in zip(batches, starts, strict=False)]),
        noise=joined("noise", 1),
        targets={lane: lane_targets for b in batches for lane, lane_targets in b.targets.items()},
    )


def _targets(
    culture: CachedCulture, names: TargetNames, pair: Tensor, flip: Tensor, rng: torch.Generator
) -> PerceptualTargets:
    if names.s is None:
        raise ValueError("a lane without rollouts has no targets")
    positive, negative = culture.targets(names.s, pair, flip, names.negatives)
    return PerceptualTargets(
        positive=positive,
        seeds=torch.randint(2**62, (len(pair),), generator=rng),
        negative=negative,
        negative_mask=None if negative is None else culture.negative_mask[pair],
        vgg=None if names.vgg is None else culture.targets(names.vgg, pair, flip, False)[0],
    )


def _pairs(config: RunConfig, count: int, step: int) -> Tensor:
    """Indices of the update's pairs: each epoch goes through all of them once, in an order of its own."""
    start = step * config.train.batch
    indices = []
    for n in range(start, start + config.train.batch):
        order = torch.randperm(
            count, generator=generator_for(config.seed, config.culture, "epoch", n // count)
        )
        indices.append(order[n % count])
    return torch.stack(indices)


def _grad_calls(
    gradient: Gradient, process: NoiseProcess, t: Tensor, steps: int, rng: torch.Generator
) -> Tensor:
    if gradient is Gradient.first:
        return torch.zeros_like(t, dtype=torch.long)
    last = last_call(process, t, steps)
    if gradient is Gradient.last:
        return last
    return (torch.rand(len(t), generator=rng) * (last + 1)).long()
