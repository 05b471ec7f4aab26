"""The causes for which a run ends without a result, and what is done about each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """What happens after a failure of one cause.

    Attributes:
        auto_retry: whether the run is submitted again without a user's request.
        tries: attempts in a row that may end this way with nothing newly saved.
        advice: what the user can do.
    """

    auto_retry: bool
    tries: int
    advice: str


LOST = "lost"
"""The cause where none is known: the process was killed, or its job is gone."""

RETRY = "`python -m scoft_hpc.retry` sends it again"

CAUSES: dict[str, RetryPolicy] = {
    # Slurm's doing: the run continues from its last save.
    "time limit": RetryPolicy(
        True, 3, "If it saves nothing in time, ask for more: `python -m scoft_hpc.retry cluster.minutes=…`."
    ),
    "preempted": RetryPolicy(True, 10, f"Where it is preempted again and again, {RETRY} in another partition."),
    "node": RetryPolicy(True, 5, "If it is always the same node: cluster.sbatch.exclude=NODE."),
    LOST: RetryPolicy(True, 3, "The cause is unknown; read the end of its log."),
    # The job's own: to run the same again would end the same.
    "host memory": RetryPolicy(
        True, 2, "Twice the memory is asked for, as far as the profile allows (most_memory_gb of the GPU)."
    ),
    "gpu memory": RetryPolicy(
        True, 5, "Half the lanes are sent together. A lane alone that does not fit needs a larger GPU: cluster.gpu=…"
    ),
    "disk": RetryPolicy(False, 1, f"Make room or raise the quota, then {RETRY}; it continues from its last save."),
    "nan": RetryPolicy(
        False, 1, "The loss or a gradient is not finite: lower train.lr, or look at the data. The same again "
        "would end the same, so plan it under another study=NAME with other settings.",
    ),
    "settings": RetryPolicy(False, 1, f"Fix what the message names, then {RETRY}."),
    "error": RetryPolicy(False, 1, f"The traceback is in the log. Fix the code, then {RETRY}."),
    "no progress": RetryPolicy(False, 1, f"The causes before it say why; when that is fixed, {RETRY}."),
    "cancelled": RetryPolicy(False, 1, f"It was cancelled on request; {RETRY}."),
}  # fmt: skip
"""Every cause that failure.json and an attempt may hold."""

BY_STATE = {
    "TIMEOUT": "time limit",
    "DEADLINE": "time limit",
    "PREEMPTED": "preempted",
    "NODE_FAIL": "node",
    "BOOT_FAIL": "node",
    "OUT_OF_MEMORY": "host memory",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
}
"""The cause, by Slurm's last state of the job, of runs that recorded none."""


def policy(cause: str | None) -> RetryPolicy:
    """A cause that an older version wrote counts as a run's own error."""
    return CAUSES.get(cause or LOST, CAUSES["error"])


def cause_of_slurm_state(state: str | None) -> str:
    return BY_STATE.get(state or "", LOST)


def cause_of_end(recorded: str | None, slurm_state: str | None) -> str:
    """Why a task ended: the cause that it recorded, else that of Slurm's last state of it.

    Where Slurm ends a job, the task may see that its process was killed, and record that it is lost, before it is
    killed itself. Slurm knows more then.
    """
    return cause_of_slurm_state(slurm_state) if recorded in (None, LOST) else str(recorded)
