"""Weights & Biases, from disk: one W&B run a run of the study, and one that sums up.

Jobs know nothing of W&B. `publish` may run at any time and any number of times: `published.json` says what has been
published in which state, and only what is new or has changed since is looked at again. Online, a run is sent what W&B
lacks and counts as published once W&B's API tells that all of it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.schema import Wandb, WandbMode
from scoft_hpc.errors import RunError
from scoft_hpc.results import grids, thumbnails
from scoft_hpc.results.statistics import level
from scoft_hpc.results.study import Study
from scoft_hpc.results.table import RunRow, columns
from scoft_hpc.results.wandb_sync import records
from scoft_hpc.results.wandb_sync.records import WandbRecord
from scoft_hpc.results.wandb_sync.session import TIMEOUTS, Session, WandbTimeouts, session
from scoft_hpc.results.wandb_sync.verify import UploadedRun, is_prefix, missing_parts
from scoft_hpc.study import atomic
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.metrics_log import STEP
from scoft_hpc.study.run_status import Status
from scoft_hpc.text import first_line

ENDED = (Status.done, Status.failed)
"""Runs still under way are in the summary's table; their own W&B run waits until they end."""
MAX_FAULTS = 3
"""Of runs that did not arrive before the rest is left: something is wrong with the network or the server."""

Ledger = dict[str, dict[str, str]]
"""Name of a W&B run -> {"digest", "mode"} of what has been published."""
Media = Callable[[], Mapping[str, Any]]
"""Makes a run's tables and images; called within a session."""


class _UnfitError(Exception):
    """A run cannot be sent now; the message is for the user."""


def publish(
    study: Study, rows: Sequence[RunRow], settings: Wandb, timeouts: WandbTimeouts = TIMEOUTS
) -> list[str]:
    """Log what is new; return notes for the user, none if all went well.

    A network that does not answer never raises: the rest stays to be published by a later call.
    """
    if settings.mode is WandbMode.disabled:
        return []
    try:
        lease = Lease.acquire(study.folder.wandb / "lease.json")
    except RunError as error:
        return [f"Nothing was sent to W&B: another process publishes this study: {error}"]
    with lease:
        return _publish(study, rows, settings, timeouts)


def _publish(study: Study, rows: Sequence[RunRow], settings: Wandb, timeouts: WandbTimeouts) -> list[str]:
    ledger_file, mode = study.folder.wandb / "published.json", settings.mode.name
    ledger = _read_ledger(ledger_file)
    digests = {r.run_id: records.digest_of(r, settings.project) for r in study.runs if r.status in ENDED}
    summary = records.summary_name(study)
    digests[summary] = records.digest(
        [records.FORMAT, settings.project, *(row.cells() for row in rows), digests]
    )
    missing = [name for name, digest in digests.items() if not _is_published(ledger.get(name), digest, mode)]
    if not missing:
        return []
    runs = {run.run_id: run for run in study.runs}
    notes: list[str] = []
    faults = 0
    with session(study, settings, timeouts) as client:
        for done, name in enumerate(missing):
            if faults == MAX_FAULTS:
                note = f"W&B was not sent the other {len(missing) - done} of the study's runs."
                return [*notes, f"{note} {_command(study, 'online')} sends what is missing."]
            try:
                if name == summary:
                    wanted, media = _study(study, rows, digests[summary])
                else:
                    wanted, media = records.of_run(study, runs[name]), dict
                with _alone(study, name):
                    notes += _publish_one(client, wanted, media)
            except _UnfitError as unfit:
                notes.append(str(unfit))
                faults += 1
                continue
            except Exception as error:  # of wandb, its service or the network: none of them may end a gather
                return [*notes, _failure_note(error, len(missing) - done, mode, study)]
            ledger[name] = {"digest": digests[name], "mode": mode}
            atomic.write_json(ledger_file, ledger)
    return notes


def _publish_one(client: Session, wanted: WandbRecord, media: Media) -> list[str]:
    """Log one run, online only its missing parts, which are then verified. Returns notes for the user."""
    first = next(records.ids(client.study, wanted.name))
    if not client.online:
        _send(client, wanted, media, first)
        return []
    wandb_id, uploaded = choose_run_id(client, wanted)
    if missing_parts(wanted, uploaded):
        _send(client, wanted, media, wandb_id)
        uploaded = _wait_for(client, wandb_id, lambda seen: not missing_parts(wanted, seen))
        if faults := missing_parts(wanted, uploaded):
            raise _UnfitError(
                f"{wanted.name} did not arrive at W&B whole: {'; '.join(faults)}. "
                f"The same command sends what is missing."
            )
    client.forget(wandb_id, synced=True)
    if wandb_id == first:
        return []
    note = (
        f"{wanted.name} is at W&B as {wandb_id}: of what lies there as {first} rows are missing or doubled, "
        f"which W&B cannot repair. You can delete it."
    )
    return [note]


def choose_run_id(client: Session, wanted: WandbRecord, more: bool = False) -> tuple[str, UploadedRun | None]:
    """The run's id at W&B and what is there under it: the first id whose rows ours continue; with `more`, ours go on.

    Raises:
        RunError: if none is left.
    """
    for wandb_id in records.ids(client.study, wanted.name):
        uploaded = _wait_for(client, wandb_id, lambda seen: is_prefix(wanted.steps, seen, more))
        if is_prefix(wanted.steps, uploaded, more):
            return wandb_id, uploaded
    raise RunError(
        f"{wanted.name} lies at W&B many times over, each time with rows missing or doubled; "
        f"choose another wandb.project."
    )


def _wait_for(
    client: Session, wandb_id: str, settled: Callable[[UploadedRun | None], bool]
) -> UploadedRun | None:
    """What is there, once it is as it should be or has had time to be."""
    uploaded = client.arrived(wandb_id)
    for pause in client.timeouts.pauses:
        if settled(uploaded):
            break
        time.sleep(pause)
        uploaded = client.arrived(wandb_id)
    return uploaded


def _send(client: Session, wanted: WandbRecord, media: Media, wandb_id: str) -> None:
    with client.log(wanted, wandb_id) as log:
        send_rows(log, wanted.rows or ())
        if content := media():
            log.log(content)
        log.summary.update({k: v for k, v in wanted.summary.items() if not isinstance(v, Mapping)})


def send_rows(log: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Those that W&B does not have yet, each on its own step."""
    for row in rows:
        if row[STEP] >= log.starting_step:
            log.log(dict(row), step=row[STEP], commit=True)


def _study(study: Study, rows: Sequence[RunRow], digest: str) -> tuple[WandbRecord, Media]:
    """The results table, a grid a culture and each variant's means."""
    sheets = {c: lines for c in study.cultures if (lines := grids.sample_files(study, c))}

    def media() -> dict[str, Any]:
        import wandb

        content: dict[str, Any] = {
            "results": wandb.Table(columns(), [list(row.cells().values()) for row in rows])
        }
        for culture, lines in sheets.items():
            sheet = thumbnails.contact_sheet([files for _, files in lines])
            caption = "from top to bottom: " + ", ".join(variant for variant, _ in lines)
            content[f"grid/{culture}"] = wandb.Image(sheet, caption=caption)
        return content

    means = {
        f"{measure.name}/{variant}": estimate.value
        for measure in METRICS.values()
        for variant in study.variants
        if (estimate := level(study, measure, variant)) is not None
    }
    table = {"results": {"_type": "table-file", "nrows": len(rows)}}
    pages = {f"grid/{culture}": {"_type": "image-file"} for culture in sheets}
    return records.of_study(study, {**table, **pages, **means}, digest), media


@contextmanager
def _alone(study: Study, name: str) -> Iterator[None]:
    """Nobody else sends this run meanwhile: two would overwrite each other's rows."""
    try:
        lease = Lease.acquire(study.folder.sync_lease(name))
    except RunError as error:
        raise _UnfitError(f"{name} was left alone, its curves are being sent just now: {error}") from None
    with lease:
        yield


def _is_published(entry: Mapping[str, str] | None, digest: str, mode: str) -> bool:
    """What is online already need not be written offline again."""
    return (
        entry is not None
        and entry.get("digest") == digest
        and entry.get("mode") in (mode, WandbMode.online.name)
    )


def _read_ledger(path: Path) -> Ledger:
    """What has been published; nothing, where the file is not there or broken: it is then published again."""
    ledger = read_json(path)
    return ledger if all(isinstance(entry, dict) for entry in ledger.values()) else {}


def _command(study: Study, mode: str) -> str:
    return f"`python -m scoft_hpc.gather {study.name} --output {study.folder.path.parent} --wandb {mode}`"


def _failure_note(error: Exception, n_unsent: int, mode: str, study: Study) -> str:
    return (
        f"W&B did not take {n_unsent} of the study's runs ({first_line(error)}). Everything lies on disk; publish it "
        f"later with {_command(study, mode)}."
    )
