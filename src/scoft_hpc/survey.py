"""People judge a study's images: build the pages, serve them to raters, analyse the answers.

    python -m scoft_hpc.survey make    [STUDY] [systems=base,m,mp,mpc] [culture=korea,china] [pages=12] [raters=10]
    python -m scoft_hpc.survey serve   [STUDY] [port=8000] [database=URL]
    python -m scoft_hpc.survey results [STUDY] [database=URL]
    python -m scoft_hpc.survey demo    [raters=51]

`make` samples pages and writes survey/survey.yaml beside them, for you to complete; `serve` runs the web application
for raters; `results` analyses the answers and writes the exports and the report's section; `demo` does all three with
simulated raters.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.console import console_command, program
from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval.command_args import CommandArgs
from scoft_hpc.launch.views import selection
from scoft_hpc.study.paths import STUDY, StudyDir
from scoft_hpc.text import did_you_mean

REQUIRED_MODULES = ("babel", "fastapi", "itsdangerous", "krippendorff", "psycopg", "sqlalchemy", "uvicorn")
"""What `pip install 'scoft-hpc[survey]'` installs."""
DEMO_STUDY = "loss_terms-all-toy"
"""The demo's default study: that of the default sweep."""
DATABASE = (
    "sqlite:////local/disk/answers.db or postgresql://… (default: $SCOFT_SURVEY_DATABASE, which keeps a password out "
    "of the process list; else survey/answers.db)"
)
CULTURE = "culture"
"""A setting of `make` that is parsed as for all commands."""
STUDY_HELP = "STUDY (its name or folder; default: the latest), study=…, output=…, or a setting"
DEMO_HELP = f"STUDY (its name; default: {DEMO_STUDY}; created if missing), study=…, output=…, or a setting"


@dataclass(frozen=True)
class Subcommand:
    """`module` has a function of the subcommand's name; `settings` maps each of its settings to a help text."""

    module: str
    summary: str
    settings: Mapping[str, str]


SUBCOMMANDS = {
    "make": Subcommand(
        "scoft_hpc.human_eval.make",
        "Sample the survey's pages from a study's images and write survey.yaml for you to complete.",
        {
            CULTURE: "cultures whose raters answer, such as culture=korea,china (default: all of the study)",
            "systems": "two to eight variants to compare on a page (default: base,m,mp,mpc if the study has them)",
            "pages": "pages per rater (default: 12)",
            "raters": "raters per culture (default: 10)",
            "ethics": "reference of the ethics approval; `serve` requires it or pilot=true",
            "pilot": "true: a trial without approval, served on this machine only",
            "seed": "random seed (default: 0)",
            "database": DATABASE,
        },
    ),
    "serve": Subcommand(
        "scoft_hpc.human_eval.web.serve",
        "Serve the survey's web application to raters.",
        {
            "host": "address to listen on (default: 127.0.0.1)",
            "port": "port to listen on (default: 8000)",
            "url": "public address when behind a proxy, such as https://survey.example.edu",
            "database": DATABASE,
        },
    ),
    "results": Subcommand(
        "scoft_hpc.human_eval.analysis.command",
        "Analyse the answers: tables, exports and the report's section.",
        {"database": DATABASE},
    ),
    "demo": Subcommand(
        "scoft_hpc.human_eval.demo.command",
        "Run a survey of the toy study from pages to results with simulated raters.",
        {
            "raters": "simulated raters over all cultures (default: 51)",
            "pages": "pages per rater (default: 12)",
            "seed": "random seed of the answers (default: 0)",
            "database": DATABASE,
        },
    ),
}


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_usage(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    name, *rest = argv
    if name not in SUBCOMMANDS:
        raise ConfigError(
            f"survey has no command {name!r}{did_you_mean(name, SUBCOMMANDS)} Choose from {', '.join(SUBCOMMANDS)}."
        )
    args = _parse(name, rest)
    _require_extra()
    work: Callable[[CommandArgs], int] = getattr(importlib.import_module(SUBCOMMANDS[name].module), name)
    return work(args)


def _parse(name: str, argv: Sequence[str]) -> CommandArgs:
    """Separate the subcommand's settings from the arguments that all commands have.

    Raises:
        ConfigError: listing every setting that the subcommand does not have.
    """
    subcommand = SUBCOMMANDS[name]
    settings, shared_args, faults = {}, [], []
    known = [*subcommand.settings, "study", "output"]
    for arg in argv:
        key, equals, value = arg.partition("=")
        if not equals or arg.startswith("-") or key in ("study", "output"):
            shared_args.append(arg)
        elif key not in known:
            hint = did_you_mean(key, known, f"; expected one of {', '.join(known)}.")
            faults.append(f"`{arg}`: survey {name} has no setting `{key}`{hint}")
        elif key == CULTURE:
            shared_args.append(arg)
        else:
            settings[key] = value
    if faults:
        raise ConfigError.from_messages(faults)
    is_demo = name == "demo"
    parser = selection.parser(f"survey {name}", subcommand.summary, DEMO_HELP if is_demo else STUDY_HELP)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(
        ["settings:", *(f"  {key + '=…':<12}{text}" for key, text in subcommand.settings.items())]
    )
    if is_demo:
        flags = parser.parse_intermixed_args(shared_args)
        return CommandArgs(_demo_study(Path(flags.output), flags.arguments), (), settings)
    choice = selection.parse_selection(parser, shared_args)
    cultures = dict.fromkeys(run.culture for run in choice.chosen)
    if len(choice.chosen) < sum(run.culture in cultures for run in choice.entries):
        raise ConfigError(
            f"survey {name} is about a whole study, not about single runs; expected one study's name, such as "
            f"{choice.study.name}."
        )
    return CommandArgs(choice.study, tuple(cultures), settings)


def _demo_study(output: Path, args: Sequence[str]) -> StudyDir:
    """The demo's study, which need not exist yet."""
    pairs = dict(arg.split("=", 1) for arg in args if "=" in arg)
    names = [arg for arg in args if "=" not in arg] + ([pairs["study"]] if "study" in pairs else [])
    name = names[0] if names else DEMO_STUDY
    if len(names) > 1 or not STUDY.fullmatch(name):
        raise ConfigError(
            f"survey demo: expected one study's name, such as {DEMO_STUDY}, not {' '.join(names)!r}."
        )
    return StudyDir(Path(pairs.get("output", output)).absolute() / name)


def _require_extra() -> None:
    missing = [name for name in REQUIRED_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"survey needs packages that are not installed ({', '.join(missing)}). Install them with "
            f"`pip install 'scoft-hpc[survey]'`."
        )


def _usage() -> str:
    commands = "\n".join(f"  {name:<10}{subcommand.summary}" for name, subcommand in SUBCOMMANDS.items())
    return (
        f"usage: {program('survey')} COMMAND [STUDY] [key=value ...]\n\ncommands:\n{commands}\n\n"
        f"Run `{program('survey')} COMMAND --help` for the settings of a command."
    )


if __name__ == "__main__":
    raise SystemExit(main())
