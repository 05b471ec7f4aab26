"""Failed and lost runs submitted again, with the settings that the study was submitted with or with changed ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from scoft_hpc.config import compose, validation
from scoft_hpc.config.cluster import from_plain
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.slurm import launcher
from scoft_hpc.launch.tracking.submission_plan import SubmissionPlan, SubmissionRequest
from scoft_hpc.launch.views import submission_messages
from scoft_hpc.study.job_array import JobArray
from scoft_hpc.study.paths import StudyDir

GROUPS = ("cluster", "budget")
"""The settings of a study that are not its runs' own."""


def resubmit(
    study: StudyDir, arrays: Sequence[JobArray], run_ids: Collection[str], overrides: Sequence[str]
) -> tuple[SubmissionPlan, list[str]]:
    """Submit these runs; return what was submitted, and lines about its jobs and their cost.

    Args:
        arrays: what was submitted of the study before; the newest one that a user submitted gives the settings.
        overrides: settings of `cluster` and `budget` that replace them.

    Raises:
        ConfigError: for other overrides, or those that do not fit.
        LaunchError: as for `launcher.submit_missing`.
        RunError: as for `launcher.submit_missing`.
    """
    request = _request(arrays, run_ids, overrides)
    sent = launcher.submit_missing(study, plan_store.runs(study), request)
    if not sent.runs:
        return sent, ["nothing to send: another process already submitted them."]
    lines = submission_messages.submission_lines(sent, request.cluster)
    return sent, [*lines, submission_messages.sent_line(sent.arrays)]


def _request(
    arrays: Sequence[JobArray], run_ids: Collection[str], overrides: Sequence[str]
) -> SubmissionRequest:
    last = next((array for array in reversed(arrays) if array.user_requested), arrays[-1])
    config = compose.compose("sweep", overrides)
    cluster, limit = from_plain(last.cluster), last.budget_su
    for text in overrides:
        group, *names = text.partition("=")[0].split(".")
        if group not in GROUPS or len(names) != 1:
            raise ConfigError(
                f"`{text}`: a retry takes the runs as they were planned; only `cluster.…=` and `budget.su=` may change."
            )
        if group == "budget":
            limit = config.budget.su
        else:
            cluster = replace(cluster, **{names[0]: getattr(config.cluster, names[0])})
    if faults := validation.validate_launch(replace(config, cluster=cluster)):
        raise ConfigError.from_messages(faults)
    return SubmissionRequest(cluster, retry=True, budget_su=limit, only=frozenset(run_ids))
