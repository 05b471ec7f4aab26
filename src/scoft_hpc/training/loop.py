"""The training loop of a pack: all lanes step together; one that fails does not stop the others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scoft_hpc.data.training_batch import concatenate
from scoft_hpc.inputs import memory_model
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.oom_backoff import MicrobatchSize
from scoft_hpc.study.interrupt import Interrupted, StopFlag
from scoft_hpc.study.metrics_log import STEP, MetricsLog, Row
from scoft_hpc.study.paths import RunDir
from scoft_hpc.training import checkpoint
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.objective import LaneObjective
from scoft_hpc.training.step import TermValues, backward, concatenate_values

log = logging.getLogger(__name__)
MAX_INTERVAL_FACTOR = 10
"""Between saves pass at least this many times the seconds of a save, but at most this many `save_seconds` [ours]."""


@dataclass
class LaneRun:
    """A lane and its run on disk.

    Attributes:
        error: why the lane stopped for good; None if it has not.
    """

    run: RunDir
    lane: Lane
    metrics_log: MetricsLog = field(init=False)
    error: Exception | None = None

    @property
    def active(self) -> bool:
        return self.error is None and self.lane.step < self.lane.steps

    def save(self) -> None:
        """Write a checkpoint, with the metrics log durable up to it."""
        self.metrics_log.sync()
        self.lane.save(self.run.checkpoints)


def train(
    base: DiffusionModel,
    pack: Sequence[LaneRun],
    stop: StopFlag,
    save_seconds: float,
    microbatch: MicrobatchSize | None = None,
    is_owner: Callable[[], bool] = lambda: True,
) -> None:
    """Train every lane to its last step, or to its error, which goes to `LaneRun.error`.

    Args:
        save_seconds: between saves, or more where they are slow (`interval`).
        microbatch: rows that go through the denoiser together; None: all.
        is_owner: whether the runs are still this process's; asked before each round of saves.

    Raises:
        Interrupted: if `stop` was requested; all lanes are saved. Or if another process has taken over; none is.
        OSError: if a save fails; what was saved before is untouched.
    """
    resume(pack)
    microbatch = microbatch or MicrobatchSize()
    saved_at, save_duration = time.monotonic(), 0.0
    try:
        while active := [lane_run for lane_run in pack if lane_run.active]:
            started = time.monotonic()
            for lane_run, row in _update_all(base, active, microbatch):
                lane_run.lane.seconds += (time.monotonic() - started) / len(active)
                lane_run.metrics_log.append({**row, "seconds": round(lane_run.lane.seconds, 4)})
            finished = [lane_run for lane_run in active if lane_run.error is None and not lane_run.active]
            began = time.monotonic()
            due = stop.requested or began - saved_at >= interval(save_seconds, save_duration)
            to_save = [lane_run for lane_run in (active if due else finished) if lane_run.error is None]
            if to_save and not is_owner():
                raise Interrupted  # the saves of the process that has taken over must stay in step
            for lane_run in to_save:
                lane_run.save()
            if due:
                saved_at = time.monotonic()
                save_duration = saved_at - began
            stop.raise_if_set()
    finally:
        for lane_run in pack:
            lane_run.metrics_log.close()


def interval(save_seconds: float, save_duration: float) -> float:
    """Seconds from a save that took `save_duration` seconds to the next: `save_seconds`, unless saving is slow.

    A lane of rank 64 writes, hashes and reads back 150 MB: sixteen lanes each minute would cost a fifth of the time.
    The interval grows, up to ten times, so that saving takes about a tenth of the time.
    """
    return max(save_seconds, MAX_INTERVAL_FACTOR * min(save_duration, save_seconds))


def resume(pack: Sequence[LaneRun]) -> None:
    """Continue each lane from its checkpoints.

    Lanes are saved one after another, so a kill in between leaves them one save apart. They continue from the newest
    step that all have, and the pack computes bit for bit what it would have; where there is none, each continues from
    its own newest. Later saves are deleted: they would outlive the common ones that follow.
    """
    valid = [checkpoint.read_valid(lane_run.run.checkpoints) for lane_run in pack]
    for lane_run, by_step in zip(pack, valid, strict=True):
        n_torn = len(checkpoint.existing(lane_run.run.checkpoints)) - len(by_step)
        if n_torn:
            log.warning("%s: %d checkpoint(s) do not verify and are ignored", lane_run.run.run_id, n_torn)
    common = common_step([lane_run.lane.steps for lane_run in pack], [set(by_step) for by_step in valid])
    for lane_run, by_step in zip(pack, valid, strict=True):
        newest = max(by_step, default=0)
        step = newest if common is None else min(common, lane_run.lane.steps)
        if step:
            lane_run.lane.restore(by_step[step])
        checkpoint.drop_after(lane_run.run.checkpoints, step)
        lane_run.metrics_log = MetricsLog(lane_run.run.metrics, lane_run.lane.step)


def common_step(steps: Sequence[int], saved: Sequence[Set[int]]) -> int | None:
    """The newest step from which all lanes of a pack can continue together; None if there is none.

    The beginning is one where no lane was saved twice: the first save was interrupted. Else a lane without a save has
    lost them, and its neighbours do not give theirs up.

    Args:
        steps: after which each lane is finished; from then on its last save stands for every later step.
        saved: the steps of each lane's saves.
    """
    candidates = {step for of_lane in saved for step in of_lane}
    if all(len(of_lane) <= 1 for of_lane in saved):
        candidates.add(0)
    common = [
        step
        for step in candidates
        if all(min(step, last) in {0, *of_lane} for last, of_lane in zip(steps, saved, strict=True))
    ]
    return max(common, default=None)


def _update_all(
    base: DiffusionModel, active: Sequence[LaneRun], microbatch: MicrobatchSize
) -> list[tuple[LaneRun, Row]]:
    """One update of every lane; a lane that raises or diverges gets its `error` and no row."""
    losses = _gradients(base, active, microbatch)
    if losses is None:
        return []
    rows = []
    for lane_run, values in zip(active, losses, strict=True):
        lane = lane_run.lane
        try:
            norm, rate = lane.update()
        except Exception as error:  # of this lane alone: its neighbours have their own optimizers
            lane_run.error = error
            continue
        row: Row = {STEP: lane.step, **values, "grad_norm": norm, "lr": rate}
        if lane.scale:
            row |= {"loss_scale": lane.scale.scale, "skipped": lane.skipped}
        if microbatch.rows is not None:
            row["rows"] = microbatch.rows
        rows.append((lane_run, row))
    return rows


def _gradients(
    base: DiffusionModel, active: Sequence[LaneRun], microbatch: MicrobatchSize
) -> list[Row] | None:
    """Losses and gradients of the lanes together, in smaller microbatches where the memory does not suffice.

    If that raises, each lane is tried alone: those that raise again get the error, and None is returned, so that the
    others take the step without them. Nothing has changed by then: random numbers depend on the step's number only.
    """
    lanes = [lane_run.lane for lane_run in active]
    n_rows = sum(lane.config.train.batch for lane in lanes)
    try:
        return microbatch.run(lambda rows: gradients(base, lanes, rows), n_rows)
    except Exception as error:
        for lane_run in active:
            try:
                gradients(base, [lane_run.lane], microbatch.rows)
            except Exception as lane_error:
                lane_run.error = lane_error
        if all(lane_run.error is None for lane_run in active):
            raise error
        return None


def gradients(base: DiffusionModel, lanes: Sequence[Lane], rows: int | None = None) -> list[Row]:
    """Fill the lanes' gradients for their next update and return each lane's losses, as `losses_of` does.

    Args:
        rows: of a microbatch, which go through the denoiser together, with their activations; None: all.
    """
    if base.lora is None:
        raise ValueError("the base has no adapters to train")
    base.lora.zero_grad()
    batch = concatenate([lane.next_batch(base.process) for lane in lanes])
    objectives = [lane.objective for lane in lanes]
    weight = {lane.objective.index: lane.row_weight for lane in lanes}
    parts = list(batch.microbatches(rows))
    n_decoded = memory_model.images_per_decode(rows)
    values = [backward(base, objectives, part, weight, n_decoded) for part in parts]
    return losses_of(objectives, torch.cat([part.lane for part in parts]), concatenate_values(values))


def losses_of(objectives: Sequence[LaneObjective], lane: Tensor, values: TermValues) -> list[Row]:
    """Each lane's `loss`, and its terms as means over the rows that have them, NaN where none has.

    Args:
        lane: of each row [N]; values: the rows' terms, as `step.backward` returns them.
    """
    table, losses = torch.stack(list(values.values()), 1), []
    for objective in objectives:
        lane_rows = table[lane == objective.index].double()
        weights = torch.tensor(list(objective.weights.values()), dtype=lane_rows.dtype)
        loss = (lane_rows.nan_to_num(0.0).sum(0) / len(lane_rows) * weights).sum()
        means = zip(values, lane_rows.nanmean(0).tolist(), strict=True)
        losses.append({"loss": float(loss)} | {f"loss_{term.name}": mean for term, mean in means})
    return losses
