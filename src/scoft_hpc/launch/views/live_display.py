"""A study's progress for people: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scoft_hpc.console import print_line
from scoft_hpc.launch.views.run_progress import RunProgress, counts, describe
from scoft_hpc.launch.views.tables import STYLES, status_table
from scoft_hpc.study.run_status import Status
from scoft_hpc.text import duration

HEARTBEAT_SECONDS = 10.0
FOLDED = (Status.done, Status.planned, Status.queued)
"""Lanes in these states are hidden first, in this order, where the terminal is too low for all."""


def view(console: Console) -> LiveView | PlainView:
    """What shows lanes while the block runs."""
    if console.is_terminal:
        return LiveView(console)
    return PlainView(lambda text: print_line(console, text))


class PlainView:
    """A line when lanes change state, and a heartbeat."""

    def __init__(
        self,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._tell, self._clock, self._heartbeat = tell, clock, heartbeat
        self._start = self._last = clock()
        self._states: dict[str, Status] = {}
        self._note = ""

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, lanes: Sequence[RunProgress], note: str) -> None:
        changed: dict[Status, list[RunProgress]] = {}
        for lane in lanes:
            if self._states.get(lane.run_id, lane.status) is not lane.status:
                changed.setdefault(lane.status, []).append(lane)
        for status, lanes_there in changed.items():
            self._line(f"{status.value}: {names(lanes_there)}")
        if note and note != self._note:
            self._line(note)
        if not self._states or self._clock() - self._last >= self._heartbeat:
            self._line(f"{counts(lanes)}{_trained(lanes)}")
        self._states, self._note = {lane.run_id: lane.status for lane in lanes}, note

    def _line(self, text: str) -> None:
        self._last = self._clock()
        self._tell(f"[{self._last - self._start:4.0f} s] {text}")


class LiveView:
    """One line a lane; where even those at work do not fit, a table of cultures against variants."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._start = clock()
        self._rates: dict[str, StepRate] = {}

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, lanes: Sequence[RunProgress], note: str) -> None:
        now = self._clock()
        for lane in lanes:
            if lane.status is Status.running:
                self._rates.setdefault(lane.run_id, StepRate()).add(now, lane.step)
        rates = {lane: rate for lane in lanes if (rate := self._rates.get(lane.run_id))}
        etas = {lane.run_id: rate.remaining_seconds(lane.steps) for lane, rate in rates.items()}
        self._live.update(self.render(lanes, note, etas), refresh=True)

    def render(
        self, lanes: Sequence[RunProgress], note: str, etas: dict[str, float | None]
    ) -> RenderableType:
        height = self._console.height - 3
        shown, hidden = fold(lanes, height)
        longest = max((eta for eta in etas.values() if eta), default=None)
        training = f"{duration(longest)} of training left" if longest else ""
        parts = [duration(self._clock() - self._start), counts(lanes), note or training]
        foot = Text("  ".join(filter(None, parts)), no_wrap=True, overflow="ellipsis")
        if len(shown) > height:
            return Group(status_table(lanes), foot)
        rest = [Text(f"and {counts(hidden)}", style="dim")] if hidden else []
        return Group(_lane_table(shown, etas), *rest, foot)


class StepRate:
    """Steps a second over the last while."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=40)

    def add(self, now: float, step: int) -> None:
        if not self._seen or step != self._seen[-1][1]:
            self._seen.append((now, step))

    def remaining_seconds(self, steps: int) -> float | None:
        """Seconds to the last step; None until the rate is known."""
        if len(self._seen) < 3:
            return None
        # The first entry is the time of the first look, not of its step: the rate is taken from the second on.
        (t0, s0), (t1, s1) = self._seen[1], self._seen[-1]
        return (steps - s1) * (t1 - t0) / (s1 - s0)


def _lane_table(lanes: Sequence[RunProgress], etas: dict[str, float | None]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("culture", "variant", "seed"):
        table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=18)
    table.add_column("training", width=20)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    for lane in lanes:
        eta = etas.get(lane.run_id) if describe(lane) == "training" else None
        table.add_row(
            lane.culture,
            lane.variant,
            str(lane.seed),
            ProgressBar(total=lane.steps, completed=lane.step, width=20) if lane.steps else "",
            f"{lane.step}/{lane.steps}" if lane.steps else "",
            Text(describe(lane), style=STYLES[lane.status]),
            "" if eta is None else duration(eta),
        )
    return table


def names(lanes: Sequence[RunProgress]) -> str:
    """Such as `korea ldm m mpc, india base`."""
    several = len({lane.seed for lane in lanes}) > 1
    groups: dict[str, list[str]] = {}
    for lane in lanes:
        groups.setdefault(f"{lane.culture} s{lane.seed}" if several else lane.culture, []).append(
            lane.variant
        )
    return ", ".join(f"{group} {' '.join(variants)}" for group, variants in groups.items())


def fold(lanes: Sequence[RunProgress], height: int) -> tuple[list[RunProgress], list[RunProgress]]:
    """The lanes to show, in order, and those that are hidden if there are more than `height`: done and waiting ones.

    Those in other states stay, even if they are more than `height`.
    """
    shown = list(lanes)
    for status in FOLDED:
        if len(shown) > height:
            waiting = [lane for lane in shown if lane.status is status]
            # One more for the line that counts the hidden.
            for lane in waiting if status is Status.done else waiting[::-1]:
                if len(shown) > height - 1:
                    shown.remove(lane)
    ids = {lane.run_id for lane in shown}
    return shown, [lane for lane in lanes if lane.run_id not in ids]


def _trained(lanes: Sequence[RunProgress]) -> str:
    running = [lane for lane in lanes if lane.status is Status.running and lane.steps]
    return f"; step {min(n.step for n in running)} of {max(n.steps for n in running)}" if running else ""
