"""Writing plan.json, once: a study never changes what it consists of."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scoft_hpc import __version__
from scoft_hpc.config import compose
from scoft_hpc.config.plain import flat, science_fields
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.planning.plan import Plan, Run
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import VERSION, PlannedRun, display_path, read
from scoft_hpc.study.stored_config import stored
from scoft_hpc.text import shorten

MAX_DIFFERENCES = 6
"""Differing settings, or values of one, that are named; the others are counted."""


def require_same_plan(study: StudyDir, plan: Plan) -> None:
    """Raise LaunchError, telling what differs, if the study on disk consists of other runs than `plan`."""
    if study.plan.exists():
        planned = read(study).runs
        if {run.run_id for run in planned} != {run.run_id for run in plan.runs}:
            raise LaunchError(_difference(study, planned, plan))


def write(study: StudyDir, plan: Plan) -> None:
    """Keep the plan, unless it is there already; the caller holds the study's lease and has checked."""
    if not study.plan.exists():
        atomic.write_json(study.plan, to_json(plan))


def write_config(study: StudyDir, run: Run) -> None:
    """The run's config.yaml, which its job reads; a continued run takes today's paths, device and so on."""
    path, text = study.run(run.run_id).config, compose.dump(run.config, relative=True)
    if not path.exists() or path.read_text() != text:
        atomic.write_text(path, text)


def runs(study: StudyDir) -> list[Run]:
    """The planned runs, as they were when the study was planned.

    Raises:
        LaunchError: if there is no plan, or not one that this version reads.
    """
    return [Run(run.run_id, _config(run.config), run.steps) for run in read(study).runs]


def to_json(plan: Plan) -> dict[str, Any]:
    return {
        "version": VERSION,
        "study": plan.study,
        "ablation": plan.ablation,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "scoft_hpc": __version__,
        "words": list(plan.overrides),
        "runs": [
            {
                "run_id": run.run_id,
                "culture": run.config.culture,
                "variant": run.config.variant.name,
                "seed": run.config.seed,
                "steps": run.steps,
                "config": stored(compose.to_mapping(run.config)),
            }
            for run in plan.runs
        ],
    }


def _config(mapping: Mapping[str, Any]) -> RunConfig:
    """`compose.from_mapping`, called once an arm."""
    data = {**mapping["data"], "digest": ""}
    arm = _arm_config(json.dumps({**mapping, "culture": "", "seed": 0, "data": data}, sort_keys=True))
    data_of_run = replace(arm.data, digest=mapping["data"]["digest"])
    return replace(arm, culture=mapping["culture"], seed=mapping["seed"], data=data_of_run)


@functools.lru_cache(maxsize=1024)
def _arm_config(text: str) -> RunConfig:
    return compose.from_mapping(json.loads(text))


def _difference(study: StudyDir, planned: Sequence[PlannedRun], plan: Plan) -> str:
    stored_ids, planned_ids = {run.run_id for run in planned}, {run.run_id for run in plan.runs}
    requested = [science_fields(run.config) for run in plan.runs]
    old, new = _values(run.config for run in planned), _values(requested)
    changes = [
        f"{name}: {_show(old.get(name, []))} there, {_show(values)} now"
        for name, values in new.items()
        if values != old.get(name)
    ]
    shown = shorten(changes, MAX_DIFFERENCES, "more settings") or ["the same values, in other combinations"]
    return (
        f"the study {study.name} in {display_path(study.path.parent)} consists of {len(stored_ids)} other runs: "
        f"{len(stored_ids & planned_ids)} of the {len(planned_ids)} asked for now are among them.\n"
        + "\n".join(f"  {line}" for line in shown)
        + "\nA study never changes. Give the new one a name: study=NAME."
    )


def _values(configs: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Every setting's values over the runs, each once, in order."""
    by_name: dict[str, dict[str, Any]] = {}
    for config in configs:
        for name, value in flat(config):
            by_name.setdefault(name, {})[repr(value)] = value
    return {name: list(values.values()) for name, values in by_name.items()}


def _show(values: list[Any]) -> str:
    more = f", … ({len(values)})" if len(values) > MAX_DIFFERENCES else ""
    return (", ".join(str(value) for value in values[:MAX_DIFFERENCES]) or "nothing") + more
