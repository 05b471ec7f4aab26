"""The training loop of a pack: all lanes step together, each stands and falls alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scoft_hpc.data.training_batch import concatenate
from scoft_hpc.inputs import memory_model
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.oom_backoff import MicrobatchSize
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.metrics_log import STEP, MetricsLog, Row
from scoft_hpc.study.paths import RunDir
from scoft_hpc.training import checkpoint
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.objective import LaneObjective
from scoft_hpc.training.step import TermValues, backward, concatenate_values

log = logging.getLogger(__name__)
MAX_INTERVAL_FACTOR = 10
"""Times the seconds of a save, and times `save_seconds`, that a slow disk puts between saves at most [ours]."""


@dataclass
class LaneRun:
    """A lane with its run on disk.

    Attributes:
        error: why the lane stopped for good; None while it is sound.
    """

    run: RunDir
    lane: Lane
    journal: MetricsLog = field(init=False)
    error: Exception | None = None

    @property
    def active(self) -> bool:
        return self.error is None and self.lane.step < self.lane.steps

    def save(self) -> None:
        """A checkpoint, with the journal durable up to it."""
        self.journal.sync()
        self.lane.save(self.run.checkpoints)


def train(
    base: DiffusionModel,
    pack: Sequence[LaneRun],
    stop: StopFlag,
    save_seconds: float,
    room: MicrobatchSize | None = None,
) -> None:
    """Train every lane to its last step, or to its error, which is kept in `Training.error`.

    Args:
        save_seconds: between saves, or more where they are slow (`interval`).
        room: how many rows go through the denoiser at a time; None: all.

    Raises:
        Interrupted: if `stop` was requested; all lanes are saved.
        OSError: if a save fails; what was saved before is untouched.
    """
    resume(pack)
    room = room or MicrobatchSize()
    saved, took = time.monotonic(), 0.0
    try:
        while active := [training for training in pack if training.active]:
            started = time.monotonic()
            for training, row in _advance(base, active, room):
                training.lane.seconds += (time.monotonic() - started) / len(active)
                training.journal.append({**row, "seconds": round(training.lane.seconds, 4)})
            finished = [training for training in active if training.error is None and not training.active]
            began = time.monotonic()
            due = stop.requested or began - saved >= interval(save_seconds, took)
            for training in active if due else finished:
                if training.error is None:
                    training.save()
            if due:
                saved = time.monotonic()
                took = saved - began
            stop.raise_if_set()
    finally:
        for training in pack:
            training.journal.close()


def interval(save_seconds: float, took: float) -> float:
    """Seconds from a save that took so long to the next: `save_seconds`, unless saving is slow.

    A lane of rank 64 writes, hashes and reads back 150 MB: sixteen of them each minute would cost a fifth of the time.
    Saves are as much rarer then, up to ten times, as keeps them near a tenth of it.
    """
    return max(save_seconds, MAX_INTERVAL_FACTOR * min(took, save_seconds))


def resume(pack: Sequence[LaneRun]) -> None:
    """Continue each lane from its checkpoints.

    Lanes are saved one after another, so a kill in between leaves them a save apart. Where all have a save in common
    they continue from the newest such step, and the pack computes bit for bit what it would have; else each from its
    own newest. Saves past that step go: kept, they would outlive the common ones that follow.
    """
    states = [checkpoint.sound(training.run.checkpoints) for training in pack]
    for training, sound in zip(pack, states, strict=True):
        torn = len(checkpoint.existing(training.run.checkpoints)) - len(sound)
        if torn:
            log.warning("%s: %d checkpoint(s) do not verify and are left aside", training.run.run_id, torn)
    unfinished = [s for training, s in zip(pack, states, strict=True) if training.lane.steps not in s]
    common = set.intersection(*(set(s) for s in unfinished)) if unfinished else set()
    for training, sound in zip(pack, states, strict=True):
        finished = training.lane.steps in sound
        step = training.lane.steps if finished else max(common or sound, default=0)
        if step:
            training.lane.restore(sound[step])
            checkpoint.drop_after(training.run.checkpoints, step)
        training.journal = MetricsLog(training.run.metrics, training.lane.step)


def _advance(
    base: DiffusionModel, active: Sequence[LaneRun], room: MicrobatchSize
) -> list[tuple[LaneRun, Row]]:
    """One update of every lane; a lane that raises or diverges gets its `error` and no row."""
    terms = _gradients(base, active, room)
    if terms is None:
        return []
    rows = []
    for training, values in zip(active, terms, strict=True):
        try:
            norm, rate = training.lane.update()
        except Exception as error:  # the lane's own: its neighbours have their own optimizers
            training.error = error
            continue
        row: Row = {STEP: training.lane.step, **values, "grad_norm": norm, "lr": rate}
        if training.lane.scale:
            row |= {"loss_scale": training.lane.scale.scale, "skipped": training.lane.skipped}
        if room.rows is not None:
            row["rows"] = room.rows
        rows.append((training, row))
    return rows


def _gradients(base: DiffusionModel, active: Sequence[LaneRun], room: MicrobatchSize) -> list[Row] | None:
    """Losses and gradients of the lanes together, in smaller passes where the memory does not suffice.

    If that raises, each lane is tried alone: those that raise again are to blame and get the error, and None is
    returned, so that the others take the step without them. Nothing has changed by then: draws depend on the step's
    number only.
    """
    try:
        return room.run(lambda rows: gradients(base, [t.lane for t in active], rows), _rows(active))
    except Exception as error:
        for training in active:
            try:
                gradients(base, [training.lane], room.rows)
            except Exception as own:
                training.error = own
        if all(training.error is None for training in active):
            raise error
        return None


def _rows(active: Sequence[LaneRun]) -> int:
    return sum(training.lane.config.train.batch for training in active)


def gradients(base: DiffusionModel, lanes: Sequence[Lane], rows: int | None = None) -> list[Row]:
    """Fill the lanes' gradients for their next update and return each one's losses, as `losses_of` does.

    Args:
        rows: at most so many go through the denoiser at a time, with their activations; None: all.
    """
    if base.lora is None:
        raise ValueError("the base has no adapters to train")
    base.lora.zero_grad()
    batch = concatenate([lane.draw(base.process) for lane in lanes])
    terms, weight = [lane.terms for lane in lanes], {lane.terms.index: lane.row_weight for lane in lanes}
    parts = list(batch.microbatches(rows))
    values = [backward(base, terms, part, weight, memory_model.images_per_decode(rows)) for part in parts]
    return losses_of(terms, torch.cat([part.lane for part in parts]), concatenate_values(values))


def losses_of(lanes: Sequence[LaneObjective], lane: Tensor, values: TermValues) -> list[Row]:
    """Each lane's `loss`, and its terms as means over the rows that have them, NaN where none has.

    Args:
        lane: of each row [N]; values: the rows' terms, as `step.backward` returns them.
    """
    table, losses = torch.stack(list(values.values()), 1), []
    for terms in lanes:
        own = table[lane == terms.index].double()
        weights = torch.tensor(list(terms.weights.values()), dtype=own.dtype)
        loss = (own.nan_to_num(0.0).sum(0) / len(own) * weights).sum()
        means = zip(values, own.nanmean(0).tolist(), strict=True)
        losses.append({"loss": float(loss)} | {f"loss_{term.name}": mean for term, mean in means})
    return losses
