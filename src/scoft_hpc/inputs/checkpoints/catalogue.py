"""The checkpoints of pre-trained networks that a run may read, beside its base model."""

from __future__ import annotations

from collections.abc import Iterator

from scoft_hpc.config.command_configs import CaptionSource
from scoft_hpc.config.schema import Scoring
from scoft_hpc.inputs.checkpoints.spec import CheckpointSpec

VGG16_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of VGG16's convolutions; after each follows a ReLU, after each block a pooling."""


def _vgg16_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the convolutions' weights, as torchvision numbers its layers."""
    index, width = 0, 3
    for block in VGG16_BLOCKS:
        for fan_out in block:
            yield f"features.{index}.weight", (fan_out, width, 3, 3)
            yield f"features.{index}.bias", (fan_out,)
            index, width = index + 2, fan_out
        index += 1


DREAMSIM_FILES = (
    "dino_vitb16_pretrain.pth",
    "clip_vitb16_pretrain.pth.tar",
    "open_clip_vitb16_pretrain.pth.tar",
    "ensemble_lora/adapter_config.json",
    "checkpoints/dino_vitbase16_pretrain.pth",
    "facebookresearch_dino_main/hubconf.py",
)
"""What the dreamsim package downloads into its `cache_dir`, beside the ensemble's adapter in one of two forms."""
DREAMSIM_ADAPTERS = ("ensemble_lora/adapter_model.safetensors", "ensemble_lora/adapter_model.bin")


def _feature_network(repository: str, weights: str, *kinds: str) -> CheckpointSpec:
    return CheckpointSpec(
        setting="objective.distance_path",
        repository=repository,
        include=("config.json", weights),
        kinds=kinds,
        pickle="pytorch_model.bin",
        digested=("config.json", "model.safetensors.index.json"),
    )


DISTANCES = {
    "dreamsim": CheckpointSpec(
        setting="objective.distance_path",
        repository=None,
        weights=None,
        required=DREAMSIM_FILES,
        alternatives=(DREAMSIM_ADAPTERS,),
        digested=(*DREAMSIM_FILES, *DREAMSIM_ADAPTERS),
        package="dreamsim",
        extra="perceptual",
        fill="python -c \"from dreamsim import dreamsim; dreamsim(device='cpu', cache_dir='{folder}')\"",
    ),
    "dino": _feature_network("facebook/dinov2-large", "model.safetensors", "dinov2"),
    "clip": _feature_network(
        "openai/clip-vit-base-patch32", "pytorch_model.bin", "clip", "clip_vision_model"
    ),
    "blip2": _feature_network("Salesforce/blip2-itm-vit-g", "model.safetensors", "blip-2"),
    "vgg": CheckpointSpec(
        setting="objective.vgg_path",
        repository="timm/vgg16.tv_in1k",
        include=("model.safetensors",),
        tensors=dict(_vgg16_shapes()),
        single_file=True,
    ),
}
"""The networks of the perceptual distances; `toy` ships with the package."""

EMBEDDERS = {
    "features": CheckpointSpec(
        setting="scoring.features_path",
        repository="facebook/dinov2-large",
        include=("*.json", "*.txt", "model.safetensors"),
        kinds=("dinov2",),
    ),
    "clip": CheckpointSpec(
        setting="scoring.clip",
        repository=Scoring().clip,
        include=("*.json", "*.txt", "model.safetensors"),
        kinds=("clip",),
        required=("config.json", "tokenizer.json"),
    ),
}
"""The embedders of the metrics."""

DEPTH = CheckpointSpec(
    setting="data.negatives.depth_path",
    repository="Intel/dpt-large",
    include=("config.json", "preprocessor_config.json", "model.safetensors"),
    kinds=("DPTForDepthEstimation",),
    kind_key="architectures",
    required=("config.json", "preprocessor_config.json"),
    digested=("config.json", "preprocessor_config.json"),
)
CONTROLNET = CheckpointSpec(
    setting="data.negatives.controlnet_path",
    repository="lllyasviel/sd-controlnet-depth",
    include=("config.json", "diffusion_pytorch_model.safetensors"),
    kinds=("ControlNetModel",),
    kind_key="_class_name",
    weights="diffusion_pytorch_model.safetensors",
)

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")


def _captioner(repository: str, kind: str) -> CheckpointSpec:
    others = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
    return CheckpointSpec(
        setting="data.captions.path",
        repository=repository,
        include=("*.json", "*.txt", "*.safetensors"),
        kinds=(kind,),
        alternatives=(PROCESSORS, TOKENIZERS),
        digested=("config.json", *PROCESSORS, *TOKENIZERS, *others),
    )


CAPTIONERS = {
    CaptionSource.blip: _captioner("Salesforce/blip-image-captioning-large", "blip"),
    CaptionSource.blip2: _captioner("Salesforce/blip2-opt-2.7b", "blip-2"),
}
