"""Images that another generator made for the evaluation prompts: located in a folder, checked and hashed.

    <images>/<culture>/metadata.jsonl    rows of `file_name` and `prompt`; or, without it,
    <images>/<culture>/p00-s00.png       the names that a run's own samples have (PNG, JPEG or WebP)
    <images>/<culture>/seed1/…           the same, another draw: what a run of seed 1 is scored on

No torch: plans read it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scoft_hpc.config.schema import Evaluation, Prompting, RunConfig
from scoft_hpc.errors import DataError
from scoft_hpc.inputs import image_check
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.inputs.image_check import FORMATS, ImageFile
from scoft_hpc.inputs.metadata_rows import METADATA, read_lines, resolve_inside, short
from scoft_hpc.inputs.prompts import evaluation_prompts, sample_name
from scoft_hpc.study.digests import json_digest, require_planned
from scoft_hpc.study.json_files import read_json_lines
from scoft_hpc.text import shorten

ENDINGS = ("png", "jpg", "jpeg", "webp")
MAX_PROBLEMS_LISTED = 20
MAX_PROMPTS_LISTED = 4
"""Prompts without enough images that a message names."""
ROW = '{"file_name": "1.png", "prompt": "…"}'


@dataclass(frozen=True)
class ExternalImages:
    """The images of each prompt, in the prompts' order; `digest` is that of the prompts and the images' bytes."""

    images: tuple[tuple[Path, ...], ...]
    digest: str


def seeds(config: RunConfig, culture: str, asked_for: Sequence[int]) -> list[int]:
    """Those seeds that the folder has a draw for: with one draw only, the first of them."""
    settings = config.evaluation
    if not settings.images:
        return list(asked_for)
    root = Path(settings.images).expanduser()
    return [seed for seed in asked_for if _of_seed(root / culture, seed).is_dir()] or list(asked_for[:1])


def find(config: RunConfig, manifest: Manifest) -> ExternalImages:
    """The first `evaluation.samples` images of each evaluation prompt, every one of them decoded.

    Raises:
        DataError: with all faults, or if the images are not those that the run was planned with.
    """
    settings = config.evaluation
    root = Path(settings.images or "").expanduser().absolute()
    of_seed, folder = _of_seed(root / config.culture, config.seed), root / config.culture
    folder = of_seed if of_seed.is_dir() else folder
    if not folder.is_dir():
        raise DataError(
            f"evaluation.images={root} has no folder {config.culture}; expected {folder} with images of its prompts."
        )
    texts, faults = evaluation_prompts(config, manifest), list[str]()
    listed = (folder / METADATA).exists()
    by_prompt = _listed(folder, faults) if listed else _by_name(folder, texts, faults)
    chosen = {text: by_prompt.get(text, [])[: settings.samples] for text in texts}
    faults += _missing(folder, chosen, settings.samples, listed)
    files = image_check.inspect_images(path for paths in chosen.values() for path in paths)
    faults += [f"{path} {what}" for path, what in files.items() if isinstance(what, str)]
    if faults:
        raise DataError.from_messages(shorten(faults, MAX_PROBLEMS_LISTED, "more."))
    digest = _digest(chosen, files)
    require_planned(DataError, folder, digest, settings.digest)
    return ExternalImages(tuple(tuple(chosen[text]) for text in texts), digest)


def without_sampling(settings: Evaluation) -> Evaluation:
    """The settings with the folder's absolute path; where there are images, no model receives a prompt."""
    if not settings.images:
        return settings
    path = Path(settings.images).expanduser().absolute()
    return replace(settings, prompting=Prompting.asked, rewrites=None, images=str(path))


def with_digest(config: RunConfig, manifest: Manifest) -> Evaluation:
    """The evaluation's settings as `without_sampling` has them, with the digest of the images.

    Raises:
        DataError: with all faults of the folder.
    """
    return replace(without_sampling(config.evaluation), digest=find(config, manifest).digest)


def _of_seed(folder: Path, seed: int) -> Path:
    return folder / f"seed{seed}"


def _listed(folder: Path, faults: list[str]) -> dict[str, list[Path]]:
    """The images by prompt, as metadata.jsonl lists them."""
    by_prompt: dict[str, list[Path]] = {}
    for number, line, row in read_json_lines(read_lines(folder, "")):
        where = f"{folder / METADATA}, row {number}"
        name, prompt = (row or {}).get("file_name"), (row or {}).get("prompt")
        if not isinstance(name, str) or not isinstance(prompt, str):
            faults.append(f"{where}: {short(line)}; expected {ROW}.")
            continue
        path, fault = resolve_inside(folder, folder, name)
        if fault:
            faults.append(f"{where}: `file_name` {fault}")
        else:
            by_prompt.setdefault(prompt.strip(), []).append(path)
    return by_prompt


def _by_name(folder: Path, texts: Sequence[str], faults: list[str]) -> dict[str, list[Path]]:
    """The images by prompt, as their names say, in the order of their numbers."""
    numbered: dict[tuple[int, int], Path] = {}
    for path in sorted(folder.iterdir()):
        name = re.fullmatch(rf"p(\d+)-s(\d+)\.({'|'.join(ENDINGS)})", path.name, re.IGNORECASE)
        if name is None:
            continue
        _, fault = resolve_inside(folder, folder, path.name)
        if fault:
            faults.append(f"{folder}: {fault}")
        elif (place := (int(name[1]), int(name[2]))) in numbered:
            faults.append(f"{path} and {numbered[place].name} are the same sample; keep one of the two.")
        else:
            numbered[place] = path
    by_prompt: dict[str, list[Path]] = {}
    for (prompt, _), path in sorted(numbered.items()):
        if prompt < len(texts):
            by_prompt.setdefault(texts[prompt], []).append(path)
    return by_prompt


def _missing(folder: Path, by_prompt: dict[str, list[Path]], samples: int, listed: bool) -> Iterator[str]:
    few = [f"{len(paths)} of {text!r}" for text, paths in by_prompt.items() if len(paths) < samples]
    if few:
        more = f" and so on ({len(few)} of {len(by_prompt)} prompts)" if len(few) > MAX_PROMPTS_LISTED else ""
        where = f"rows of {METADATA}" if listed else f"{sample_name(0, 0)}, {sample_name(0, 1)} and so on"
        yield (
            f"{folder} has too few images: {', '.join(few[:MAX_PROMPTS_LISTED])}{more}; expected "
            f"evaluation.samples={samples} of each evaluation prompt, as {where} ({', '.join(FORMATS)})."
        )


def _digest(chosen: dict[str, list[Path]], files: dict[Path, ImageFile | str]) -> str:
    parts = [
        [text, [one.sha256 for path in paths if isinstance(one := files[path], ImageFile)]]
        for text, paths in chosen.items()
    ]
    return json_digest(parts)
