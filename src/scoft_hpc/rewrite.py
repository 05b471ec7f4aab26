"""Have a language model rewrite the evaluation prompts, for a baseline that is told more of the culture.

    python -m scoft_hpc.rewrite culture=korea data=folder data.root=DIR evaluation.rewrites=FILE.jsonl \\
        rewriter.url=https://…/v1 rewriter.model=NAME

The endpoint speaks OpenAI's form. Its key, if it needs one, is taken from OPENAI_API_KEY and written nowhere. The same
command again asks for what is missing; a sweep with `ablation=baselines` reads the file.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from scoft_hpc.config import check
from scoft_hpc.config.commands import RewriteConfig
from scoft_hpc.config.compose import command
from scoft_hpc.errors import INTERRUPTED, ConfigError, DataError, RunError
from scoft_hpc.inputs import data_root, dataset
from scoft_hpc.inputs.llm_client import RewriteRequest
from scoft_hpc.inputs.prompt_rewriter import Rewritten, instruction
from scoft_hpc.inputs.prompt_rewriter import rewrite as rewrite_all
from scoft_hpc.inputs.prompts import asked
from scoft_hpc.study.interrupt import Interrupted, Stop

SHOWN = 5
"""So many prompts without a rewriting are named; the rest is counted."""


def rewrite(config: RewriteConfig, words: Sequence[str]) -> int:
    """Fill the file; return 0, 4 if prompts are left without a rewriting, or 75 if interrupted: the same continues.

    Raises:
        ScoftError: for settings, data or an endpoint that cannot be used, all faults at once.
    """
    _log_to_stderr()
    if faults := [*check.check(config), *_faults(config)]:
        raise ConfigError.of(faults)
    path, stop = Path(str(config.evaluation.rewrites)).expanduser().absolute(), Stop()
    questions = _questions(config)
    with stop.heeding_signals():
        try:
            found = rewrite_all(path, questions, config.rewriter, stop)
        except Interrupted:
            print(f"interrupted; what was answered is in {path}, and the same command continues")
            return INTERRUPTED
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}.") from None
    _tell(path, found)
    if found.failed:
        return RunError.exit_code
    print(f"next     {_sweep(path, words)}")
    return 0


def _faults(config: RewriteConfig) -> Iterator[str]:
    settings, path = config.rewriter, config.evaluation.rewrites
    if find_spec("openai") is None:
        yield "rewriting prompts needs the openai package: pip install 'scoft-hpc[rewrite]'."
    url = urlsplit(settings.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        yield f"rewriter.url={settings.url}: expected an endpoint in OpenAI's form, such as https://…/v1."
    elif url.username or url.password:
        yield "rewriter.url holds a name or password, which would be kept in files; a key goes to OPENAI_API_KEY."
    if not settings.model:
        yield "rewriter.model is missing: the name that the endpoint has for the model."
    if not path or not path.endswith(".jsonl"):
        yield f"evaluation.rewrites={path}: expected the file to write, as evaluation.rewrites=FILE.jsonl."
    for name in ("jobs", "tries", "seconds"):
        if not getattr(settings, name) > 0:
            yield f"rewriter.{name}={getattr(settings, name)}: expected more than 0."


def _questions(config: RewriteConfig) -> list[RewriteRequest]:
    """The cultures' evaluation prompts, each with how it is to be rewritten."""
    root = data_root.locate(config.data, Path(config.output))
    questions = []
    for culture in dataset.chosen(config.culture, data_root.cultures(root)):
        how = instruction(config.rewriter.instruction, culture)
        read = dataset.read(root, culture, config.data.pairs)
        own = replace(config, culture=culture)
        questions += [RewriteRequest(culture, prompt, how) for prompt in asked(own, read)]
    return questions


def _tell(path: Path, found: Rewritten) -> None:
    print(f"rewritten  {found.made} prompts, {found.kept} were there, {len(found.failed)} have none; {path}")
    for sentence in found.failed[:SHOWN]:
        print(f"           {sentence}")
    if len(found.failed) > SHOWN:
        print(f"           … and {len(found.failed) - SHOWN} more")
    for note in found.notes:
        print(f"note: {note}")
    if found.failed:
        print("The same command asks for these again; or write their rows by hand.")


def _sweep(path: Path, words: Sequence[str]) -> str:
    """The command of a study that reads the file, of the same settings."""
    own = ("rewriter.", "evaluation.rewrites=", "-")
    same = [word for word in words if not word.startswith(own)]
    asked_for = ["ablation=baselines", *same, f"evaluation.rewrites={path}"]
    return f"python -m scoft_hpc.sweep {shlex.join(asked_for)}"


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("scoft_hpc").setLevel(logging.INFO)


def main() -> int:
    words = sys.argv[1:]
    return command("rewrite", lambda config: rewrite(config, words), words)


if __name__ == "__main__":
    raise SystemExit(main())
