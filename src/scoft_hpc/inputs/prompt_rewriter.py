"""Evaluation prompts rewritten by a language model, as the authors had theirs augmented by GPT-3.

Each answer is at once in the file that `evaluation.rewrites` names, with who gave it and when, under a `key` made of
what was asked: the model, the instruction, the prompt and the culture. What is there is not asked again, and a row
without a key is a person's and stays.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scoft_hpc.config.command_configs import RewriteConfig, Rewriter
from scoft_hpc.errors import DataError, RunError
from scoft_hpc.inputs import data_root, dataset, prompt_rewrites
from scoft_hpc.inputs.llm_client import ChatClient, LlmAnswer, RewriteRequest
from scoft_hpc.inputs.prompts import evaluation_prompts
from scoft_hpc.study import atomic
from scoft_hpc.study.digests import json_digest
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.periodic import hold

log = logging.getLogger(__name__)

INSTRUCTION = """\
You write prompts for a text-to-image model. Rewrite the caption that you are given so that the picture shows the \
culture of {culture} as its own people know it. Where the caption leaves them open, name materials, forms, colours, \
clothes, dishes or places that belong to that culture. Keep the caption's subject and what happens; contradict nothing \
in it. Avoid stereotypes and tourist clichés. Write one sentence of at most 40 words in English, without quotation \
marks. Answer with that sentence alone."""
"""Ours: the authors publish none."""

MAX_WORDS = 55
"""Longer rewritings are reported: CLIP reads 75 tokens of a text, and English has about 1.35 a word."""
DECLINED = re.compile(
    r"(i['’]?m (very )?sorry|sorry,|i (can['’]?t|cannot|can not|am unable|won['’]?t)|as an ai\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RewriteResult:
    """The result of a call: counts of new and existing rewrites, a sentence per prompt without one, and notes."""

    n_rewritten: int
    n_existing: int
    failed: list[str]
    notes: list[str]


def instruction(path: str | None, culture: str) -> str:
    """How to rewrite for the culture: the text of the file, or ours.

    Raises:
        DataError: if the file cannot be read.
    """
    text = INSTRUCTION
    if path is not None:
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text in UTF-8"
            raise DataError(f"rewriter.instruction={path} cannot be read: {reason}.") from None
    return text.replace("{culture}", culture)


def rewrite(
    path: Path, requests: Sequence[RewriteRequest], settings: Rewriter, stop: StopFlag
) -> RewriteResult:
    """Ask for the rewritings that the file lacks, and put each into it as it comes.

    Raises:
        ConfigError: if the endpoint cannot be used.
        DataError: if the file cannot be used, is another process's, or holds another model's answers.
        Interrupted: if `stop` was requested; what was answered is in the file.
    """
    try:
        with hold(path.with_name(f".{path.name}.lease")):
            return _rewrite(path, requests, settings, stop)
    except RunError as error:
        raise DataError(f"{path} cannot be written now: {error}") from None


def _rewrite(
    path: Path, requests: Sequence[RewriteRequest], settings: Rewriter, stop: StopFlag
) -> RewriteResult:
    rows = _read(path)
    missing = _missing(path, rows, requests, settings)
    failed, notes = [], []
    for request, outcome in ChatClient(settings).answers(missing, stop) if missing else ():
        subject = f"{request.culture}, {request.prompt!r}"
        text = _cleaned(outcome.text) if isinstance(outcome, LlmAnswer) else ""
        if not isinstance(outcome, LlmAnswer):
            failed.append(f"{subject} {outcome.reason}")
        elif not text or DECLINED.match(text):
            failed.append(
                f"{subject} was declined: {text[:100]!r}" if text else f"{subject} got an empty answer"
            )
        else:
            rows.append(_row(request, settings, text, outcome))
            atomic.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            log.info("%s: %s", subject, text)
            if len(text.split()) > MAX_WORDS:
                notes.append(
                    f"{subject} became {len(text.split())} words, of which CLIP reads about {MAX_WORDS}"
                )
    return RewriteResult(len(missing) - len(failed), len(requests) - len(missing), failed, notes)


def setting_faults(config: RewriteConfig) -> Iterator[str]:
    """What is wrong with the settings of the endpoint and the file."""
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


def rewrite_requests(config: RewriteConfig) -> list[RewriteRequest]:
    """The cultures' evaluation prompts, each with how it is to be rewritten."""
    root = data_root.locate(config.data, Path(config.output))
    requests = []
    for culture in dataset.select_cultures(config.culture, dataset.cultures(root)):
        how = instruction(config.rewriter.instruction, culture)
        read = dataset.read(root, culture, config.data.pairs)
        own = replace(config, culture=culture)
        requests += [RewriteRequest(culture, prompt, how) for prompt in evaluation_prompts(own, read)]
    return requests


def _missing(
    path: Path, rows: Sequence[dict[str, Any]], requests: Sequence[RewriteRequest], settings: Rewriter
) -> list[RewriteRequest]:
    """The requests that no row answers.

    Raises:
        DataError: if one is answered by another model, or under another instruction.
    """
    known = {(str(row.get("culture") or ""), str(row["prompt"]).strip()): row for row in rows}
    missing, others = [], set()
    for request in requests:
        row = known.get((request.culture, request.prompt)) or known.get(("", request.prompt))
        if row is None:
            missing.append(request)
        elif row.get("key") not in (None, _key(request, settings)):
            others.add(str(row.get("model")))
    if others:
        raise DataError(
            f"{path} holds rewritings of these prompts by {', '.join(sorted(others))}, under another instruction if "
            f"the model is the same. Keep them, and give these a file of their own: evaluation.rewrites=OTHER.jsonl."
        )
    return missing


def _read(path: Path) -> list[dict[str, Any]]:
    """The file's rows, checked; none where there is no file yet."""
    if not path.exists():
        return []
    prompt_rewrites.read(path, "")
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def _row(request: RewriteRequest, settings: Rewriter, text: str, answer: LlmAnswer) -> dict[str, Any]:
    return {
        "culture": request.culture,
        "prompt": request.prompt,
        "rewritten": text,
        "model": settings.model,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "answer": answer.text,
        "usage": answer.usage,
        "parameters": answer.parameters,
        "instruction": request.instruction,
        "key": _key(request, settings),
    }


def _key(request: RewriteRequest, settings: Rewriter) -> str:
    """The address of an answer: what it depends on, wherever the model is served."""
    return json_digest([settings.model, request.instruction, request.prompt, request.culture])


def _cleaned(text: str) -> str:
    """The sentence of an answer: without a model's thoughts before it, line breaks and quotation marks around it."""
    line = " ".join(re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL).split())
    for left, right in ('""', "''", "“”", "‘’", "«»"):
        if len(line) > 1 and line.startswith(left) and line.endswith(right):
            line = line[1:-1].strip()
    return line
