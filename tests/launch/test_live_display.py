"""ProgressReader from disk, and what the displays make of it on a terminal of 80 x 24 and without one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from scoft_hpc.launch.views.live_display import LiveView, PlainView, StepRate, fold
from scoft_hpc.launch.views.run_progress import ProgressReader, RunProgress, counts, describe
from scoft_hpc.study import run_status
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import log_of, read
from scoft_hpc.study.run_status import Status
from studies import STEPS, draw, finish, hold, lose, plan_study, run_of, train

CULTURES = ["china", "india", "korea", "mexico", "nigeria"]


def lane(n: int, status: Status, step: int = 0, steps: int = STEPS, samples: int = 0) -> RunProgress:
    return RunProgress(f"run-{n}", f"culture{n}", "mpc", 0, status, step, steps, samples)


def progress(study: StudyDir) -> ProgressReader:
    return ProgressReader(study, read(study).runs)


def test_lanes_are_read_from_their_files(tmp_path: Path) -> None:
    study = plan_study(tmp_path, ["korea"])
    base, ldm, m, mp, mpc = (run_of(study, f"korea-{v}-") for v in ("base", "ldm", "m", "mp", "mpc"))
    leases = [hold(run) for run in (base, ldm, m)]
    draw(base, 5)
    train(ldm, 12)
    train(m, STEPS)
    lose(mp)
    train(mp, 7)
    finish(mpc)
    lanes = {n.variant: n for n in progress(study).read()}
    assert [(n.status.value, n.step, n.samples) for n in lanes.values()] == [
        ("running", 0, 5), ("running", 12, 0), ("running", STEPS, 0), ("lost", 7, 0), ("done", 0, 0),
    ]  # fmt: skip
    assert [describe(n) for n in lanes.values()] == ["5 drawn", "training", "drawing", "lost", "done"]
    assert counts(list(lanes.values())) == "1 done, 1 lost, 3 running"
    for lease in leases:
        lease.release()
    assert progress(study).read()[0].status is Status.planned


def test_only_the_launcher_knows_what_is_queued(tmp_path: Path) -> None:
    study = plan_study(tmp_path, ["korea"])
    runs = [run_of(study, f"korea-{v}-") for v in ("base", "ldm", "m")]
    lose(runs[0])
    finish(runs[1])
    progress_by_run = progress(study).read({run.run_id for run in runs})
    assert [n.status.value for n in progress_by_run] == ["queued", "done", "queued", "planned", "planned"]


def test_what_is_done_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = plan_study(tmp_path, ["korea"])
    for variant in ("base", "ldm", "m", "mp"):
        finish(run_of(study, f"korea-{variant}-"))
    watched = progress(study)
    watched.read()
    reads: list[str] = []
    status = run_status.status
    monkeypatch.setattr(run_status, "status", lambda run: reads.append(run.run_id) or status(run))
    watched.read()
    assert reads == [run_of(study, "korea-mpc-").run_id]


def rendered(lanes: list[RunProgress], etas: dict[str, float | None], height: int = 24) -> list[str]:
    screen = io.StringIO()
    console = Console(file=screen, width=80, height=height, force_terminal=True, color_system=None)
    console.print(LiveView(console).render(lanes, "" if etas else "a note", etas))
    lines = screen.getvalue().splitlines()
    assert len(lines) < height, "the last line is the cursor's"
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith(f"{counts(lanes)}  {'1:15 of training left' if etas else 'a note'}")
    return lines


@pytest.mark.parametrize("running", [1, 3, 12, 20])
def test_the_live_display_has_a_line_a_lane_and_counts_those_that_do_not_fit(running: int) -> None:
    lanes = [lane(n, Status.running, step=n + 1) for n in range(running)]
    lanes += [lane(n, Status.done, STEPS) for n in range(running, 22)]
    lanes += [lane(n, Status.queued) for n in range(22, 25)]
    lines = rendered(lanes, {lanes[0].run_id: 75.0})
    assert sum("culture" in line for line in lines[1:]) == 20
    assert f"and {counts(fold(lanes, 21)[1])}" in lines[-2]
    assert "1:15" in lines[1] and "training" in lines[2] if running > 1 else "1:15" in lines[1]


def test_where_the_running_lanes_do_not_fit_cultures_stand_against_variants() -> None:
    lanes = [
        RunProgress(f"{c}-{v}", c, v, 0, Status.running, 7 + n, 80, 0)
        for n, c in enumerate(CULTURES)
        for v in ("base", "ldm", "m", "mp", "mpc")
    ]
    lines = rendered(lanes, {})
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(tuple(CULTURES))}
    assert rows == {culture: [f"{7 + n}/80"] * 5 for n, culture in enumerate(CULTURES)}


def test_done_lanes_give_way_before_waiting_ones_and_running_ones_last() -> None:
    states = [Status.done] * 10 + [Status.running] * 8 + [Status.queued] * 7
    lanes = [lane(n, s) for n, s in enumerate(states)]
    seen, hidden = fold(lanes, 21)
    assert counts(hidden) == "5 done" and len(seen) == 20
    seen, hidden = fold(lanes, 12)
    assert counts(seen) == "8 running, 3 queued" and counts(hidden) == "10 done, 4 queued"
    seen, hidden = fold(lanes, 5)
    assert counts(seen) == "8 running" and counts(hidden) == "10 done, 7 queued"
    assert fold(lanes, 25) == (lanes, [])


def test_without_a_terminal_lines_are_changes_and_a_heartbeat() -> None:
    now, lines = 0.0, []
    view = PlainView(lines.append, clock=lambda: now)
    waiting = [lane(n, Status.queued) for n in range(2)]
    for _ in range(3):
        view.show(waiting, "")
    assert lines == ["[   0 s] 2 queued"]
    now = 2.0
    view.show([lane(0, Status.running, 1), waiting[1]], "")
    assert lines[1:] == ["[   2 s] running: culture0 mpc"]
    for later in (4.0, 8.0, 11.9, 12.1, 13.0):
        now = later
        view.show([lane(0, Status.running, 9), waiting[1]], "")
    assert lines[2:] == [f"[  12 s] 1 running, 1 queued; step 9 of {STEPS}"]
    view.show([lane(0, Status.done, STEPS), lane(1, Status.running)], "stopping")
    assert lines[3:] == [
        "[  13 s] done: culture0 mpc",
        "[  13 s] running: culture1 mpc",
        "[  13 s] stopping",
    ]


def test_the_pace_leaves_out_what_was_done_before_we_came() -> None:
    pace = StepRate()
    pace.add(0.0, 30)
    assert pace.remaining_seconds(100) is None
    for second in range(1, 6):
        pace.add(10.0 * second, 30 + second)
        pace.add(10.0 * second + 1, 30 + second)
    assert pace.remaining_seconds(100) == pytest.approx(65 * 10.0)


def test_a_runs_log_is_the_newest_that_was_sent_for_it(tmp_path: Path) -> None:
    study = StudyDir(tmp_path)
    study.logs.mkdir()
    for number, runs in ((2, "a-run b-run"), (9, "a-run"), (10, "c-run"), (11, "b-run")):
        (study.logs / f"pack-{number:03d}.log").write_text(
            f"CPU: {runs}\nc-run and a-run are named here too\n"
        )
    assert log_of(study, "a-run") == study.logs / "pack-009.log"
    assert log_of(study, "b-run") == study.logs / "pack-011.log"
    assert log_of(study, "d-run") is None
