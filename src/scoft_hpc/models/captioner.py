"""Generic captions of images: BLIP (Li et al. 2022) and BLIP-2 (Li et al. 2023) through transformers.

Finding and checking a captioner's folder loads no torch; the networks are imported when they are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoft_hpc.config.command_configs import Captions, CaptionSource
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import hub, safetensors_header
from scoft_hpc.inputs.checkpoints.digest import digest
from scoft_hpc.inputs.checkpoints.files import shards
from scoft_hpc.models.network import load_network
from scoft_hpc.study.json_files import read_json

if TYPE_CHECKING:
    import torch
    from PIL import Image

SETTING = "data.captions.path"
WEIGHTS = "model.safetensors"
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
OTHERS = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
MAX_CAPTION_TOKENS = 40
"""Tokens of a caption."""


@dataclass(frozen=True)
class CaptionerFamily:
    """A captioner's own hub id, its class in transformers and its `model_type` in config.json."""

    hub: str
    network: str
    kind: str


FAMILIES = {
    CaptionSource.blip: CaptionerFamily(
        "Salesforce/blip-image-captioning-large", "BlipForConditionalGeneration", "blip"
    ),
    CaptionSource.blip2: CaptionerFamily(
        "Salesforce/blip2-opt-2.7b", "Blip2ForConditionalGeneration", "blip-2"
    ),
}


@dataclass(frozen=True)
class CaptionerFiles:
    """A captioner on disk; `name` says which it is, for whoever reads the captions later."""

    family: CaptionerFamily
    folder: Path
    name: str


@dataclass(frozen=True)
class Captioner:
    """The network, frozen, with its image processor and tokenizer."""

    network: Any
    processor: Any
    tokenizer: Any
    device: torch.device

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """A caption of each RGB image, the likeliest word by word: nothing is drawn at random."""
        import torch

        pixels = self.processor(list(images), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            tokens = self.network.generate(
                pixel_values=pixels.to(self.device, self.network.dtype),
                max_new_tokens=MAX_CAPTION_TOKENS,
                do_sample=False,
                num_beams=1,
            )
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def find(captions: Captions) -> CaptionerFiles:
    """The captioner that is asked for, whole and in safetensors.

    Raises:
        ConfigError: if it is missing, half-downloaded, in pickle form or another model.
    """
    family = FAMILIES[captions.source]
    given = captions.path or family.hub
    folder = hub.find(given, SETTING, needs=("config.json",))
    if faults := _faults(folder, family):
        raise ConfigError(
            f"{SETTING}={given}: {'; '.join(faults)}{hub.broken_off(folder)}. Get a whole {family.network} where "
            f"there is a network: {hub.download(given, None, ('*.json', '*.txt', '*.safetensors'), folder)}"
        )
    names = [name for name in ("config.json", *PROCESSORS, *TOKENIZERS, *OTHERS) if (folder / name).is_file()]
    name = given if hub.HUB_ID.fullmatch(given) else folder.name
    return CaptionerFiles(family, folder, f"{name} ({digest(folder, [*names, *_weights(folder)])})")


def load(found: CaptionerFiles, device: torch.device) -> Captioner:
    """Read it as it is; on a GPU BLIP-2, which has 3.7 billion parameters, is read in fp16.

    Raises:
        ConfigError: if the folder does not hold the whole network.
    """
    import torch
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    half = device.type == "cuda" and found.family is FAMILIES[CaptionSource.blip2]
    kind = getattr(transformers, found.family.network)
    network = load_network(kind, found.folder, dtype=torch.float16 if half else torch.float32)
    processor = transformers.BlipImageProcessorPil.from_pretrained(found.folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(found.folder, local_files_only=True)
    return Captioner(network.requires_grad_(False).eval().to(device), processor, tokenizer, device)


def _faults(folder: Path, family: CaptionerFamily) -> list[str]:
    faults = []
    if (kind := read_json(folder / "config.json").get("model_type")) != family.kind:
        faults.append(f"config.json says model_type: {kind!r}; expected {family.kind!r}")
    if not any((folder / name).is_file() for name in PROCESSORS):
        faults.append(f"{PROCESSORS[0]} is missing")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        faults.append(f"{TOKENIZERS[0]} is missing")
    weights = _weights(folder)
    if not weights:
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        found = f"; {', '.join(pickles)}: a pickle can run code when it is loaded, and is refused"
        faults.append(f"{WEIGHTS} is missing{found if pickles else ''}")
    return faults + [
        f"{name} {fault}" for name in weights if (fault := safetensors_header.fault(folder / name))
    ]


def _weights(folder: Path) -> list[str]:
    return [path.name for path in shards(folder / WEIGHTS)]
