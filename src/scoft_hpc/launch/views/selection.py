"""Which study and which of its runs a command is about: `[STUDY] [RUN ...] [culture=korea,china state=failed]`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.console import program
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.launch.tracking import study_state
from scoft_hpc.launch.tracking.retry_policy import CAUSES
from scoft_hpc.launch.tracking.run_state import RunState
from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.study.paths import StudyDir, studies
from scoft_hpc.study.plan_file import PlannedRun, display_path, read
from scoft_hpc.study.run_status import Status
from scoft_hpc.text import did_you_mean, shorten

PLANNED = ("culture", "variant", "seed")
"""What the plan says of a run, and so what selects it before its files are read."""

KEYS = ("study", "output", *PLANNED, "state")
ARGUMENTS = (
    "STUDY (its name or folder; by default the latest), RUN (its id or the beginning of it), or "
    + " ".join(f"{key}=…" for key in KEYS)
)
MAX_SHOWN = 8
"""Options that are named; the others are counted."""


@dataclass(frozen=True)
class Selection:
    """A study, and the runs of it that were asked for.

    Attributes:
        entries: every run of the plan, in its order; `chosen` those of the right culture, variant, seed and id.
        states: the states or causes asked for; empty: any.
        narrowed: some runs were asked for rather than all.
        flags: the command's own flags; `settings`, the settings among its arguments, such as `cluster.minutes=60`.
    """

    study: StudyDir
    entries: tuple[PlannedRun, ...]
    chosen: tuple[PlannedRun, ...]
    states: frozenset[str]
    narrowed: bool
    flags: argparse.Namespace
    settings: tuple[str, ...] = ()

    def read_state(self) -> StudyState:
        """The present state of the whole study."""
        return study_state.read(self.study, [run.run_id for run in self.entries])

    def filter(self, seen: StudyState) -> list[RunState]:
        """The chosen runs, in the plan's order."""
        states = [seen.states[run.run_id] for run in self.chosen]
        return [
            state for state in states if not self.states or {state.status.value, state.cause} & self.states
        ]

    def single(self, seen: StudyState) -> RunState:
        """The chosen run.

        Raises:
            LaunchError: if there is not exactly one; it lists them.
        """
        states = self.filter(seen)
        if len(states) == 1:
            return states[0]
        options = [f"{state.run_id} ({state.status.value})" for state in states]
        raise LaunchError(
            f"{len(options) or 'no'} runs of {self.study.name} fit; expected one run, by its id or the beginning "
            f"of it, or a selection such as culture=korea variant=mpc.\n{_list(options, chr(10), 30)}".rstrip()
        )


def parser(verb: str, summary: str, arguments: str = ARGUMENTS) -> argparse.ArgumentParser:
    """The arguments that all commands share; `arguments` is the help text of the positional ones."""
    command_parser = argparse.ArgumentParser(
        prog=program(verb),
        description=summary,
        epilog="Lists are written culture=korea,china. States: " + ", ".join(_states()) + ".",
    )
    command_parser.add_argument("arguments", nargs="*", metavar="ARG", help=arguments)
    command_parser.add_argument(
        "--output", default="outputs", metavar="DIR", help="directory of the studies (default: outputs)"
    )
    return command_parser


def parse_selection(
    command_parser: argparse.ArgumentParser, argv: Sequence[str] | None, settings: bool = False
) -> Selection:
    """Parse a command's arguments.

    Args:
        argv: None: those of this process.
        settings: whether settings such as `cluster.minutes=60` are accepted; they are left to the command.

    Raises:
        ConfigError: listing all arguments that are not understood.
        LaunchError: if there is no such study, or its plan cannot be read.
    """
    flags = command_parser.parse_intermixed_args(argv)
    plain = [text for text in flags.arguments if "=" not in text]
    pairs = [
        text for text in flags.arguments if "=" in text and not (settings and "." in text.partition("=")[0])
    ]
    given: dict[str, list[str]] = {}
    faults = []
    for text in pairs:
        key, _, value = text.partition("=")
        if key in KEYS:
            given.setdefault(key, []).extend([value] if key in ("study", "output") else _values(value))
        else:
            faults.append(f"`{text}`: there is no `{key}` to select by{_hint(key, KEYS)}")
    if faults:
        raise ConfigError.from_messages(faults)
    output = Path(given["output"][-1] if "output" in given else flags.output).absolute()
    study, starts = _study(output, given.get("study", [None])[-1], plain)
    entries = read(study).runs
    chosen = _chosen(entries, given, starts, study)
    return Selection(
        study=study,
        entries=entries,
        chosen=chosen,
        states=frozenset(given.get("state", ())),
        narrowed=bool(starts) or any(key in given for key in (*PLANNED, "state")),
        flags=flags,
        settings=tuple(text for text in flags.arguments if "=" in text and text not in pairs),
    )


def find_study(output: Path, name: str | None) -> StudyDir:
    """The study of this name below `output`, or in this folder; without a name the one that was planned last.

    Raises:
        LaunchError: if there is none; it lists those that there are.
    """
    existing = studies(output)
    study = next(iter(existing), None) if name is None else _named(output, name)
    if study is None:
        raise LaunchError(_no_study(output, name, existing))
    return study


def _study(output: Path, name: str | None, plain: Sequence[str]) -> tuple[StudyDir, list[str]]:
    """The study, and the other arguments, which are beginnings of run ids."""
    if name is not None:
        return find_study(output, name), list(plain)
    for text in plain:
        study = _named(output, text)
        if study is not None:
            return study, [other for other in plain if other != text]
    existing = studies(output)
    if not existing or (plain and not _begun(read(existing[0]).runs, plain[0])):
        message = _no_study(output, plain[0] if plain else None, existing)
        if existing:
            newest = existing[0]
            message += f" No run id of {newest.name} begins with {plain[0]!r}"
            message += did_you_mean(plain[0], _heads(read(newest).runs))
        raise LaunchError(message)
    return existing[0], list(plain)


def _named(output: Path, name: str) -> StudyDir | None:
    for study in (StudyDir(output / name), StudyDir(Path(name).absolute())):
        if study.plan.exists():
            return study
    return None


def _no_study(output: Path, name: str | None, existing: Sequence[StudyDir]) -> str:
    where = display_path(output)
    what = f"there is no study {name!r} in {where}" if name else f"there is no study in {where}"
    if not existing:
        return f"{what}; `scoft-hpc sweep` starts one. Another folder is given with --output DIR."
    names = [study.name for study in existing]
    hint = did_you_mean(name or "", names)
    return f"{what}; there are: {_list(names)}{hint} Another folder is given with --output DIR."


def _chosen(
    entries: Sequence[PlannedRun], given: dict[str, list[str]], starts: Sequence[str], study: StudyDir
) -> tuple[PlannedRun, ...]:
    """The entries that match all arguments; a value or a beginning that fits none is a fault."""
    faults = []
    for key in (*PLANNED, "state"):
        planned = [str(getattr(run, key)) for run in entries] if key in PLANNED else _states()
        options = list(dict.fromkeys(planned))
        faults += [
            f"{key}={value}: expected some of {_list(options)}{did_you_mean(value, options)}"
            for value in given.get(key, ())
            if value not in options
        ]
    wanted: set[str] = set()
    for start in starts:
        matching = _begun(entries, start)
        if not matching:
            faults.append(
                f"`{start}`: no run id of {study.name} begins with it{_hint(start, _heads(entries))}"
            )
        wanted.update(matching)
    if faults:
        raise ConfigError.from_messages(faults)
    return tuple(
        run
        for run in entries
        if all(str(getattr(run, key)) in given[key] for key in PLANNED if given.get(key))
        and (not starts or run.run_id in wanted)
    )


def _begun(entries: Iterable[PlannedRun], start: str) -> list[str]:
    """The ids that begin so: `korea-m` means korea-m-s0-…, and korea-mpc-s0-… only where there is no other."""
    ids = [run.run_id for run in entries]
    whole = [name for name in ids if name == start or name.startswith(f"{start}-")]
    return whole or [name for name in ids if name.startswith(start)]


def _heads(entries: Iterable[PlannedRun]) -> list[str]:
    """The ids without the digest that they end on: what a person would type."""
    return [run.run_id.rpartition("-")[0] for run in entries]


def _values(text: str) -> list[str]:
    """`korea,china` and `[korea,china]` are lists; `all` is no restriction."""
    values = [value.strip() for value in text.strip("[]").split(",") if value.strip()]
    return [] if values == ["all"] else values


def _states() -> list[str]:
    """The options of `state=`: states, and the causes of failures."""
    return list(dict.fromkeys([*(status.value for status in Status), *CAUSES]))


def _hint(text: str, options: Sequence[str]) -> str:
    """What may have been meant, else the options."""
    return did_you_mean(text, options, f"; expected one of {_list(options)}.")


def _list(options: Sequence[str], separator: str = ", ", shown: int = MAX_SHOWN) -> str:
    return separator.join(shorten(options, shown))
