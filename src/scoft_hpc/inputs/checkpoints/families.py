"""What a plan knows of each family of base models, without torch; `models.families` loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from scoft_hpc.config.schema import Model, NegativeSource, RunConfig, Variant
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import base_model


@dataclass(frozen=True)
class ModelFamily:
    """A family of base models.

    Attributes:
        resolve: the model with absolute paths and the digest of what a run reads; raises ConfigError for a checkpoint
            that cannot be used.
        negatives: the ways in which its models can draw negatives.
        kohya: whether other programs read its adapters in sd-scripts' form (`lora.kohya`).
        pipeline, scheduler: classes of diffusers that draw with its adapters, for the model card; no scheduler: the
            pipeline's own.
        tag: of its models on the Hugging Face hub.
        sampling_faults: of a resolved model and settings (name: number of sampler steps), those that it has too few
            timesteps for, as sentences.
    """

    resolve: Callable[[Model], Model]
    negatives: frozenset[NegativeSource]
    kohya: bool
    pipeline: str
    scheduler: str | None
    tag: str
    sampling_faults: Callable[[Model, Mapping[str, int]], Iterator[str]] = lambda model, steps: iter(())


FAMILIES: dict[str, ModelFamily] = {
    "stable_diffusion": ModelFamily(
        resolve=base_model.resolve,
        negatives=frozenset(NegativeSource),
        kohya=True,
        pipeline="StableDiffusionPipeline",
        scheduler="DPMSolverMultistepScheduler",
        tag="stable-diffusion",
        sampling_faults=base_model.sampling_faults,
    ),
}


def family_of(model: Model) -> ModelFamily:
    """The family that `model.family` names.

    Raises:
        ConfigError: for any other name.
    """
    if model.family not in FAMILIES:
        raise ConfigError(f"model.family={model.family}: not known; it is one of {', '.join(FAMILIES)}.")
    return FAMILIES[model.family]


def resolve(model: Model) -> Model:
    """The model with an absolute path and the digest of what a run reads.

    Raises:
        ConfigError: if something of it is missing or cannot be used.
    """
    return family_of(model).resolve(model)


def faults(config: RunConfig) -> Iterator[str]:
    """What the run asks for that its model's family does not have, as sentences."""
    if config.model.family not in FAMILIES:
        return  # `resolve` says so
    family, source = FAMILIES[config.model.family], config.data.negatives.source
    if config.variant is not Variant.base and source not in family.negatives:
        others = " or ".join(f"negatives={one.name}" for one in NegativeSource if one in family.negatives)
        yield f"negatives={source.name} cannot be used with model.family={config.model.family}; take {others}."
    if config.lora.kohya and not family.kohya:
        yield (
            f"lora.kohya=true cannot be used with model.family={config.model.family}: no program reads its adapters in "
            f"that form; leave it out."
        )
