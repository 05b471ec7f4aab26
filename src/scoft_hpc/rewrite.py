"""Rewrite the evaluation prompts with a language model to say more about the culture, for a baseline.

    python -m scoft_hpc.rewrite culture=korea data=folder data.root=DIR evaluation.rewrites=FILE.jsonl \\
        rewriter.url=https://…/v1 rewriter.model=NAME

The endpoint has an OpenAI-compatible API. Its key, if it needs one, is read from OPENAI_API_KEY and written nowhere.
The same command again requests the missing prompts; a sweep with `ablation=baselines` reads the file.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from scoft_hpc.config import validation
from scoft_hpc.config.command_configs import RewriteConfig
from scoft_hpc.config.compose import command
from scoft_hpc.console import log_to_stderr
from scoft_hpc.errors import INTERRUPTED, ConfigError, DataError, RunError
from scoft_hpc.inputs import prompt_rewriter
from scoft_hpc.inputs.prompt_rewriter import RewriteResult
from scoft_hpc.study.interrupt import Interrupted, StopFlag
from scoft_hpc.text import shorten

MAX_SHOWN = 5
"""So many prompts without a rewriting are named; the rest is counted."""


def rewrite(config: RewriteConfig, overrides: Sequence[str]) -> int:
    """Fill the file; return 0, 4 if prompts are left without a rewriting, or 75 if interrupted: the same continues.

    Raises:
        ScoftError: for settings, data or an endpoint that cannot be used, all faults at once.
    """
    log_to_stderr()
    if faults := [*validation.validate(config), *prompt_rewriter.setting_faults(config)]:
        raise ConfigError.from_messages(faults)
    path, stop = Path(str(config.evaluation.rewrites)).expanduser().absolute(), StopFlag()
    requests = prompt_rewriter.rewrite_requests(config)
    with stop.capture_signals():
        try:
            result = prompt_rewriter.rewrite(path, requests, config.rewriter, stop)
        except Interrupted:
            print(f"interrupted; what was answered is in {path}, and the same command continues")
            return INTERRUPTED
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}.") from None
    _tell(path, result)
    if result.failed:
        return RunError.exit_code
    print(f"next     {_sweep(path, overrides)}")
    return 0


def _tell(path: Path, result: RewriteResult) -> None:
    print(
        f"rewritten  {result.n_rewritten} prompts, {result.n_existing} existed, {len(result.failed)} have none; {path}"
    )
    for sentence in shorten(result.failed, MAX_SHOWN):
        print(f"           {sentence}")
    for note in result.notes:
        print(f"note: {note}")
    if result.failed:
        print("The same command asks for these again; or write their rows by hand.")


def _sweep(path: Path, overrides: Sequence[str]) -> str:
    """The command of a study that reads the file, of the same settings."""
    own = ("rewriter.", "evaluation.rewrites=", "-")
    same = [text for text in overrides if not text.startswith(own)]
    asked_for = ["ablation=baselines", *same, f"evaluation.rewrites={path}"]
    return f"python -m scoft_hpc.sweep {shlex.join(asked_for)}"


def main(argv: Sequence[str] | None = None) -> int:
    return command("rewrite", rewrite, argv)


if __name__ == "__main__":
    raise SystemExit(main())
