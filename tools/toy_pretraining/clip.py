"""Pre-training of the toy world's CLIP on the web, the class and the loss of the real one."""

from __future__ import annotations

import logging
import time
from math import log as ln
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from toy_pretraining.captions import new_text_config, new_tokenizer, token_ids
from toy_pretraining.classifiers import worn
from toy_pretraining.web_dataset import ImageDataset, batches

log = logging.getLogger(__name__)

BATCH, LEARNING_RATE, WEIGHT_DECAY = 128, 1e-3, 0.05
DIMENSIONS = 64
"""Of the space in which pictures and texts are compared."""
PREFIX = "a photo depicts "
"""What CLIPScore puts before each text. The web has no such caption, so half of them are given it."""


def new_clip(tokenizer: Any) -> Any:
    """An untrained CLIPModel of about 0.7 M parameters for pictures of 64 pixels, patch 8."""
    vision = {
        "image_size": 64,
        "patch_size": 8,
        "hidden_size": 112,
        "intermediate_size": 336,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "projection_dim": DIMENSIONS,
    }
    text = new_text_config(tokenizer, projection_dim=DIMENSIONS).to_dict()
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=DIMENSIONS))


def pixel_values(x: Tensor) -> Tensor:
    """Pictures [N, 3, 64, 64] in [-1, 1] with CLIP's colours, which are OpenAI's."""
    mean, std = (torch.tensor(colour).view(3, 1, 1) for colour in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    return ((x + 1) / 2 - mean) / std


def train_clip(pictures: ImageDataset, redrawn: Tensor, steps: int, seed: int) -> Any:
    """A CLIPModel that learned from renders and from `redrawn`, the same pictures after the autoencoder, both worn.

    The loss is CLIP's own, with a learned temperature: in a batch the pictures and captions that belong together are
    to be found, even where another picture has the same caption.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    tokenizer = new_tokenizer()
    network = new_clip(tokenizer).train()
    ids = torch.stack(
        [token_ids(tokenizer, [start + text for text in pictures.captions]) for start in ("", PREFIX)]
    )
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    began = time.monotonic()
    for step, index in enumerate(batches(len(pictures), BATCH, steps, generator)):
        pick = torch.rand(len(index), 1, 1, 1, generator=generator) < 0.5
        x = worn(torch.where(pick, redrawn[index], pictures.x(index)), generator)
        started = torch.randint(2, (len(index),), generator=generator)
        loss = network(input_ids=ids[started, index], pixel_values=pixel_values(x), return_loss=True).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        network.logit_scale.data.clamp_(0, ln(100))
        if step % 50 == 0 or step == steps - 1:
            log.info(
                "clip %d/%d loss %.4f scale %.1f (%.0f s)",
                step,
                steps,
                loss.item(),
                network.logit_scale.exp().item(),
                time.monotonic() - began,
            )
    return network.eval().requires_grad_(False)


def save_clip(network: Any, folder: Path) -> None:
    """Write the network as fp16 safetensors, with its tokenizer and image processor: the layout of the real ones."""
    new_tokenizer().save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}).save_pretrained(
        folder
    )
    network.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    (folder / "model.safetensors").chmod(0o644)


def load_clip(folder: Path) -> Any:
    """The network as it is stored, in fp32."""
    return (
        CLIPModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        .eval()
        .requires_grad_(False)
    )
