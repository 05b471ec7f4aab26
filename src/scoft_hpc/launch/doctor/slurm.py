"""Probes of Slurm: what it is, how it is set up, and whether it would take the jobs that a sweep sends."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from scoft_hpc.config.cluster import Cluster, gpu_of, to_plain
from scoft_hpc.launch.doctor.checks import CheckResult, CheckStatus, CommandResult, run_external
from scoft_hpc.launch.slurm import client, sbatch
from scoft_hpc.study import job_array
from scoft_hpc.study.job_array import JobArray
from scoft_hpc.study.paths import StudyDir

NEEDED = ("sbatch", "srun", "squeue", "scancel", "scontrol")
WAITS = {"KillWait": 30, "MinJobAge": 60}
"""Seconds below which a wait of Slurm's is worth a word."""

Settings = Mapping[str, str]
"""Slurm's words for its settings, with what they are set to."""


def commands() -> list[CheckResult]:
    """Slurm's version, and whether its commands are here."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        advice = "Slurm: this machine cannot send jobs. Run this on the cluster's login node, or take cluster=local."
        return [CheckResult("Slurm", f"no {', '.join(missing)}", CheckStatus.fault, advice)]
    version = _run_slurm("scontrol", "--version").output.strip().removeprefix("slurm ")
    return [CheckResult("Slurm", version or "unknown version")]


def setup(cluster: Cluster) -> Iterator[CheckResult]:
    """How the controller is set up, as far as it matters to a sweep."""
    answer = _run_slurm("scontrol", "show", "config")
    if answer.code != 0:
        advice = "controller: slurmctld does not answer; wait for it, or ask the site. Nothing can be sent meanwhile."
        yield CheckResult("controller", answer.error_message, CheckStatus.fault, advice)
        return
    settings = read_settings(answer.output)
    rules: dict[str, Callable[[str, Cluster], tuple[CheckStatus, str]]] = {
        "MaxArraySize": _arrays,
        "JobRequeue": _requeue,
        "PreemptMode": _preemption,
        "KillWait": partial(_wait, "KillWait", "so long a job has to save after it was told to end"),
        "MinJobAge": partial(
            _wait, "MinJobAge", "then Slurm forgets an ended job, and the run's files tell the rest"
        ),
    }
    for name, rule in rules.items():
        observed = settings.get(name, "not reported")
        status, advice = rule(observed, cluster)
        yield CheckResult(name, observed, status, f"{name}: {advice}" if advice else "")
    yield _accounting(settings)


def partition(cluster: Cluster) -> Iterator[CheckResult]:
    """The partition that the jobs go to, and whether it has the GPUs that they ask for.

    Where the profile names none, a site may choose one itself when the job is sent: then nothing here is a fault.
    """
    gpu_type, gpu = gpu_of(cluster)
    asked = gpu.partition or cluster.partition
    wrong = CheckStatus.fault if asked else CheckStatus.note
    there = read_partitions(_run_slurm("scontrol", "--all", "--oneliner", "show", "partition").output)
    if not there:
        return  # the controller's silence is told already
    default = next((name for name, facts in there.items() if facts.get("Default") == "YES"), None)
    name = asked or default
    if name is None or name not in there:
        advice = f"partition: choose one with cluster.partition=NAME; there are {', '.join(there)}."
        observed = f"{name} is not there" if name else "none is given, and there is no default"
        yield CheckResult("partition", observed, wrong, advice)
        return
    facts = there[name]
    yield _limits(name, facts, cluster)
    types = read_gpus(_run_slurm("sinfo", "--noheader", "--partition", name, "--format", "%G").output)
    observed = ", ".join(types) or "no GPUs"
    if not types or (gpu_type and gpu_type not in types):
        fitting = [kind for kind in cluster.gpus if gpu_of(replace(cluster, gpu=kind))[0] in types]
        others = f" or cluster.gpu={'|'.join(fitting)}" if fitting else ""
        advice = f"GPUs: jobs ask for {gpu_type or 'one'}, which {name} does not have; "
        advice += f"set cluster.partition=NAME{others}."
        yield CheckResult("GPUs", observed, wrong, advice)
    else:
        yield CheckResult("GPUs", observed)


def test_submission(cluster: Cluster, study: StudyDir) -> Iterator[CheckResult]:
    """Whether Slurm would take the script that a sweep sends; `--test-only` sends nothing."""
    minutes = cluster.minutes or cluster.min_minutes
    answer = _run_slurm(
        "sbatch",
        "--test-only",
        text=sbatch.sbatch_script(study, sample_array(study, cluster, minutes)),
        seconds=30,
    )
    if answer.code == 0:
        start = re.search(r"to start at (\S+)", answer.error_message)
        yield CheckResult(
            "sbatch", f"accepted, {minutes} min would start {start[1]}" if start else "accepted"
        )
        return
    observed = (
        answer.error_message.removeprefix("sbatch: ")
        .replace("error: ", "")
        .removeprefix("allocation failure: ")
    )
    yield CheckResult("sbatch", observed, CheckStatus.fault, f"sbatch: {_refused(observed, cluster)}")


def sample_array(study: StudyDir, cluster: Cluster, minutes: int, name: str = "train-doctor") -> JobArray:
    """An array of one task, as a sweep would send it."""
    gpu_type, gpu = gpu_of(cluster)
    empty = JobArray(
        name=name, stage=job_array.TRAIN, created=time.time(), user=getpass.getuser(), user_requested=True,
        tasks=(("run",),), seconds=(60.0 * minutes,), minutes=minutes, gpu=gpu_type, su_per_hour=gpu.su_per_hour,
        sbatch_options={}, cluster=to_plain(cluster),
    )  # fmt: skip
    return replace(empty, sbatch_options=sbatch.sbatch_options(cluster, f"{study.name}.{name}", minutes))


def read_settings(text: str) -> dict[str, str]:
    """`scontrol show config` by name."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def read_partitions(text: str) -> dict[str, dict[str, str]]:
    """`scontrol --oneliner show partition` by the partitions' names."""
    rows = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines()]
    return {row["PartitionName"]: row for row in rows if "PartitionName" in row}


def read_gpus(text: str) -> list[str]:
    """The types in lines of GRES, such as `gpu:v100-32:8(S:0-1)`; `gpu` where a node does not tell its type."""
    observed = re.findall(r"\bgpu(?::([^:,()\s]*[^\d:,()\s][^:,()\s]*))?:\d+", text)
    return list(dict.fromkeys(gpu_type or "gpu" for gpu_type in observed))


def _arrays(observed: str, cluster: Cluster) -> tuple[CheckStatus, str]:
    if observed.isdigit() and int(observed) < cluster.max_array:
        return CheckStatus.fault, f"the profile says {cluster.max_array}; set cluster.max_array={observed}."
    return CheckStatus.ok, ""


def _requeue(observed: str, cluster: Cluster) -> tuple[CheckStatus, str]:
    if observed == "0":
        return CheckStatus.note, (
            "jobs are requeued only on request, as ours are; if the site refuses, the sweep submits them again."
        )
    return CheckStatus.ok, ""


def _preemption(observed: str, cluster: Cluster) -> tuple[CheckStatus, str]:
    if "CANCEL" in observed:
        return (
            CheckStatus.note,
            "preempted jobs are cancelled here, not requeued; the same sweep command submits them again.",
        )
    return CheckStatus.ok, ""


def _wait(name: str, why: str, observed: str, cluster: Cluster) -> tuple[CheckStatus, str]:
    seconds = observed.partition(" ")[0]
    if seconds.isdigit() and int(seconds) < WAITS[name]:
        return CheckStatus.note, f"only {seconds} s; {why}."
    return CheckStatus.ok, ""


def _accounting(settings: Settings) -> CheckResult:
    kind = settings.get("AccountingStorageType", "not reported").removeprefix("accounting_storage/")
    if kind != "slurmdbd":
        advice = "accounting: off, so what ended jobs cost is known from the runs' files alone."
        return CheckResult("accounting", kind, CheckStatus.note, advice)
    answer = _run_slurm("sacct", "--noheader", "--starttime=now-1minutes")
    if answer.code != 0:
        advice = "accounting: slurmdbd does not answer; status takes the queue and the runs' files meanwhile."
        return CheckResult("accounting", answer.error_message, CheckStatus.note, advice)
    enforced = settings.get("AccountingStorageEnforce", "none")
    return CheckResult("accounting", f"slurmdbd, enforces {enforced}")


def _limits(name: str, facts: Settings, cluster: Cluster) -> CheckResult:
    most, state = facts.get("MaxTime", "UNLIMITED"), facts.get("State", "UP")
    observed = f"{name}, {state.lower()}, at most {most}"
    if state != "UP":
        advice = (
            f"partition: it is {state.lower()}, so jobs wait or are refused; ask the site, or choose another."
        )
        return CheckResult(
            "partition", observed, CheckStatus.fault if state == "INACTIVE" else CheckStatus.note, advice
        )
    minutes = client.parse_duration(most) // 60
    if 0 < minutes < cluster.max_minutes:
        advice = (
            f"partition: the profile allows {cluster.max_minutes} min; set cluster.max_minutes={minutes:.0f}."
        )
        return CheckResult("partition", observed, CheckStatus.note, advice)
    return CheckResult("partition", observed)


def _refused(observed: str, cluster: Cluster) -> str:
    """What to do about sbatch's complaint."""
    if "account" in observed.lower():
        answer = _run_slurm(
            "sacctmgr",
            "--noheader",
            "--parsable2",
            "show",
            "assoc",
            f"user={getpass.getuser()}",
            "format=account",
        )
        mine = ", ".join(dict.fromkeys(answer.output.split()))
        given = (
            f"cluster.account={cluster.account} does not fit" if cluster.account else "no account was given"
        )
        return f"{given}; choose one with cluster.account=NAME" + (f", yours are {mine}." if mine else ".")
    if "time limit" in observed.lower():
        return "the site allows less time; set cluster.max_minutes and cluster.minutes to what it allows."
    return "Slurm refuses the jobs; change what it names, with cluster.NAME=VALUE or in the profile."


def _run_slurm(*arguments: str, text: str = "", seconds: float = 15.0) -> CommandResult:
    """Ask as the sweep would: without what a job around us left in the environment."""
    return run_external(
        *arguments, text=text, seconds=seconds, environment=client.clean_environment(os.environ)
    )


def study_of(output: str, name: str | None) -> StudyDir:
    """Where a study would lie."""
    return StudyDir(Path(output).expanduser().absolute() / (name or "doctor"))
