"""A run's model card: the README.md beside its adapter, in the form of the Hugging Face hub."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import ModelCardData
from jinja2 import Environment, StrictUndefined

from scoft_hpc.config.schema import ContrastiveForm, Objective, RunConfig, Variant
from scoft_hpc.config.terms import TERMS, Term, needs_rollout
from scoft_hpc.inputs.checkpoints.families import family_of
from scoft_hpc.inputs.checkpoints.hub import is_repository
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import RunDir

TEMPLATE = Path(__file__).with_name("model_card.md.j2")
WEIGHTS, KOHYA = RunDir(Path()).lora.name, RunDir(Path()).lora_kohya.name
SNAPSHOT = re.compile(r"/models--([^/]+?)--([^/]+)/snapshots/[^/]+/?$")
"""Where huggingface_hub's cache keeps OWNER/NAME."""

LICENSES = (
    (r"(CompVis|runwayml|sd-legacy|stable-diffusion-v1-5)/stable-diffusion-v1-\d", "creativeml-openrail-m"),
    (r"(stabilityai|sd2-community)/stable-diffusion-2(-1)?(-base)?", "openrail++"),
)
"""The licence of a base, by its hub id; no other base's is guessed."""

NAMES = {Term.ldm: "L_LDM", Term.m: "L_M", Term.p: "L_P", Term.c: "L_C", Term.vgg: "VGG"}


def write_card(path: Path, config: RunConfig, *, pairs: int, samples: Sequence[tuple[str, str]] = ()) -> None:
    """Write the card of a run that has trained. The same run gives the same bytes.

    Args:
        path: the README.md, in the run's folder.
        pairs: that the run trained on.
        samples: (prompt, path of its image from the card's folder), for the hub to show.
    """
    path_of_base = config.model.path
    hub_id = hub_id_of(path_of_base)
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["string_literal"] = lambda text: json.dumps(str(text), ensure_ascii=False)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        data=_data(config, hub_id, samples).to_yaml(line_break="\n").strip(),
        config=config,
        family=family_of(config.model),
        pairs=pairs,
        hub_id=hub_id,
        base_words=f"[{hub_id}](https://huggingface.co/{hub_id})" if hub_id else f"`{config.model.name}`",
        load_from=hub_id or Path(path_of_base).name,
        single_file=Path(path_of_base).suffix in (".safetensors", ".ckpt"),
        prompt=samples[0][0] if samples else f"a house in {config.culture}",
        weights=WEIGHTS,
        kohya=KOHYA,
        facts=_facts(config, pairs),
        loss=loss(config.variant, config.objective),
    )
    atomic.write_text(path, text)


def hub_id_of(path: str) -> str | None:
    """OWNER/NAME of a snapshot in the hub's cache, or of what is a hub id itself; None for any other path."""
    if match := SNAPSHOT.search(path):
        return "/".join(match.groups())
    return path if is_repository(path) else None


def loss(variant: Variant, objective: Objective) -> str:
    """The variant's weighted terms, as a sentence of mathematics."""
    terms = [term for term in Term if term in TERMS[variant] and objective.weight(term)]
    text = " + ".join(f"{objective.weight(term):g} {NAMES[term]}" for term in terms)
    if not needs_rollout(variant):
        return text
    text += (
        f", with `{objective.distance}` as the distance S; one in {objective.every} of the "
        f"{objective.cadence.name.replace('_', '-')}s has the terms after L_M, on a rollout of "
        f"{objective.rollout_steps} steps at guidance {objective.guidance:g} with the gradient of its "
        f"{objective.gradient.name} call"
    )
    if Term.c in TERMS[variant] and objective.form is ContrastiveForm.triplet:
        text += f"; L_C as a triplet, λ {objective.triplet_lambda:g}, margin {objective.triplet_margin:g}"
    return text


def _data(config: RunConfig, hub_id: str | None, samples: Sequence[tuple[str, str]]) -> ModelCardData:
    known = [name for pattern, name in LICENSES if hub_id and re.fullmatch(pattern, hub_id)]
    return ModelCardData(
        base_model=hub_id,
        base_model_relation="adapter" if hub_id else None,
        license=known[0] if known else None,
        library_name="diffusers",
        pipeline_tag="text-to-image",
        tags=["text-to-image", "diffusers", "lora", family_of(config.model).tag, "scoft", config.culture],
        widget=[{"text": prompt, "output": {"url": path}} for prompt, path in samples] or None,
    )


def _facts(config: RunConfig, pairs: int) -> list[tuple[str, str]]:
    """What made the adapter, a row each."""
    model, train, lora = config.model, config.train, config.lora
    alpha = lora.rank if lora.alpha is None else lora.alpha
    return [
        ("culture", f"`{config.culture}`, {pairs} pairs, data digest `{config.data.digest}`"),
        (
            "base",
            f"`{model.name}` at {model.resolution} px in {model.precision.name}, digest `{model.digest}`",
        ),
        ("variant", f"`{config.variant.name}`"),
        ("updates", f"{train.updates(pairs)} of {train.batch} pairs"),
        (
            "optimiser",
            f"AdamW, learning rate {train.lr:g} ({train.schedule.name}), weight decay {train.weight_decay:g}",
        ),
        ("LoRA", f"rank {lora.rank}, alpha {alpha:g}, on {', '.join(f'`{name}`' for name in lora.targets)}"),
        ("seed", str(config.seed)),
    ]
