"""Read TensorBoard's event files with its own reader."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray


def read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    return accumulator


def series(read: EventAccumulator, name: str) -> tuple[list[int], list[float]]:
    """In the order of steps: files of one second and process are read in the order of their numbers' letters."""
    events = sorted(read.Tensors(name), key=lambda event: event.step)
    return [event.step for event in events], [float(make_ndarray(event.tensor_proto)) for event in events]
