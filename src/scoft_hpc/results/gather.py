"""From run folders to results: tables for people and programs, the report and W&B, from disk alone and at any time."""

from __future__ import annotations

from dataclasses import dataclass

from scoft_hpc.config.schema import Wandb, WandbMode
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.results import latex, markdown, study, table, tensorboard
from scoft_hpc.results.findings import findings
from scoft_hpc.results.report import page
from scoft_hpc.results.study import Study
from scoft_hpc.results.table import RunRow
from scoft_hpc.results.wandb_sync import publish
from scoft_hpc.study.atomic import write_text
from scoft_hpc.study.paths import StudyDir


@dataclass(frozen=True)
class Gathered:
    """What was gathered; the files are in the study's folder. `notes` are warnings for the user."""

    study: Study
    rows: list[RunRow]
    notes: list[str]


def gather(folder: StudyDir, mode: WandbMode | None = None, events: bool | None = None) -> Gathered:
    """Read the study as far as it got, write results.csv and .parquet, table.tex, report.md and .html, publish to W&B.

    With `events` TensorBoard's event files too. `mode` and `events` None are as the study was planned.

    Raises:
        LaunchError: if there is no plan to read, or the study's folder cannot be written to.
    """
    read = study.read(folder)
    rows = table.rows(read)
    try:
        table.write_csv(folder.results, rows)
        table.write_parquet(folder.parquet, rows)
        results = findings(read)
        write_text(folder.latex, latex.render(results))
        write_text(folder.markdown, markdown.render(results))
        write_text(folder.report, page.render(results))
        notes = [*read.notes, *publish.publish(read, rows, wandb_settings(read, mode))]
        if wants_events(read, events):
            notes += _write_events(read)
    except OSError as error:
        raise LaunchError(
            f"the results cannot be written to {folder.path} ({error.strerror}: {error.filename}); "
            f"make room or give yourself the right to write there, and gather again."
        ) from None
    return Gathered(read, rows, notes)


def latest(folder: StudyDir) -> Gathered | None:
    """What was gathered last, if all runs are done and none ended since; None if it has to be gathered again."""
    written = [path.stat().st_mtime for path in (folder.results, folder.report) if path.exists()]
    read = study.read(folder)
    done = [run.folder.result.stat().st_mtime for run in read.runs if run.folder.result.exists()]
    if len(written) < 2 or len(done) < len(read.runs) or min(written) <= max(done):
        return None
    return Gathered(read, table.rows(read), list(read.notes))


def _write_events(study: Study) -> list[str]:
    try:
        tensorboard.require()
    except ConfigError as error:  # planned on another machine: all else is gathered
        return [str(error)]
    tensorboard.write(study)
    return []


def wants_events(study: Study, requested: bool | None = None) -> bool:
    """Whether TensorBoard's event files are written."""
    planned = bool(study.runs) and bool(study.runs[0].config.get("tensorboard", False))
    return planned if requested is None else requested


def wandb_settings(study: Study, mode: WandbMode | None) -> Wandb:
    """As planned, read key by key: a study that an older version planned is still gathered."""
    planned = study.runs[0].config.get("wandb", {}) if study.runs else {}
    default = Wandb()
    return Wandb(
        mode=mode or WandbMode[planned.get("mode", default.mode.name)],
        project=planned.get("project", default.project),
        entity=planned.get("entity", default.entity),
    )
