"""What a plan and a study's state look like in a terminal of 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from scoft_hpc.launch.views.run_progress import RunProgress, describe, status_label
from scoft_hpc.study import run_status
from scoft_hpc.study.paths import RunDir
from scoft_hpc.study.run_status import Status
from scoft_hpc.text import short_duration

if TYPE_CHECKING:
    from scoft_hpc.launch.planning.packing import Pack
    from scoft_hpc.launch.planning.plan import Run

STYLES = {
    Status.done: "green",
    Status.failed: "bold red",
    Status.lost: "red",
    Status.running: "cyan",
    Status.queued: "yellow",
    Status.planned: "dim",
}


def plan_table(runs: Sequence[Run], packs: Sequence[Pack]) -> Table:
    """A line a culture: its runs, their training updates, and the packs they go to."""
    home = {run.run_id: n for n, pack in enumerate(packs, start=1) for run in pack.runs}
    table = new_table("culture", "variants", "seeds", "runs", "updates", "packs", left=2)
    for culture in dict.fromkeys(run.config.culture for run in runs):
        of_culture = [run for run in runs if run.config.culture == culture]
        numbers = sorted({home[run.run_id] for run in of_culture if run.run_id in home})
        table.add_row(
            culture,
            " ".join(dict.fromkeys(run.config.variant.name for run in of_culture)),
            ranges([run.config.seed for run in of_culture]),
            str(len(of_culture)),
            str(sum(run.steps for run in of_culture)),
            ranges(numbers) if numbers else "done",
        )
    return table


def pack_table(packs: Sequence[Pack]) -> Table:
    """A line a pack: what runs together in one job, and its share of the work."""
    table = new_table("pack", "lanes", "share of work", "cultures", left=0)
    table.columns[-1].justify = "left"
    table.columns[-1].no_wrap = False
    total = sum(pack.cost for pack in packs)
    for n, pack in enumerate(packs, start=1):
        lanes = Counter(run.config.culture for run in pack.runs)
        cultures = ", ".join(f"{count} {culture}" for culture, count in lanes.items())
        table.add_row(str(n), str(len(pack.runs)), f"{pack.cost / total:.0%}", cultures)
    return table


def status_table(lanes: Sequence[RunProgress]) -> Table:
    """Culture by variant: the state of the runs there, with the step where one trains."""
    variants = list(dict.fromkeys(lane.variant for lane in lanes))
    table = new_table("culture", *variants, left=1 + len(variants))
    for culture in dict.fromkeys(lane.culture for lane in lanes):
        cells = [[n for n in lanes if n.culture == culture and n.variant == v] for v in variants]
        table.add_row(culture, *map(_cell, cells))
    return table


def reason(run: RunDir, reason_text: str | None = None) -> str:
    """Why a run failed or was lost, as far as anyone knows: ` at step 12 (nan): the loss is not finite`."""
    failure = run_status.failure(run)
    if failure is not None:
        return f" at step {failure['step']} ({failure['cause']}): {failure['message']}"
    return f" at step {run_status.step(run)}: {reason_text or 'its job ended without recording a reason'}"


def ranges(numbers: Sequence[int]) -> str:
    """Such as `0-2, 7`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _cell(lanes: Sequence[RunProgress]) -> str:
    """One run: its state. Several seeds or settings: how many are in each."""
    if len(lanes) == 1:
        (lane,) = lanes
        return f"[{STYLES[lane.status]}]{_cell_label(lane)}[/]"
    counts = Counter((lane.status, status_label(lane)) for lane in lanes)
    return ", ".join(
        f"[{style}]{count} {text}[/]"
        for wanted, style in STYLES.items()
        for (status, text), count in counts.items()
        if status is wanted
    )


def _cell_label(lane: RunProgress) -> str:
    if lane.status is Status.failed:
        return f"failed {lane.cause or ''}".rstrip()
    if describe(lane) == "training":
        eta = "" if lane.eta_seconds is None else f" {short_duration(lane.eta_seconds)}"
        return f"{lane.step}/{lane.steps}{eta}"
    return status_label(lane) if lane.status is Status.lost else describe(lane)


def new_table(*columns: str, left: int) -> Table:
    """The first `left` columns are aligned to the left, as text is, the others to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right", no_wrap=left <= 2)
    return table
