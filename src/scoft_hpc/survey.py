"""People judge a study's images: draw pages, serve them to raters, analyse the answers.

    python -m scoft_hpc.survey make    [STUDY] [systems=base,m,mp,mpc] [culture=korea,china] [pages=12] [raters=10]
    python -m scoft_hpc.survey serve   [STUDY] [port=8000] [database=URL]
    python -m scoft_hpc.survey results [STUDY] [database=URL]
    python -m scoft_hpc.survey demo    [raters=51]

`make` draws pages and writes survey/survey.yaml beside them, for you to read and fill in; `serve` runs the web
application for raters; `results` analyses the answers and writes the exports and the report's section; `demo` does all
three with simulated raters.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.console import program, run_command
from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval.asked import Asked
from scoft_hpc.launch.views import selection
from scoft_hpc.study.paths import STUDY, StudyDir
from scoft_hpc.text import did_you_mean

NEEDED = (
    "babel",
    "fastapi",
    "itsdangerous",
    "krippendorff",
    "psycopg",
    "sqlalchemy",
    "uvicorn",
)
"""What the extra brings."""
DEMO = "loss_terms-all-toy"
"""The demo's study, if no other is named: that of the default sweep."""
DATABASE = (
    "sqlite:////local/disk/answers.db or postgresql://… (else $SCOFT_SURVEY_DATABASE, the place for one with a "
    "password, which the list of processes would show; else survey/answers.db)"
)
CULTURE = "culture"
"""A setting of `make` that is read as all commands read it."""
STUDY_WORDS = "STUDY (its name or folder; by default the latest), study=…, output=…, or a setting"
DEMO_WORDS = f"STUDY (its name, {DEMO} by default; made if it is not there), study=…, output=…, or a setting"


@dataclass(frozen=True)
class Verb:
    """`room` is the module, with a function of the verb's own name; `words` its settings, each with what it says."""

    room: str
    summary: str
    words: Mapping[str, str]


VERBS = {
    "make": Verb(
        "scoft_hpc.human_eval.make",
        "Draw the survey's pages from a study's samples, and write survey.yaml to be filled in.",
        {
            CULTURE: "whose raters are asked, as culture=korea,china (all of the study)",
            "systems": "the variants that a page sets side by side, two to eight (base,m,mp,mpc where there are these)",
            "pages": "how many a rater is asked (12)",
            "raters": "wanted of each culture (10)",
            "ethics": "the approval's reference; with neither it nor pilot=true, `serve` refuses",
            "pilot": "true: a trial without approval, served on this machine alone",
            "seed": "of every random order (0)",
            "database": DATABASE,
        },
    ),
    "serve": Verb(
        "scoft_hpc.human_eval.web.serve",
        "Ask the raters: the web application.",
        {
            "host": "the address to listen at (127.0.0.1)",
            "port": "the port to listen at (8000)",
            "url": "the address that raters use, where a proxy stands before it: https://survey.example.edu",
            "database": DATABASE,
        },
    ),
    "results": Verb(
        "scoft_hpc.human_eval.analysis.command",
        "What the raters found: tables, exports and the report's chapter.",
        {"database": DATABASE},
    ),
    "demo": Verb(
        "scoft_hpc.human_eval.demo.command",
        "A survey of the toy study from pages to results, with simulated raters of known skill.",
        {
            "raters": "simulated, over all cultures (51)",
            "pages": "that each is asked (12)",
            "seed": "of their answers (0)",
            "database": DATABASE,
        },
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    name, *rest = words
    if name not in VERBS:
        raise ConfigError(
            f"survey has no verb {name!r}{did_you_mean(name, VERBS)} It has {', '.join(VERBS)}."
        )
    asked = _asked(name, VERBS[name], rest)
    _require_extra()
    work: Callable[[Asked], int] = getattr(importlib.import_module(VERBS[name].room), name)
    return work(asked)


def _asked(name: str, verb: Verb, words: Sequence[str]) -> Asked:
    """The words read: the verb's own by their names, the rest as all commands have them."""
    _check_keys(name, verb, words)
    own = {}
    rest = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in verb.words and key != CULTURE:
            own[key] = value
        else:
            rest.append(word)
    parser = selection.parser(f"survey {name}", verb.summary, DEMO_WORDS if name == "demo" else STUDY_WORDS)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(
        ["settings:", *(f"  {key + '=…':<12}{text}" for key, text in verb.words.items())]
    )
    if name == "demo":
        flags = parser.parse_intermixed_args(rest)
        return _demo(Path(flags.output), flags.words, own)
    choice = selection.choose(parser, rest)
    cultures = dict.fromkeys(run.culture for run in choice.chosen)
    if len(choice.chosen) < sum(run.culture in cultures for run in choice.entries):
        raise ConfigError(
            f"survey {name} is about a whole study, not about single runs; expected one study's name, such as "
            f"{choice.study.name}."
        )
    return Asked(choice.study, tuple(cultures), own)


def _check_keys(name: str, verb: Verb, words: Sequence[str]) -> None:
    """All settings at once that the verb does not have."""
    known = [*verb.words, "study", "output"]
    faults = []
    for word in words:
        key, equals, _ = word.partition("=")
        if equals and not word.startswith("-") and key not in known:
            hint = did_you_mean(key, known, f"; expected one of {', '.join(known)}.")
            faults.append(f"`{word}`: survey {name} has no setting `{key}`{hint}")
    if faults:
        raise ConfigError.from_messages(faults)


def _demo(output: Path, words: Sequence[str], own: Mapping[str, str]) -> Asked:
    """The demo makes its own study where there is none."""
    given = {key: value for key, equals, value in (word.partition("=") for word in words) if equals}
    names = [word for word in words if "=" not in word] + ([given["study"]] if "study" in given else [])
    name = names[0] if names else DEMO
    if len(names) > 1 or not STUDY.fullmatch(name):
        raise ConfigError(f"survey demo: expected one study's name, such as {DEMO}, not {' '.join(names)!r}.")
    return Asked(StudyDir(Path(given.get("output", output)).absolute() / name), (), own)


def _require_extra() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"a survey needs what is not installed ({', '.join(missing)}); install it with "
            f"`pip install 'scoft-hpc[survey]'`."
        )


def _usage() -> str:
    lines = [f"  {name:<10}{verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            f"usage: {program('survey')} VERB [STUDY] [words]",
            "",
            *lines,
            "",
            f"{program('survey')} VERB --help tells more of one.",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
