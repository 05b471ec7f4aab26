"""Probes of Slurm: what it is, how it is set up, and whether it would take the jobs that a sweep sends."""

from __future__ import annotations

import getpass
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace

from scoft_hpc.config.cluster import Cluster, gpu_of
from scoft_hpc.launch.doctor.checks import CheckResult, CheckStatus, CommandResult, run_external
from scoft_hpc.launch.slurm import client, sbatch
from scoft_hpc.launch.tracking.submission_plan import SubmissionRequest, new_array
from scoft_hpc.study.job_array import TRAIN
from scoft_hpc.study.paths import StudyDir

NEEDED = ("sbatch", "srun", "squeue", "scancel", "scontrol")
WAITS = {
    "KillWait": (30, "so long a job has to save after the signal to end"),
    "MinJobAge": (60, "then Slurm forgets an ended job, and the run's files tell the rest"),
}
"""Seconds below which a wait of Slurm's is reported, and what it is."""
SETTINGS = ("MaxArraySize", "JobRequeue", "PreemptMode", *WAITS)
"""The controller's settings that a sweep depends on."""

Settings = Mapping[str, str]
"""Slurm's names of its settings, with their values."""


def commands() -> list[CheckResult]:
    """Slurm's version, and whether its commands are here."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        advice = "this machine cannot send jobs. Run this on the cluster's login node, or take cluster=local."
        return [CheckResult("Slurm", f"no {', '.join(missing)}", CheckStatus.fault, advice)]
    version = _run_slurm("scontrol", "--version").output.strip().removeprefix("slurm ")
    return [CheckResult("Slurm", version or "unknown version")]


def setup(cluster: Cluster) -> Iterator[CheckResult]:
    """How the controller is set up, as far as it matters to a sweep."""
    answer = _run_slurm("scontrol", "show", "config")
    if answer.code != 0:
        advice = "slurmctld does not answer; wait for it, or ask the site. Nothing can be sent meanwhile."
        yield CheckResult("controller", answer.error_message, CheckStatus.fault, advice)
        return
    settings = read_settings(answer.output)
    concerns = dict(_concerns(settings, cluster))
    for name in SETTINGS:
        status, advice = concerns.get(name, (CheckStatus.ok, ""))
        yield CheckResult(name, settings.get(name, "not reported"), status, advice)
    yield _accounting(settings)


def partition(cluster: Cluster) -> Iterator[CheckResult]:
    """The partition that the jobs go to, and whether it has the GPUs that they ask for.

    Where the profile names none, a site may choose one itself when the job is sent: then nothing here is a fault.
    """
    gpu_type, gpu = gpu_of(cluster)
    requested = gpu.partition or cluster.partition
    wrong = CheckStatus.fault if requested else CheckStatus.note
    partitions = read_partitions(_run_slurm("scontrol", "--all", "--oneliner", "show", "partition").output)
    if not partitions:
        return  # that the controller does not answer is reported already
    default = next((name for name, facts in partitions.items() if facts.get("Default") == "YES"), None)
    name = requested or default
    if name is None or name not in partitions:
        advice = f"choose one with cluster.partition=NAME; there are {', '.join(partitions)}."
        observed = f"{name} is not there" if name else "none is given, and there is no default"
        yield CheckResult("partition", observed, wrong, advice)
        return
    facts = partitions[name]
    yield _limits(name, facts, cluster)
    types = read_gpus(_run_slurm("sinfo", "--noheader", "--partition", name, "--format", "%G").output)
    observed = ", ".join(types) or "no GPUs"
    if not types or (gpu_type and gpu_type not in types):
        fitting = [kind for kind in cluster.gpus if gpu_of(replace(cluster, gpu=kind))[0] in types]
        others = f" or cluster.gpu={'|'.join(fitting)}" if fitting else ""
        advice = f"jobs ask for {gpu_type or 'one'}, which {name} does not have; "
        advice += f"set cluster.partition=NAME{others}."
        yield CheckResult("GPUs", observed, wrong, advice)
    else:
        yield CheckResult("GPUs", observed)


def test_submission(cluster: Cluster, study: StudyDir) -> Iterator[CheckResult]:
    """Whether Slurm would take the script that a sweep sends; `--test-only` sends nothing."""
    minutes = cluster.minutes or cluster.min_minutes
    array = new_array(
        study, SubmissionRequest(cluster), TRAIN, (("run",),), (60.0 * minutes,), minutes, name="train-doctor"
    )
    answer = _run_slurm("sbatch", "--test-only", text=sbatch.sbatch_script(study, array), seconds=30)
    if answer.code == 0:
        start = re.search(r"to start at (\S+)", answer.error_message)
        yield CheckResult("sbatch", "accepted" + (f", {minutes} min would start {start[1]}" if start else ""))
        return
    observed = re.sub("sbatch: |error: |allocation failure: ", "", answer.error_message)
    yield CheckResult("sbatch", observed, CheckStatus.fault, _refused(observed, cluster))


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


def _concerns(settings: Settings, cluster: Cluster) -> Iterator[tuple[str, tuple[CheckStatus, str]]]:
    """The settings that a sweep has to cope with, each with what to do or to expect."""
    largest = settings.get("MaxArraySize", "")
    if largest.isdigit() and int(largest) < cluster.max_array:
        advice = f"the profile says {cluster.max_array}; set cluster.max_array={largest}."
        yield "MaxArraySize", (CheckStatus.fault, advice)
    if settings.get("JobRequeue") == "0":
        advice = "jobs are requeued only on request, as ours are; if the site refuses, the sweep submits them again."
        yield "JobRequeue", (CheckStatus.note, advice)
    if "CANCEL" in settings.get("PreemptMode", ""):
        advice = "preempted jobs are cancelled here, not requeued; the same sweep command submits them again."
        yield "PreemptMode", (CheckStatus.note, advice)
    for name, (least, meaning) in WAITS.items():
        seconds = settings.get(name, "").partition(" ")[0]
        if seconds.isdigit() and int(seconds) < least:
            yield name, (CheckStatus.note, f"only {seconds} s; {meaning}.")


def _accounting(settings: Settings) -> CheckResult:
    kind = settings.get("AccountingStorageType", "not reported").removeprefix("accounting_storage/")
    if kind != "slurmdbd":
        advice = "off, so what ended jobs cost is known from the runs' files alone."
        return CheckResult("accounting", kind, CheckStatus.note, advice)
    answer = _run_slurm("sacct", "--noheader", "--starttime=now-1minutes")
    if answer.code != 0:
        advice = "slurmdbd does not answer; status takes the queue and the runs' files meanwhile."
        return CheckResult("accounting", answer.error_message, CheckStatus.note, advice)
    enforced = settings.get("AccountingStorageEnforce", "none")
    return CheckResult("accounting", f"slurmdbd, enforces {enforced}")


def _limits(name: str, facts: Settings, cluster: Cluster) -> CheckResult:
    most, state = facts.get("MaxTime", "UNLIMITED"), facts.get("State", "UP")
    observed = f"{name}, {state.lower()}, at most {most}"
    if state != "UP":
        advice = f"it is {state.lower()}, so jobs wait or are refused; ask the site, or choose another."
        status = CheckStatus.fault if state == "INACTIVE" else CheckStatus.note
        return CheckResult("partition", observed, status, advice)
    minutes = client.parse_duration(most) // 60
    if 0 < minutes < cluster.max_minutes:
        advice = f"the profile allows {cluster.max_minutes} min; set cluster.max_minutes={minutes:.0f}."
        return CheckResult("partition", observed, CheckStatus.note, advice)
    return CheckResult("partition", observed)


def _refused(observed: str, cluster: Cluster) -> str:
    """What to do about sbatch's complaint."""
    if "account" in observed.lower():
        query = ["show", "assoc", f"user={getpass.getuser()}", "format=account"]
        answer = _run_slurm("sacctmgr", "--noheader", "--parsable2", *query)
        accounts = ", ".join(dict.fromkeys(answer.output.split()))
        account = cluster.account
        given = f"cluster.account={account} does not fit" if account else "no account was given"
        return f"{given}; choose one with cluster.account=NAME" + (
            f", yours are {accounts}." if accounts else "."
        )
    if "time limit" in observed.lower():
        return "the site allows less time; set cluster.max_minutes and cluster.minutes to what it allows."
    return "Slurm refuses the jobs; change what it names, with cluster.NAME=VALUE or in the profile."


def _run_slurm(*arguments: str, text: str = "", seconds: float = 15.0) -> CommandResult:
    """Ask as the sweep would: without what a job around us left in the environment."""
    environment = client.clean_environment(os.environ)
    return run_external(*arguments, text=text, seconds=seconds, environment=environment)
