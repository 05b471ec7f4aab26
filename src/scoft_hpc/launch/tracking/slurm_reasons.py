"""What Slurm's reasons and a run's state mean, in plain English."""

from __future__ import annotations

from scoft_hpc.launch.tracking.retry_policy import RETRY, policy
from scoft_hpc.launch.tracking.run_state import RunState
from scoft_hpc.study.run_status import Status

WAITS = {
    "starting": "the job has started; this run is next in its pack",
    "None": "Slurm has not considered it yet",
    "Priority": "others are before it",
    "Resources": "no GPU of this kind is free",
    "Dependency": "its cultures are being prepared",
    "BeginTime": "Slurm starts it again in a moment",
    "JobArrayTaskLimit": "as many of the study's jobs run as cluster.jobs allows",
    "ReqNodeNotAvail": "the nodes are down or reserved, as for maintenance",
    "Reservation": "it waits for its reservation",
    "Licenses": "it waits for a licence",
    "Cleaning": "its last start is being cleared away",
    "JobHeldUser": "you hold it; `scontrol release JOB` lets it go",
    "JobHeldAdmin": "the site's staff hold it; ask them",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is closed",
    "PartitionTimeLimit": "its time limit is longer than the partition's; ask for less: cluster.minutes=…",
    "PartitionNodeLimit": "the partition does not have such nodes",
    "BadConstraints": "no node is as it asks for",
    "InvalidAccount": "the account does not exist or is used up: cluster.account=…",
    "InvalidQOS": "the quality of service is not yours to use: cluster.qos=…",
    "AccountNotAllowed": "the account may not use this partition: cluster.account=…",
    "DependencyNeverSatisfied": "what it waits for has failed; cancel it and start the sweep again",
    "launch failed requeued held": "its start failed and Slurm holds it; `scontrol release JOB` tries again",
}
"""Slurm's reasons for a wait."""

LIMITS = {"Assoc": "your account", "QOS": "the quality of service"}
"""Whose limit is reached, by how the reason begins; there are dozens of this kind."""


def explain_wait(reason: str) -> str:
    """Slurm's reason with its meaning: `Priority (others are before it)`."""
    meaning = _meaning(reason)
    return f"{reason} ({meaning})" if meaning else reason


def next_step(state: RunState) -> str:
    """What happens now with a run that is failed or lost, and what a person can do about it."""
    follows = policy(state.cause)
    if state.place is None:
        if state.status is Status.lost:
            return "the same sweep command continues it from its last save."
        return "manual action required: " + follows.advice.replace(
            RETRY, "the same sweep command tries it again"
        )
    if state.in_queue:
        return f"its job still works on other runs of its pack. {follows.advice}"
    if not follows.auto_retry:
        return f"manual action required: {follows.advice}"
    tries = f" ({state.tries} of {follows.tries} attempts saved nothing new)" if state.tries else ""
    if state.tries < follows.tries:
        return f"the study's next job that ends sends it again{tries}, or the same sweep command now."
    return f"manual action required{tries}: the same sweep command submits it again. {follows.advice}"


def _meaning(reason: str) -> str:
    """Reasons come with details, as `ReqNodeNotAvail, UnavailableNodes:w001`, so their beginning counts."""
    for prefix, meaning in WAITS.items():
        if reason.startswith(prefix):
            return meaning
    whose = next((owner for start, owner in LIMITS.items() if reason.startswith(start)), None)
    if whose is None:
        return ""
    if "Minutes" in reason:
        return f"{whose} has no service units left for it"
    if "WallDuration" in reason:
        return f"its time limit is longer than {whose} allows: cluster.minutes=…"
    if "Jobs" in reason or "Submit" in reason:
        return f"as many jobs as {whose} allows are there already"
    return f"it is more than {whose} allows at once"
