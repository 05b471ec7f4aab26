"""`scoft-hpc COMMAND`, or `python -m scoft_hpc COMMAND`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from scoft_hpc import __version__
from scoft_hpc.text import did_you_mean

COMMANDS: dict[str, tuple[str, str]] = {
    "sweep": (
        "scoft_hpc.sweep",
        "Run a study: an ablation for cultures and seeds, packed and sent; ends with table and report.",
    ),
    "train": (
        "scoft_hpc.train",
        "Run one run alone, in this process, with a progress bar: the local debug run.",
    ),
    "prepare": (
        "scoft_hpc.prepare",
        "Make cultures ready for a study: checked, captioned, documented, and what training needs made before it.",
    ),
    "rewrite": (
        "scoft_hpc.rewrite",
        "Have a language model rewrite the evaluation prompts, for a baseline that is told more of the culture.",
    ),
    "evaluate": (
        "scoft_hpc.evaluate",
        "Score the samples of finished runs again, by other metrics or networks; nothing is trained or drawn.",
    ),
    "status": (
        "scoft_hpc.status",
        "How far a study is: culture by variant, its jobs, its cost, and what broke.",
    ),
    "logs": ("scoft_hpc.logs", "What a run's last job printed."),
    "why": (
        "scoft_hpc.why",
        "Why a run is as it is, and what to do: cause, attempts, what happens next, and the end of its log.",
    ),
    "cancel": (
        "scoft_hpc.cancel",
        "Stop runs: their jobs save and end, and whatever waits leaves the queue.",
    ),
    "retry": ("scoft_hpc.retry", "Send failed and lost runs again, as the rest of the study was sent."),
    "mirror": ("scoft_hpc.mirror", "Curves of a study while it runs, sent to W&B or TensorBoard."),
    "gather": (
        "scoft_hpc.gather",
        "The results of a study, gathered from disk at any time: table, report and W&B.",
    ),
    "survey": (
        "scoft_hpc.survey",
        "People judge a study's images: pages drawn, a web application for raters, and what they found.",
    ),
    "doctor": (
        "scoft_hpc.doctor",
        "Probe the place that a sweep would run in: Slurm, disk, GPU, network; say what to change. Nothing is sent.",
    ),
    "execute": (
        "scoft_hpc.execute",
        "Take planned run directories to their results, as one pack: what a job does.",
    ),
    "job": ("scoft_hpc.job", "What a task of Slurm runs; not for typing."),
}
"""Each command's module, which is imported only when it is called, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    name, *rest = words
    if name in ("-V", "--version"):
        print(f"scoft-hpc {__version__}")
        return 0
    if name not in COMMANDS:
        print(f"error: there is no verb {name!r}{did_you_mean(name, COMMANDS)}\n\n{_help()}", file=sys.stderr)
        return 2
    module, _ = COMMANDS[name]
    return int(importlib.import_module(module).main(rest))


def _help() -> str:
    lines = [f"  {name:<10}{summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        ["usage: scoft-hpc VERB [words]", "", *lines, "", "scoft-hpc VERB --help tells more of one."]
    )


if __name__ == "__main__":
    raise SystemExit(main())
