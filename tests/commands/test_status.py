"""`scoft-hpc status`: what it says, in which words it may be asked, and that it loads neither torch nor Hydra."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from invoke import invoke
from scoft_hpc import __main__, __version__, status
from scoft_hpc.launch.slurm.sbatch import log_of
from scoft_hpc.launch.tracking import study_state
from scoft_hpc.launch.views import watch_status
from scoft_hpc.study import run_status
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.metrics_log import STEP, MetricsLog
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import launch_lease
from slurm_records import Slurm, attempt, ids, line, send
from studies import draw, finish, hold, lose, plan_study, run_of, train


@pytest.fixture
def output(tmp_path: Path) -> Path:
    study = plan_study(tmp_path, ["china", "korea"])
    finish(run_of(study, "china-base-"))
    train(run_of(study, "china-ldm-"), 12)
    hold(run_of(study, "china-ldm-"))
    failed = run_of(study, "china-mpc-")
    train(failed, 33)
    run_status.write_failure(failed, "nan", "the loss is not finite [here]", 33)
    lose(run_of(study, "korea-mp-"))
    hold(run_of(study, "korea-base-"))
    draw(run_of(study, "korea-base-"), 3)
    return tmp_path


def test_the_table_has_every_runs_state_and_the_reasons(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text, _ = invoke(status.main, capsys, "--output", str(output))
    assert code == 0
    rows = {
        line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith(("china", "korea"))
    }
    assert rows["china"][:5] == ["done", "12/40", "planned", "planned", "failed"]
    assert rows["korea"][:6] == ["3", "drawn", "planned", "planned", "lost", "planned"]
    assert "study a-study: 10 runs, 1 done, 1 failed, 1 lost, 2 running, 5 planned" in text
    assert "failed at step 33 (nan): the loss is not finite [here]" in text
    assert "lost at step 0" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["a-study", "--output", "{}"],
        ["study=a-study", "output={}"],
        ["{}/a-study"],
        ["output={}"],
    ],
)
def test_it_may_be_asked_in_flags_and_in_words(
    arguments: list[str], output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, _ = invoke(status.main, capsys, *(argument.format(output) for argument in arguments))
    assert code == 0 and "study a-study: 10 runs" in text


def test_the_latest_study_is_the_default_and_an_unknown_one_lists_them(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latest = plan_study(output, ["mu"], name="b-study")
    os.utime(latest.plan, (2e9, 2e9))
    assert "study b-study" in invoke(status.main, capsys, f"output={output}")[1]
    code, _, errors = invoke(status.main, capsys, "c-study", f"output={output}")
    assert code == 3 and "there are: b-study, a-study" in errors
    code, _, errors = invoke(status.main, capsys, f"output={output / 'nothing'}")
    assert code == 3 and "there is no study in" in errors and "sweep" in errors


def test_json_is_for_programs(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lease = Lease.acquire(launch_lease(run_study := plan_study(output, ["mu"], name="c-study")))
    code, text, _ = invoke(status.main, capsys, "c-study", f"output={output}", "--json")
    content = json.loads(text)
    assert code == 0 and content["folder"] == str(run_study.path)
    assert content["launcher"] == str(lease.owner)
    assert [run["variant"] for run in content["runs"]] == ["base", "ldm", "m", "mp", "mpc"]
    content = json.loads(invoke(status.main, capsys, "a-study", f"output={output}", "--json")[1])
    failed = next(run for run in content["runs"] if run["status"] == "failed")
    assert failed["failure"]["cause"] == "nan" and failed["step"] == 33


def test_several_seeds_share_a_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = plan_study(tmp_path, ["mu"], seeds=3)
    finish(run_of(study, "mu-ldm-s0"))
    hold(run_of(study, "mu-ldm-s1"))
    _, text, _ = invoke(status.main, capsys, f"output={tmp_path}")
    assert "1 done" in text and "1 running" in text and "3 planned" in text


def test_it_loads_neither_torch_nor_hydra(output: Path) -> None:
    code = (
        "import sys; from scoft_hpc import status; "
        "assert status.main(['output=' + sys.argv[1]]) == 0;"
        "heavy = {'torch', 'hydra', 'omegaconf', 'diffusers', 'PIL', 'numpy', 'wandb', 'submitit'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code, str(output)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def sent(output: Path, monkeypatch: pytest.MonkeyPatch) -> StudyDir:
    """The same study in Slurm: china's pack at work, korea's in two tasks, one waiting and one preempted."""
    study = StudyDir(output / "a-study")
    one = send(
        study, 7, ids(study, "china"), ids(study, "korea-base", "korea-ldm"), ids(study, "korea-m"), hours=2.0
    )
    attempt(study, one, 0, last_heartbeat=time.time())
    work = run_of(study, "china-ldm-")
    lease = json.loads(work.lease.read_text())
    work.lease.write_text(json.dumps({**lease, "job": "7_0"}))
    for name in ("korea-base-", "korea-mp-"):  # nobody is at work there
        run_of(study, name).lease.unlink()
    queue = Slurm(monkeypatch)
    later = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 600))
    queue.holds(
        line("7_0", "RUNNING"),
        line("7_1", "PENDING", "Priority", 0.0, later),
        line("7_2", "PREEMPTED", used=0.0),
    )
    return study


def test_in_slurm_causes_jobs_costs_and_the_time_left_are_shown(
    sent: StudyDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text, _ = invoke(status.main, capsys, f"output={sent.path.parent}")
    assert code == 0
    rows = [line.split() for line in text.splitlines() if line.startswith(("china", "korea"))]
    assert rows[0][1:] == ["done", "12/40", "queued", "queued", "failed", "nan"]
    assert rows[1][1:] == ["queued", "queued", "preempted", "preempted", "preempted"]
    assert "10 runs, 1 done, 1 failed, 3 preempted, 1 running, 4 queued" in text
    assert (
        "1.00 SU so far of about 12.00 estimated" in text
    )  # half an hour, and three tasks of 2 h, at 2 SU an hour
    assert re.search(r"1 job running, 1 waiting \(Priority; expected to start [^)]*\d\d:\d\d\)", text)
    assert "about 2:" in text  # the waiting task: 10 minutes, then 2 h
    korea = ids(sent, "korea-m")
    assert f"{', '.join(korea)}: preempted at step 0: its job" in text
    assert "`scoft-hpc why " in text


def test_in_slurm_json_has_the_job_and_the_log_of_every_run(
    sent: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(sent, 7, 0)
    log.parent.mkdir(parents=True)
    log.touch()
    content = json.loads(invoke(status.main, capsys, f"output={sent.path.parent}", "--json")[1])
    assert set(content) == {"study", "folder", "launcher", "spent_su", "estimated_su", "notes", "runs"}
    assert (content["spent_su"], content["estimated_su"]) == (pytest.approx(1.0, abs=0.01), 12.0)
    runs = {run["run_id"]: run for run in content["runs"]}
    work, waits = runs[ids(sent, "china-ldm")[0]], runs[ids(sent, "korea-base")[0]]
    assert set(work) == {
        "run_id", "culture", "variant", "seed", "status", "cause", "note", "step", "steps", "samples",
        "eta_seconds", "job", "log", "failure", "tries",
    }  # fmt: skip
    assert (work["status"], work["job"], work["log"]) == ("running", "7_0", str(log))
    assert (waits["status"], waits["note"], waits["job"], waits["log"]) == ("queued", "Priority", "7_1", None)
    assert runs[ids(sent, "korea-mp-")[0]]["cause"] == "preempted"


def test_a_selection_narrows_the_table(sent: StudyDir, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = invoke(status.main, capsys, f"output={sent.path.parent}", "culture=korea", "state=preempted")
    assert "3 runs, 3 preempted" in text and "china" not in text
    _, text, _ = invoke(status.main, capsys, f"output={sent.path.parent}", "culture=china", "state=lost")
    assert "study a-study: 0 runs" in text
    code, _, errors = invoke(status.main, capsys, f"output={sent.path.parent}", "state=preempte")
    assert code == 2 and "did you mean preempted?" in errors


def test_where_slurm_is_silent_the_files_tell_and_it_is_said(
    sent: StudyDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Slurm(monkeypatch).is_silent()
    code, text, _ = invoke(status.main, capsys, f"output={sent.path.parent}")
    assert code == 0 and "note: Slurm does not answer" in text
    assert "10 runs, 1 done, 1 failed, 1 running, 7 queued" in text


def test_the_time_left_is_of_steps_as_fast_as_before_for_all_lanes_of_the_pack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = plan_study(tmp_path, ["mu"])
    for name, seconds in (("mu-ldm-", 15.0), ("mu-m-", 15.0)):
        run = run_of(study, name)
        train(run, 10)
        hold(run)
        journal = MetricsLog(run.metrics, 10)
        journal.append({STEP: 11, "seconds": seconds * 1.1})
        journal.close()
    content = json.loads(invoke(status.main, capsys, f"output={tmp_path}", "--json")[1])
    etas = {run["variant"]: run["eta_seconds"] for run in content["runs"]}
    # 16.5 s of its own for 11 steps, two lanes at work, 29 steps to go
    assert etas["ldm"] == etas["m"] == pytest.approx(1.5 * 2 * 29) and etas["mpc"] is None
    assert "11/40 87s" in invoke(status.main, capsys, f"output={tmp_path}")[1]


def test_watching_ends_with_the_runs_and_asks_slurm_seldom(
    sent: StudyDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queue, read_times, now = Slurm(monkeypatch), list[float](), [0.0]
    queue.holds(
        line("7_0", "RUNNING"), line("7_1", "PENDING", "Priority"), line("7_2", "PENDING", "Priority")
    )
    read_state = study_state.read
    monkeypatch.setattr(
        study_state, "read", lambda *query: (read_times.append(now[0]), read_state(*query))[1]
    )
    clock = SimpleNamespace(time=time.time, monotonic=lambda: now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds
        assert now[0] < 1000, "it does not end"
        if now[0] == 100:
            finish(run_of(sent, "china-ldm-"))
        if now[0] == 200:
            queue.holds(line("7_0", "COMPLETED"), line("7_1", "CANCELLED"), line("7_2", "CANCELLED"))

    clock.sleep = sleep
    monkeypatch.setattr(watch_status, "time", clock)
    code, text, _ = invoke(status.main, capsys, f"output={sent.path.parent}", "--watch")
    assert code == 0
    assert "done: china ldm" in text and "lost: korea base ldm m mp mpc" in text.replace(" china m mp,", "")
    pauses = [later - earlier for earlier, later in pairwise(read_times)][
        :-1
    ]  # the last look is for the last screen
    assert min(pauses) >= 10 and max(pauses) >= 40 and 200 <= now[0] < 280


def test_ctrl_c_ends_the_watching_quietly(
    sent: StudyDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        watch_status, "time", SimpleNamespace(time=time.time, monotonic=lambda: 0.0, sleep=interrupt)
    )
    code, _, errors = invoke(status.main, capsys, f"output={sent.path.parent}", "--watch")
    assert (code, errors) == (130, "")
    code, _, errors = invoke(status.main, capsys, f"output={sent.path.parent}", "--watch", "--json")
    assert code == 2 and "take one of them" in errors


def test_the_table_of_commands_is_that_of_the_files() -> None:
    package = Path(__main__.__file__).parent
    files = {
        path.stem
        for path in package.glob("*.py")
        if re.search(r"^def main\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    assert set(__main__.COMMANDS) == files - {"__main__"}
    for name, summary in __main__.COMMANDS.items():
        main = importlib.import_module(f"scoft_hpc.{name}").main
        assert str(inspect.signature(main)) == "(argv: 'Sequence[str] | None' = None) -> 'int'", name
        assert summary.endswith(".") and "\n" not in summary


def test_the_words_are_handed_to_the_command_and_the_process_keeps_its_own(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = list(sys.argv)
    code, text, _ = invoke(__main__.main, capsys, "status", f"output={output}")
    assert code == 0 and "study a-study" in text
    assert sys.argv == own
    code, text, _ = invoke(__main__.main, capsys, "--help")
    assert code == 0 and all(f"  {name} " in text for name in __main__.COMMANDS)
    assert invoke(__main__.main, capsys, "--version")[1] == f"scoft-hpc {__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["status", "survey", "doctor", "gather", "execute"])
@pytest.mark.parametrize("called", ["scoft-hpc {}", "python -m scoft_hpc.{}"])
def test_usage_names_the_program_as_it_was_called(called: str, name: str) -> None:
    arguments = {"scoft-hpc {}": ["scoft_hpc", name], "python -m scoft_hpc.{}": [f"scoft_hpc.{name}"]}[called]
    done = subprocess.run([sys.executable, "-m", *arguments, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {called.format(name)} "), done.stdout


def test_an_unknown_verb_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = invoke(__main__.main, capsys, "swep")
    assert code == 2 and "did you mean sweep?" in errors and "status" in errors
    assert invoke(__main__.main, capsys)[0] == 2


def test_a_run_that_was_stopped_shows_what_is_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = plan_study(tmp_path, ["mu"])
    train(run_of(study, "mu-ldm-"), 3)
    code, text, _ = invoke(status.main, capsys, "--output", str(tmp_path))
    assert code == 0
    assert "3/40 saved" in text
