"""The machine is a Slurm that does what Bridges-2's does, breaks where a test breaks it, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm import machine as module
from slurm.layout import DAEMONS, MARK, NODES
from slurm.machine import Machine, MachineError, up
from slurm.processes import chosen
from waiting import wait_until

STUBBORN = "trap 'echo told' TERM; for i in $(seq 36000); do sleep 0.1; done"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for a second machine that every user can reach, as munged demands; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as path:
        yield Path(path)


def submit(cluster: Machine, script: str, *arguments: str) -> str:
    return cluster.run("sbatch", "--parsable", "--output=/dev/null", *arguments, f"--wrap={script}")


def state(cluster: Machine, job: str) -> str:
    return cluster.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T")


def becomes(cluster: Machine, job: str, wanted: str) -> bool:
    return wait_until(
        lambda: state(cluster, job) == wanted, lambda: f"job {job} to be {wanted}, not {state(cluster, job)}"
    )


def recorded(cluster: Machine, job: str) -> list[str]:
    """What accounting has of a job: the state of every start."""
    return cluster.run("sacct", "-X", "-n", "-P", "-D", "-j", job, "-o", "state").split("\n")


def test_forty_tasks_run_on_all_gpus_at_a_time(cluster: Machine, tmp_path: Path) -> None:
    script = f"echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES > {tmp_path}/$SLURM_ARRAY_TASK_ID; sleep 3600"
    submit(cluster, script, "--array=0-39", "--gpus=v100-32:1")

    def places() -> list[str]:
        return sorted(path.read_text().strip() for path in tmp_path.iterdir())

    wait_until(lambda: len(places()) == 24 and all(places()), "24 tasks to begin")
    states = cluster.run("squeue", "-h", "-r", "-o", "%T").split()
    assert Counter(states) == {"RUNNING": 24, "PENDING": 16}
    assert places() == [f"{node} {gpu}" for node in NODES for gpu in range(8)]


def test_partitions_and_limits_are_those_of_the_site(cluster: Machine) -> None:
    rows = dict(line.split() for line in cluster.run("sinfo", "-h", "-o", "%R %l").splitlines())
    assert rows["GPU-shared"] == "2-00:00:00" and rows["GPU-small"] == "8:00:00" and rows["debug"] == "30:00"
    conf = cluster.run("scontrol", "show", "config")
    assert "MaxArraySize            = 1001" in conf and "MinJobAge               = 200 sec" in conf


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--array=0-1001"], "Invalid job array specification"),
        (["--time=48:01:00"], "Requested time limit is invalid"),
        (["--partition=debug", "--time=31"], "Requested time limit is invalid"),
        (["--account=nobody"], "Invalid account"),
        (["--gpus=h100-80:1"], "node configuration is not available"),
    ],
)
def test_what_the_site_refuses_is_refused(cluster: Machine, arguments: list[str], complaint: str) -> None:
    with pytest.raises(MachineError, match=complaint):
        submit(cluster, "true", *arguments)
    assert cluster.run("squeue", "-h") == ""


def test_the_limits_themselves_are_taken(cluster: Machine) -> None:
    submit(cluster, "true", "--hold", "--array=1000", "--time=48:00:00", "--account=xyz456p")
    assert cluster.run("squeue", "-h", "-r", "-o", "%K %l %a") == "1000 2-00:00:00 xyz456p"


def test_a_requeued_job_starts_again_soon(cluster: Machine) -> None:
    job = submit(cluster, "sleep 3600")
    assert becomes(cluster, job, "RUNNING")
    cluster.run("scontrol", "requeue", job)

    def job_record() -> str:
        return cluster.run("scontrol", "show", "job", job)

    wait_until(lambda: re.search(r"(?s)JobState=RUNNING .*Restarts=1 ", job_record()), job_record)


def test_a_job_that_waits_for_its_begin_is_released(cluster: Machine) -> None:
    job = submit(cluster, "sleep 3600", "--begin=now+3600")
    assert state(cluster, job) == "PENDING"
    with cluster.hurrying():
        assert becomes(cluster, job, "RUNNING")


@pytest.mark.parametrize(
    ("partition", "states"), [("preempt", ["PREEMPTED", "PENDING"]), ("preempt-cancel", ["PREEMPTED"])]
)
def test_an_urgent_job_preempts(cluster: Machine, partition: str, states: list[str]) -> None:
    job = submit(cluster, STUBBORN, f"--partition={partition}", "--gpus=v100-32:8", "--nodelist=w001")
    assert becomes(cluster, job, "RUNNING")
    urgent = submit(cluster, "sleep 3600", "--partition=urgent", "--gpus=v100-32:8", "--nodelist=w001")
    assert becomes(cluster, urgent, "RUNNING")
    wait_until(lambda: recorded(cluster, job) == states, f"accounting to have {states}")


def test_a_time_limit_can_be_hurried(cluster: Machine) -> None:
    job = submit(cluster, "sleep 3600", "--time=60")
    assert becomes(cluster, job, "RUNNING")
    cluster.expire(job)
    assert becomes(cluster, job, "TIMEOUT")


def test_a_job_over_its_memory_is_killed(cluster: Machine, tmp_path: Path) -> None:
    script = f"{sys.executable} -c 'import time; held = b\"x\" * 400_000_000; time.sleep(3600)'"
    job = submit(cluster, script, "--mem=100M", f"--output={tmp_path}/out")
    assert becomes(cluster, job, "FAILED")
    assert "exceeded memory limit" in (tmp_path / "out").read_text()


def test_the_queue_outlives_slurmctld(cluster: Machine) -> None:
    running = submit(cluster, "sleep 3600")
    assert becomes(cluster, running, "RUNNING")
    saved = cluster.folder / "state" / "job_state"
    begun = time.time()
    held = submit(cluster, "true", "--hold")
    # Within 5 s of a change.
    wait_until(lambda: saved.exists() and saved.stat().st_mtime > begun, "slurmctld to save its state")
    cluster.kill("slurmctld")
    with pytest.raises(MachineError, match="Unable to contact slurm controller"):
        cluster.run("squeue")
    cluster.start("slurmctld")
    assert [state(cluster, job) for job in (running, held)] == ["RUNNING", "PENDING"]


def test_without_slurmdbd_jobs_run_and_accounting_is_silent(cluster: Machine) -> None:
    cluster.stop("slurmdbd")
    assert becomes(cluster, submit(cluster, "true"), "COMPLETED")
    with pytest.raises(MachineError, match="sacct"):
        cluster.run("sacct")


def test_every_daemon_can_be_killed_and_comes_back(cluster: Machine) -> None:
    for daemon in DAEMONS:
        cluster.kill(daemon)
        assert cluster.pid(daemon) is None
    cluster.quiet()
    assert becomes(cluster, submit(cluster, "true"), "COMPLETED")


@pytest.mark.parametrize("zombies", [False, True])
def test_jobs_of_a_failed_node_are_requeued(cluster: Machine, zombies: bool) -> None:
    job = submit(cluster, STUBBORN, "--nodelist=w002")
    assert becomes(cluster, job, "RUNNING")

    def processes() -> list[int]:
        return chosen(
            lambda env: env.get("SLURM_JOB_ID") == job and env.get("SLURM_CONF") == str(cluster.conf)
        )

    wait_until(processes, f"the processes of job {job}")
    cluster.node_fail("w002", zombies=zombies)
    assert bool(processes()) is zombies
    assert "DOWN" in cluster.node_state("w002")
    assert becomes(cluster, job, "PENDING")
    cluster.node_back("w002")
    assert becomes(cluster, job, "RUNNING")


def test_records_of_ended_jobs_are_purged(cluster: Machine) -> None:
    ended, held = submit(cluster, "true"), submit(cluster, "true", "--hold")
    assert becomes(cluster, ended, "COMPLETED")
    cluster.purge_records()
    assert cluster.run("squeue", "-h", "-t", "all", "-o", "%i") == held
    wait_until(lambda: recorded(cluster, ended) == ["COMPLETED"], "accounting to have the end")


def test_a_machine_dies_with_the_process_that_watches_it(folder: Path) -> None:
    script = (
        "import pathlib, sys, time; from slurm.machine import up; "
        "machine = up(pathlib.Path(sys.argv[1]), watched=True); "
        "machine.run('sbatch', '--output=/dev/null', '--wrap=sleep 600'); print('up', flush=True); time.sleep(600)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], env=env, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"up\n"
        assert all(Machine(folder).pid(daemon) for daemon in DAEMONS)
        owner.send_signal(signal.SIGKILL)
    wait_until(
        lambda: not folder.exists() and jobs_and_daemons(Machine(folder)) == ([], []),
        "the machine to be gone",
    )


def test_a_shell_has_a_machine_for_as_long_as_it_lives_and_nothing_is_left(
    folder: Path, cluster: Machine
) -> None:
    """Beside the other one: two machines know nothing of each other."""
    script = (
        "sinfo -h -o %R | wc -l; "
        f"sbatch --output=/dev/null --export=NONE --wrap {shlex.quote(STUBBORN)}; "
        "until squeue -h -t RUNNING | grep -q .; do sleep 0.1; done; "
        f"SLURM_CONF={cluster.conf} squeue -h | wc -l; false"
    )
    env = {**os.environ, "SHELL": "/bin/bash"}
    arguments = [sys.executable, module.__file__, "shell", str(folder)]
    done = subprocess.run(arguments, env=env, input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ends when you leave this shell" in done.stdout
    assert done.stdout.endswith("\n6\nSubmitted batch job 1\n0\n")
    assert jobs_and_daemons(Machine(folder)) == ([], []) and not folder.exists()


def test_a_daemon_that_does_not_start_is_named_with_its_log(cluster: Machine) -> None:
    cluster.stop("slurmdbd")
    conf = cluster.folder / "slurmdbd.conf"
    original = conf.read_text()
    conf.write_text(original + "NoSuchWord=1\n")
    try:
        with pytest.raises(MachineError, match=r"(?s)slurmdbd does not start.*NoSuchWord"):
            cluster.start("slurmdbd")
    finally:
        conf.write_text(original)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "slurm.conf").touch()
    with pytest.raises(MachineError, match="holds other files"):
        up(tmp_path)
    script = module.__file__
    done = subprocess.run([sys.executable, script, "down", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == f"no machine in {tmp_path}\n"
    assert (tmp_path / "slurm.conf").exists()


def test_only_root_can_bring_one_up(folder: Path) -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(MachineError, match="needs root"):
            up(folder)
    finally:
        os.seteuid(0)


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEARCH_PATH", str(tmp_path))  # a system with no program at all
    assert module.main(["up", str(tmp_path / "m")]) == 3
    with pytest.raises(
        MachineError, match=r"slurmctld.*apt-get install -y --no-install-recommends slurm-wlm"
    ):
        up(tmp_path / "m")


def jobs_and_daemons(machine: Machine) -> tuple[list[int], list[int]]:
    """Processes that still belong to a machine."""
    jobs = chosen(lambda env: "SLURM_JOB_ID" in env and env.get("SLURM_CONF") == str(machine.conf))
    return jobs, chosen(lambda env: env.get(MARK) == str(machine.folder))
