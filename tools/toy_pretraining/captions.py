"""The toy world's tokenizer and text encoder, of the classes that Stable Diffusion uses."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from scoft_hpc.inputs.toy.scenes import CULTURES, PLACES, STYLES, SUBJECTS

MAX_LENGTH = 24
WIDTH = 96


def words() -> list[str]:
    """Every word of the world's captions."""
    phrases = ["a in", *CULTURES, *SUBJECTS, *PLACES, *(style.name for style in STYLES)]
    return sorted({word for phrase in phrases for word in phrase.split()})


def byte_pair_merges(vocabulary: list[str]) -> list[tuple[str, str]]:
    """The merges, most frequent pair first, after which each word of `vocabulary` is one token."""
    spelled = [(*word[:-1], word[-1] + "</w>") for word in vocabulary]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for word in spelled for pair in pairwise(word)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spelled = [_merge(word, best) for word in spelled]
    return merges


def _merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for symbol in word:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return tuple(merged)


def new_tokenizer() -> Any:
    """A CLIPTokenizer with all 256 bytes, so that no text is unknown, and the world's words whole."""
    letters = sorted(ByteLevel.alphabet())
    merges = byte_pair_merges(words())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *(left + right for left, right in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def new_text_config(tokenizer: Any, **more: Any) -> Any:
    """The shape of a text encoder for the tokenizer."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )


def new_text_encoder(tokenizer: Any) -> Any:
    """An untrained CLIPTextModel for the tokenizer."""
    return CLIPTextModel(new_text_config(tokenizer))


def token_ids(tokenizer: Any, captions: list[str]) -> Any:
    """int64 [N, MAX_LENGTH], padded and truncated."""
    return tokenizer(
        captions, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
