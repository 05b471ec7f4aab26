"""Generic captions of images: BLIP (Li et al. 2022) and BLIP-2 (Li et al. 2023) through transformers.

Finding and checking a captioner's folder loads no torch; the networks are imported when they are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoft_hpc.config.command_configs import Captions, CaptionSource
from scoft_hpc.inputs.checkpoints import hub
from scoft_hpc.inputs.checkpoints.catalogue import CAPTIONERS
from scoft_hpc.inputs.checkpoints.spec import checkpoint_digest, locate
from scoft_hpc.models.network import load_network

if TYPE_CHECKING:
    import torch
    from PIL import Image

MAX_CAPTION_TOKENS = 40
NETWORKS = {
    CaptionSource.blip: "BlipForConditionalGeneration",
    CaptionSource.blip2: "Blip2ForConditionalGeneration",
}
"""The captioners' classes in transformers."""


@dataclass(frozen=True)
class CaptionerFiles:
    """A captioner on disk; `name` is written beside its captions, to say which network they are from."""

    source: CaptionSource
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
        """A caption of each RGB image, decoded greedily: the most likely token each time."""
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
    spec = CAPTIONERS[captions.source]
    folder = locate(spec, captions.path)
    value = captions.path or spec.repository or ""
    name = value if hub.HUB_ID.fullmatch(value) else folder.name
    return CaptionerFiles(captions.source, folder, f"{name} ({checkpoint_digest(spec, folder)})")


def load(files: CaptionerFiles, device: torch.device) -> Captioner:
    """Read it as it is; on a GPU BLIP-2, which has 3.7 billion parameters, is read in fp16.

    Raises:
        ConfigError: if the folder does not hold the whole network.
    """
    import torch
    import transformers

    half = device.type == "cuda" and files.source is CaptionSource.blip2
    kind = getattr(transformers, NETWORKS[files.source])
    network = load_network(kind, files.folder, dtype=torch.float16 if half else torch.float32)
    processor = transformers.BlipImageProcessorPil.from_pretrained(files.folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(files.folder, local_files_only=True)
    return Captioner(network.to(device), processor, tokenizer, device)
