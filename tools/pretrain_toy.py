"""Make the toy world's networks from nothing: `python tools/pretrain_toy.py --out DIR`.

Writes `base/`, `feature_net.safetensors`, `scorer.safetensors`, `clip/` and, last, `recipe.json` into DIR; a stage
whose files are in DIR already is kept as it is. `--measure [DIR]` trains nothing and prints the measured numbers of the
files in DIR, or of those in the package.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import save

from scoft_hpc.inputs.toy.world import ASSETS, RECIPE
from scoft_hpc.models.toy_networks import load_feature_net, load_scorer
from scoft_hpc.study.atomic import write_bytes, write_json
from toy_pretraining.autoencoder import (
    load_autoencoder,
    reconstructions,
    save_autoencoder,
    train_autoencoder,
)
from toy_pretraining.classifiers import train_feature_net, train_scorer
from toy_pretraining.clip import load_clip, save_clip, train_clip
from toy_pretraining.denoiser import save_base, train_denoiser
from toy_pretraining.measure import load_base, measure
from toy_pretraining.web_dataset import any_pictures, fp16, web_pictures


@dataclass(frozen=True)
class Recipe:
    """Seeds and sizes of one pre-training. Each network has a seed of its own."""

    web_pictures: int = 16_000
    any_pictures: int = 8_000
    held_out_pictures: int = 960
    autoencoder_steps: int = 1_500
    feature_net_steps: int = 400
    scorer_steps: int = 400
    denoiser_steps: int = 1_600
    clip_pictures: int = 8_000
    clip_steps: int = 500
    clip_threads: int = 1
    samples_per_prompt: int = 8
    pictures_seed: int = 1
    held_out_seed: int = 2
    autoencoder_seed: int = 11
    feature_net_seed: int = 12
    scorer_seed: int = 13
    denoiser_seed: int = 14
    clip_seed: int = 15


def pretrain(out: Path, recipe: Recipe) -> None:
    """Train in four stages and write each one's files to `out`. A stage whose files are there is not trained again."""
    seen = any_pictures(recipe.any_pictures, recipe.pictures_seed)
    vae_folder = out / "base" / "vae"
    if not vae_folder.exists():
        save_autoencoder(
            train_autoencoder(seen, recipe.autoencoder_steps, recipe.autoencoder_seed), vae_folder
        )
    vae = load_autoencoder(vae_folder)

    if not (out / "scorer.safetensors").exists():
        feature_net = train_feature_net(seen, recipe.feature_net_steps, recipe.feature_net_seed)
        write_bytes(out / "feature_net.safetensors", save(fp16(feature_net.state_dict())))
        scorer = train_scorer(seen, reconstructions(vae, seen), recipe.scorer_steps, recipe.scorer_seed)
        write_bytes(out / "scorer.safetensors", save(fp16(scorer.state_dict())))

    if not (out / "base" / "unet").exists():
        web = web_pictures(recipe.web_pictures, recipe.pictures_seed)
        save_base(train_denoiser(vae, web, recipe.denoiser_steps, recipe.denoiser_seed), out / "base")

    if not (out / "clip" / "model.safetensors").exists():
        with _threads(recipe.clip_threads):
            web = web_pictures(recipe.clip_pictures, recipe.clip_seed)  # not those that the base has seen
            clip = train_clip(web, reconstructions(vae, web), recipe.clip_steps, recipe.clip_seed)
        save_clip(clip, out / "clip")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """With that many threads of torch: another number sums in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write_recipe(out: Path, recipe: Recipe) -> dict[str, Any]:
    """Measure the files in `out` and write `recipe.json`, which is returned."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != "recipe.json")
    written = {
        "world": RECIPE,
        "recipe": asdict(recipe),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
        "parameters": parameters(out),
        "bytes": sum(path.stat().st_size for path in files),
        "sha256": {
            path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        },
        "measured": measured(out, recipe),
    }
    write_json(out / "recipe.json", written)
    return written


def parameters(out: Path) -> dict[str, int]:
    """The number of weights of each network."""
    base = load_base(out / "base")
    networks = {
        "vae": base.vae,
        "unet": base.unet,
        "text_encoder": base.text_encoder,
        "feature_net": load_feature_net(out),
        "scorer": load_scorer(out),
        "clip": load_clip(out / "clip"),
    }
    return {
        name: sum(weight.numel() for weight in network.parameters()) for name, network in networks.items()
    }


def measured(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """The measured numbers of the files in `folder`, on the recipe's held-out pictures."""
    held_out = any_pictures(recipe.held_out_pictures, recipe.held_out_seed)
    return measure(folder, held_out, recipe.samples_per_prompt)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python tools/pretrain_toy.py", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="DIR", help="train, and write the files here")
    what.add_argument(
        "--measure", type=Path, metavar="DIR", nargs="?", const=ASSETS, help="only measure the files here"
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("scoft_hpc").setLevel(logging.INFO)
    torch.set_num_threads(arguments.threads)
    recipe = Recipe()
    if arguments.measure is None:
        pretrain(arguments.out, recipe)
        found = write_recipe(arguments.out, recipe)
    else:
        found = measured(arguments.measure, recipe)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
