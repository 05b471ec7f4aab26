"""A single-file checkpoint in the original layout, read by diffusers' own conversion with the configs that ship."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from transformers import CLIPTokenizer

from scoft_hpc.config.schema import Model
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import architecture
from scoft_hpc.models.components import PAD_TOKENS, ModelComponents
from scoft_hpc.text import first_line


def load(model: Model, dtype: torch.dtype) -> ModelComponents:
    """The model at `model.path`; pickles are read with torch's weights_only.

    Raises:
        ConfigError: if the file's tensors are not the architecture's.
    """
    from diffusers import (
        StableDiffusionPipeline,  # importing it warns of what a pipeline may lack and this needs not
    )

    with tempfile.TemporaryDirectory() as folder:
        configs = Path(folder)
        architecture.write(model.architecture, model.shrink, configs)
        scheduler = DDPMScheduler.from_pretrained(configs / "scheduler", local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(
            model.tokenizer, pad_token=PAD_TOKENS[model.architecture], local_files_only=True
        )
        try:
            pipeline = StableDiffusionPipeline.from_single_file(
                model.path,
                config=str(configs),
                torch_dtype=dtype,
                local_files_only=True,
                tokenizer=tokenizer,
                scheduler=scheduler,
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
            )
        except Exception as error:  # whatever the conversion trips over
            raise ConfigError(
                f"model.path={model.path} cannot be read as model.architecture={model.architecture.name} "
                f"({type(error).__name__}: {first_line(error)}). Check the architecture, or convert the file "
                f"to a folder with diffusers' scripts/convert_original_stable_diffusion_to_diffusers.py."
            ) from error
    return ModelComponents(pipeline.vae, pipeline.unet, pipeline.text_encoder, tokenizer, scheduler)
