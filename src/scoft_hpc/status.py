"""How far a study is, by default the latest.

python -m scoft_hpc.status [STUDY] [--output DIR] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from scoft_hpc.errors import LaunchError, ScoftError
from scoft_hpc.launch import tables
from scoft_hpc.launch.progress import Lane, Progress, counts
from scoft_hpc.launch.study import launch_claim, read
from scoft_hpc.runs import claim, record
from scoft_hpc.runs.layout import StudyDir, studies
from scoft_hpc.runs.record import Status

SHOWN = 12
"""So many failed runs are told with their reasons."""


def main() -> int:
    try:
        asked = _parse(sys.argv[1:])
        study = _find(Path(asked.output), asked.study)
        lanes = Progress(study, read(study)["runs"]).read()
        print(_as_json(study, lanes)) if asked.json else _show(study, lanes)
    except ScoftError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Flags, or the words of the other commands: study=NAME output=DIR."""
    parser = argparse.ArgumentParser(prog="scoft-hpc status", description="How far a study is.")
    parser.add_argument(
        "study", nargs="?", metavar="STUDY", help="its name or folder; by default the latest one"
    )
    parser.add_argument("--output", default="outputs", metavar="DIR", help="where the studies lie (outputs)")
    parser.add_argument("--json", action="store_true", help="for programs")
    plain = [f"--{word}" if word.startswith("output=") else word.removeprefix("study=") for word in words]
    return parser.parse_args(plain)


def _find(output: Path, name: str | None) -> StudyDir:
    found = studies(output)
    if name is None and found:
        return found[0]
    for study in [StudyDir(output / name), StudyDir(Path(name))] if name else []:
        if study.plan.exists():
            return study
    what = f"there is no study {name!r} in {output}" if name else f"there is no study in {output}"
    options = (
        f"there are: {', '.join(study.name for study in found)}" if found else "`scoft-hpc sweep` starts one"
    )
    raise LaunchError(f"{what}; {options}. Another folder is given with --output DIR.")


def _show(study: StudyDir, lanes: Sequence[Lane]) -> None:
    console = Console()
    console.print(tables.status_table(lanes), "")
    launcher = claim.alive(launch_claim(study))
    by = f", run by {launcher}" if launcher else ""
    _say(console, f"study {study.name}: {len(lanes)} runs, {counts(lanes)}{by}")
    broken = [lane for lane in lanes if lane.status in (Status.failed, Status.lost)]
    for lane in broken[:SHOWN]:
        _say(console, f"{lane.run_id}: {lane.status.value}{tables.reason(study.run(lane.run_id))}")
    if len(broken) > SHOWN:
        _say(console, f"… and {len(broken) - SHOWN} more")
    if all(lane.status is Status.done for lane in lanes):
        _say(
            console,
            f"report: {study.report}" if study.report.exists() else "`scoft-hpc gather` makes the report",
        )


def _as_json(study: StudyDir, lanes: Sequence[Lane]) -> str:
    launcher = claim.alive(launch_claim(study))
    return json.dumps(
        {
            "study": study.name,
            "folder": str(study.path.absolute()),
            "launcher": str(launcher) if launcher else None,
            "runs": [
                {
                    **asdict(lane),
                    "status": lane.status.value,
                    "failure": record.failure(study.run(lane.run_id)),
                }
                for lane in lanes
            ],
        },
        indent=1,
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    raise SystemExit(main())
