"""What the toy world's CLIP sees, measured from its files: as CLIP, and as a feature that knows a picture again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPTokenizer

from scoft_hpc.inputs.toy.scenes import CULTURES, STYLES, SUBJECTS, own_style
from scoft_hpc.inputs.toy.world import curated_scenes, prompts
from scoft_hpc.models.toy_networks import Scorer
from toy_pretraining.autoencoder import reconstructions
from toy_pretraining.clip import PREFIX, load_clip, pixel_values
from toy_pretraining.web_dataset import ImageDataset, pictures_of

Feature = Callable[[Tensor], Tensor]
"""Pictures [N, 3, 64, 64] in [-1, 1] -> features [N, D]."""

NOISE = 0.1
"""Standard deviation of the noise in a noisy copy, of pictures in [-1, 1]."""
CURATED = 28
"""Pictures of a culture's training set, and as many held out."""
SCORE_WEIGHT = 2.5


class Clip:
    """The stored network and its tokenizer; embeddings have length 1."""

    def __init__(self, folder: Path) -> None:
        self.network = load_clip(folder)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)

    @torch.no_grad()
    def seen(self, x: Tensor) -> Any:
        """What the vision tower gives for pictures x."""
        return self.network.vision_model(pixel_values=pixel_values(x))

    @torch.no_grad()
    def images(self, x: Tensor) -> Tensor:
        """Pictures [N, 3, 64, 64] -> [N, D]."""
        return normalize(self.network.visual_projection(self.seen(x).pooler_output), dim=1)

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Tensor:
        """N texts -> [N, D], each after CLIPScore's prefix."""
        tokens = self.tokenizer([PREFIX + text for text in texts], padding=True, return_tensors="pt")
        return normalize(self.network.text_projection(self.network.text_model(**tokens).pooler_output), dim=1)


def subjects_read(clip: Clip, x: Tensor, pictures: ImageDataset) -> dict[str, float]:
    """How x, which shows `pictures`, and the captions "a house" … find each other.

    accuracy: share of pictures nearest to their own subject's caption; matching and mismatching: the mean cosine to
    their own caption and to the seven others.
    """
    cosines = clip.images(x) @ clip.texts([f"a {subject}" for subject in SUBJECTS]).T
    shown = pictures.labels[:, 1]
    own = cosines.gather(1, shown[:, None])
    return {
        "accuracy": round((cosines.argmax(1) == shown).float().mean().item(), 4),
        "matching": round(own.mean().item(), 4),
        "mismatching": round(((cosines.sum(1, keepdim=True) - own) / (len(SUBJECTS) - 1)).mean().item(), 4),
    }


def style_scores(clip: Clip, culture: str) -> dict[str, float]:
    """Mean CLIPScore of "a house in korea" … for the culture's held-out scenes, drawn in different styles.

    default: in the style of the web; own: in the culture's; foreign: in the other cultures', on average.
    """
    scenes = curated_scenes(culture, "test", CURATED)
    texts = clip.texts([prompts(culture)[SUBJECTS.index(scene.subject)] for scene in scenes])
    scores = []
    for style in range(len(STYLES)):
        x = pictures_of([replace(scene, style=style) for scene in scenes]).x(slice(None))
        scores.append((clip.images(x) * texts).sum(1).clamp_min(0).mean().item() * SCORE_WEIGHT)
    own = own_style(culture)
    foreign = [scores[style] for style in range(1, len(STYLES)) if style != own]
    return {
        "default": round(scores[0], 4),
        "own": round(scores[own], 4),
        "foreign": round(sum(foreign) / len(foreign), 4),
    }


def features_of(clip: Clip, scorer: Scorer) -> dict[str, Feature]:
    """Features to know a picture again by, under the names that recipe.json has."""
    return {
        "pooled": lambda x: clip.seen(x).pooler_output,
        "mean_patch": lambda x: clip.seen(x).last_hidden_state[:, 1:].mean(1),
        "scorer_trunk": lambda x: scorer.trunk(x),
    }


def copies_of(vae: Any, pictures: ImageDataset) -> dict[str, Tensor]:
    """Copies of the pictures, [N, 3, 64, 64]: with noise, redrawn by the autoencoder, and both."""
    generator = torch.Generator().manual_seed(0)
    noise = NOISE * torch.randn(pictures.pixels.shape, generator=generator)
    redrawn = reconstructions(vae, pictures)
    return {"noisy": pictures.x(slice(None)) + noise, "redrawn": redrawn, "both": redrawn + noise}


@torch.no_grad()
def recognition(vae: Any, features: dict[str, Feature]) -> dict[str, dict[str, dict[str, float]]]:
    """How well each feature knows copies of training pictures again, on average over cultures.

    top1: share of copies nearest, by cosine, to the picture they were made of, among the culture's 28.
    caught: share of copies nearer to a training picture than each of the culture's 28 held-out pictures is.
    """
    found: dict[str, dict[str, dict[str, list[float]]]] = {name: {} for name in features}
    for culture in CULTURES:
        train, held_out = (pictures_of(curated_scenes(culture, s, CURATED)) for s in ("train", "test"))
        copies = copies_of(vae, train)
        for name, feature in features.items():
            known = normalize(feature(train.x(slice(None))), dim=1).T
            strange = (normalize(feature(held_out.x(slice(None))), dim=1) @ known).max()
            for kind, x in copies.items():
                cosines = normalize(feature(x), dim=1) @ known
                rates = found[name].setdefault(kind, {"top1": [], "caught": []})
                rates["top1"].append((cosines.argmax(1) == torch.arange(CURATED)).float().mean().item())
                rates["caught"].append((cosines.amax(1) > strange).float().mean().item())
    return {
        name: {
            kind: {rate: round(sum(each) / len(each), 4) for rate, each in rates.items()}
            for kind, rates in kinds.items()
        }
        for name, kinds in found.items()
    }


def measure_clip(
    folder: Path, vae: Any, scorer: Scorer, held_out: ImageDataset, redrawn: Tensor
) -> dict[str, Any]:
    """All measured numbers of the CLIP in `folder`; `redrawn` is `held_out` after the autoencoder."""
    clip = Clip(folder)
    return {
        "temperature": round(1 / clip.network.logit_scale.exp().item(), 4),
        "subjects_on_renders": subjects_read(clip, held_out.x(slice(None)), held_out),
        "subjects_on_reconstructions": subjects_read(clip, redrawn, held_out),
        "clip_score": {culture: style_scores(clip, culture) for culture in CULTURES},
        "recognition": recognition(vae, features_of(clip, scorer)),
    }
