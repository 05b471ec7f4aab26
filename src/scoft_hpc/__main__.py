"""`scoft-hpc COMMAND`, or `python -m scoft_hpc COMMAND`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from scoft_hpc import __version__
from scoft_hpc.text import did_you_mean

COMMANDS: dict[str, str] = {
    "sweep": "Run a study: plan an ablation over cultures and seeds, pack and submit its runs, write table and report.",
    "train": "Train one run alone in this process, with a progress bar: for local debugging.",
    "prepare": "Prepare cultures for a study: check and caption the images, write the documents, and make the caches.",
    "rewrite": "Rewrite the evaluation prompts with a language model to say more about the culture, for a baseline.",
    "evaluate": "Score the samples of finished runs again, with other metrics or networks, without any training.",
    "status": "Show a study's progress by culture and variant, its jobs, its cost and its failures.",
    "logs": "Print the log of a run's last job.",
    "why": "Explain a run's state: cause, attempts, what happens next, what to do, and the end of its log.",
    "cancel": "Stop runs: running jobs save and end, waiting jobs leave the queue.",
    "retry": "Submit failed and lost runs again, with the settings of the study's submission.",
    "mirror": "Send a running study's curves to W&B or TensorBoard.",
    "gather": "Gather a study's results from disk at any time: table, report and W&B.",
    "survey": "People judge a study's images: build the pages, serve them to raters, analyse the answers.",
    "doctor": "Check Slurm, disk, GPU and network before a sweep, and say what to change; nothing is submitted.",
    "execute": "Train, sample and score planned run directories as one pack: what a job does.",
    "job": "Run one Slurm array task; jobs call it, users do not.",
}
"""Command -> summary for `--help`. Its module, `scoft_hpc.COMMAND`, is imported only when the command is called."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    name, *rest = arguments
    if name in ("-V", "--version"):
        print(f"scoft-hpc {__version__}")
        return 0
    if name not in COMMANDS:
        print(
            f"error: there is no command {name!r}{did_you_mean(name, COMMANDS)}\n\n{_help()}", file=sys.stderr
        )
        return 2
    return int(importlib.import_module(f"scoft_hpc.{name}").main(rest))


def _help() -> str:
    lines = [f"  {name:<10}{summary}" for name, summary in COMMANDS.items()]
    usage = "usage: scoft-hpc COMMAND [arguments]"
    return "\n".join([usage, "", *lines, "", "scoft-hpc COMMAND --help describes one command."])


if __name__ == "__main__":
    raise SystemExit(main())
