"""Tiny random BLIP and BLIP-2 of the real classes, saved in the layouts of the hub's own."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    GPT2Tokenizer,
)
from transformers.utils import logging

VOCABULARY = [
    *("a", "the", "house", "tower", "person", "with", "blue", "red", "leg", "arm", "field"),
    *("of", "water", "and", "on", "in", "dog", "street", "white", "door"),
]
SIDE = 32
NARROW = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**NARROW, "image_size": SIDE, "patch_size": 8}
PICTURES = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})


def blip(folder: Path, seed: int = 0) -> Path:
    """One file of weights, preprocessor_config.json, vocab.txt. Its first token, as the real one's, is no word."""
    folder.mkdir(parents=True)
    logging.disable_progress_bar()
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *VOCABULARY]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    text = NARROW | {
        "vocab_size": len(tokens) + 1,
        "encoder_hidden_size": NARROW["hidden_size"],
        "max_position_embeddings": 64,
        "bos_token_id": len(tokens),
        "pad_token_id": 0,
        "eos_token_id": 3,
        "sep_token_id": 3,
    }
    torch.manual_seed(seed)
    config = BlipConfig(text_config=text, vision_config=VISION, projection_dim=16)
    _talkative(BlipForConditionalGeneration(config)).save_pretrained(folder)
    BertTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    PICTURES.save_pretrained(folder)
    return folder


def blip2(folder: Path, seed: int = 0) -> Path:
    """Weights in shards with an index, processor_config.json, tokenizer.json."""
    folder.mkdir(parents=True)
    logging.disable_progress_bar()
    tokens = ["<pad>", "</s>", "<image>", *(f"Ġ{token}" for token in VOCABULARY)]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = GPT2Tokenizer.from_pretrained(
        folder, local_files_only=True, bos_token="</s>", eos_token="</s>", pad_token="<pad>", unk_token="</s>"
    )
    torch.manual_seed(seed)
    config = Blip2Config(
        vision_config=VISION,
        qformer_config=NARROW | {"encoder_hidden_size": 16, "cross_attention_frequency": 1, "vocab_size": 8},
        text_config={
            "model_type": "opt",
            "vocab_size": len(tokens),
            "hidden_size": 16,
            "word_embed_proj_dim": 16,
            "ffn_dim": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
            "bos_token_id": 1,
            "eos_token_id": 1,
            "pad_token_id": 0,
        },
        num_query_tokens=4,
        image_token_index=2,
    )
    network = _talkative(Blip2ForConditionalGeneration(config))
    network.save_pretrained(folder, max_shard_size="20KB")
    Blip2Processor(PICTURES, tokenizer, num_query_tokens=4).save_pretrained(folder)
    return folder


def _talkative(network: nn.Module) -> nn.Module:
    """Large random weights, so that what is said depends on what is seen."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1 and "embed" not in name:
                parameter.normal_(0, 0.5)
            if "query_tokens" in name:
                parameter.normal_()
    return network
