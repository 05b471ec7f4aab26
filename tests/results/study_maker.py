"""Write the files of a small study as its jobs leave them, without training."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import simulated_surveys
from scoft_hpc.config import compose, identity
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.schema import Data, RunConfig, Variant
from scoft_hpc.human_eval.analysis.analyse import analyse
from scoft_hpc.human_eval.demo import simulation
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.inputs.toy import scenes, world
from scoft_hpc.results import study, survey_results
from scoft_hpc.study import atomic, run_status
from scoft_hpc.study.metrics_log import MetricsLog
from scoft_hpc.study.paths import RunDir, StudyDir
from surveys import pages_from

TERMS = {"ldm": "", "m": "m", "mp": "mp", "mpc": "mpc"}


DEFAULT_RATE = {"base": 0.85, "ldm": 0.5, "m": 0.45, "mp": 0.3, "mpc": 0.25}


@dataclass(frozen=True)
class Maker:
    """Writes plan.json and, run by run, what a job writes."""

    folder: StudyDir
    configs: tuple[RunConfig, ...]
    prompts: int = 3
    samples: int = 2
    steps: int = 20

    @classmethod
    def of(
        cls,
        output: Path,
        name: str = "loss_terms",
        cultures: Sequence[str] = ("korea", "mexico"),
        variants: Sequence[str] = ("base", "ldm", "m", "mp", "mpc"),
        seeds: Sequence[int] = (0, 1),
        data: Data | None = None,
        **numbers: int,
    ) -> Maker:
        configs = tuple(
            RunConfig(
                culture=culture, variant=Variant[variant], seed=seed, data=data or Data(), output=str(output)
            )
            for culture in cultures
            for variant in variants
            for seed in seeds
        )
        return cls.planned(output / name, configs, **numbers)

    @classmethod
    def planned(cls, folder: Path, configs: Sequence[RunConfig], **numbers: int) -> Maker:
        maker = cls(StudyDir(folder), tuple(configs), **numbers)
        atomic.write_json(
            maker.folder.plan,
            {
                "version": 1,
                "study": folder.name,
                "ablation": "loss_terms",
                "created": "2026-11-22T16:00:00+00:00",
                "scoft_hpc": "0.1.0",
                "words": ["culture=all", "ablation=loss_terms"],
                "runs": [
                    {
                        "run_id": identity.run_id(config),
                        "culture": config.culture,
                        "variant": config.variant.name,
                        "seed": config.seed,
                        "steps": 0 if config.variant is Variant.base else maker.steps,
                        "config": compose.to_mapping(config),
                    }
                    for config in configs
                ],
            },
        )
        return maker

    def run(self, config: RunConfig) -> RunDir:
        return self.folder.run(identity.run_id(config))

    def find(self, culture: str, variant: str, seed: int) -> RunConfig:
        (config,) = (
            c for c in self.configs if (c.culture, c.variant.name, c.seed) == (culture, variant, seed)
        )
        return config

    def finish(self, *configs: RunConfig) -> Maker:
        """Train, generate and score: the given runs, or all."""
        for config in configs or self.configs:
            run = self.run(config)
            run.path.mkdir(parents=True, exist_ok=True)
            run.config.write_text(compose.dump(config))
            self.provenance(config)
            if config.variant is not Variant.base:
                self.train(config, self.steps)
            self.score(config)
            spent = {
                "train": 6.5 if config.variant is not Variant.base else 0.0,
                "generate": 1.5,
                "score": 0.25,
            }
            record_of = {"run_id": run.run_id, "seconds": spent, "steps": self.steps, "attempt": 1}
            rest = {"finished": time.time(), "samples": self.prompts * self.samples, "lora_sha256": None}
            run.result.write_text(json.dumps({**record_of, **rest}))
        return self

    def fail(self, config: RunConfig, message: str = "the loss became NaN", at_step: int = 7) -> None:
        run = self.run(config)
        run.path.mkdir(parents=True, exist_ok=True)
        self.train(config, at_step)
        run_status.write_failure(run, "nan", message, at_step)

    def train(self, config: RunConfig, steps: int) -> None:
        rng = _rng(config, "train")
        journal = MetricsLog(self.run(config).metrics, 0)
        for step in range(1, steps + 1):
            ldm = float(0.3 + 0.5 * np.exp(-step / 15) + 0.05 * rng.standard_normal())
            row: dict[str, Any] = {"trainer/step": step, "loss": ldm, "loss_ldm": ldm}
            for term in TERMS[config.variant.name]:
                sparse = term in "pc" and step % 10 != 0
                row[f"loss_{term}"] = (
                    None if sparse else float(0.2 * np.exp(-step / 40) + 0.01 * rng.random())
                )
            journal.append(
                {
                    **row,
                    "grad_norm": 1.0 + float(rng.random()),
                    "lr": 5e-4 * (1 - step / 100),
                    "seconds": 0.05,
                }
            )
        journal.close()

    def score(self, config: RunConfig) -> None:
        """Scores of version 2, with every metric that there can be: those that need held-out images of toy data only.

        The style of a sample is decided by noise that all variants share: common random numbers.
        """
        run, shared, own = self.run(config), _rng(config, "shared"), _rng(config, "own")
        rate = DEFAULT_RATE[config.variant.name]
        remaining_bias = 0.85 - rate  # of the base's bias
        toy = config.data.name == "toy"
        rows: list[dict[str, Any]] = []
        run.samples.mkdir(parents=True, exist_ok=True)
        for p, text in enumerate(world.prompts("korea")[: self.prompts]):
            for s in range(self.samples):
                place = float(shared.uniform(-0.06, 0.06))
                draw = float(shared.random())
                style = 0 if draw < rate else (scenes.own_style("korea") if draw < 0.95 else 5)
                scene = scenes.Scene(scenes.SUBJECTS[p], style, x=place)
                noisy = scenes.render(scene) + own.normal(0, 4, (64, 64, 3))
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
                    run.samples / f"p{p:02d}-s{s:02d}.png"
                )
                truth = {
                    "in_style": float(style not in (0, 5)),
                    "default_style": float(style == 0),
                    "subject": bool(own.random() < 0.9),
                }
                held_out = {"memorization": float(own.random()), "copies": float(own.random() < 0.06)}
                rows.append(
                    {
                        "file": f"samples/p{p:02d}-s{s:02d}.png",
                        "prompt": text.replace("korea", config.culture),
                        **(truth if toy else dict.fromkeys(truth)),
                        **(held_out if toy else {}),
                        "clip_score": 0.7 + 0.05 * draw + 0.02 * float(own.normal()),
                        "base_distance": remaining_bias * (0.5 + 0.5 * float(own.random())),
                    }
                )
        prompts = [
            {
                "prompt": rows[p * self.samples]["prompt"],
                "diversity": 0.2 + 0.1 * float(own.random()),
                "vendi": 1.2 + 0.3 * float(own.random()),
            }
            for p in range(self.prompts)
        ]
        neutral = [
            {
                "file": f"neutral/p{p:02d}-s00.png",
                "prompt": f"a {scenes.SUBJECTS[p]}",
                "neutral_clip_score": 0.75 - 0.05 * remaining_bias + 0.02 * float(own.normal()),
            }
            for p in range(self.prompts)
        ]
        run.neutral.mkdir(exist_ok=True)
        for p, row in enumerate(neutral):
            shutil.copyfile(run.samples / f"p{p:02d}-s00.png", run.path / row["file"])
        metrics: dict[str, dict[str, Any]] = {}
        for group in (rows, prompts, neutral):
            for name in group[0]:
                values = [
                    row[name] for row in group if name not in ("file", "prompt") and row[name] is not None
                ]
                if values:
                    metrics[name] = {"value": sum(values) / len(values), "n": len(rows)}
        metrics["neutral_kid"] = {"value": 0.1 * remaining_bias * float(own.random()), "n": self.prompts}
        if toy:
            sets = {"n": len(rows), "references": 28}
            metrics["kid"] = {**sets, "value": 0.1 * rate + 0.02 * float(own.normal()), "error": 0.02}
            metrics["cmmd"] = {**sets, "value": rate + 0.1 * float(own.normal())}
            warning = f"FID of {len(rows)} images is biased beyond use."
            metrics["fid"] = {**sets, "value": 60 + 30 * rate + float(own.normal()), "warning": warning}
            for name in METRICS:  # one that is new in the table
                if name not in metrics:
                    metrics[name] = {"value": float(own.random()), "n": len(rows)}
        networks = {name: {"name": "toy", "digest": "n" * 16} for name in ("features", "clip")}
        head = {"version": 2, "run_id": run.run_id, "networks": networks, "metrics": metrics}
        atomic.write_json(run.scores, {**head, "samples": rows, "prompts": prompts, "neutral": neutral})

    def provenance(self, config: RunConfig) -> None:
        versions = {"scoft_hpc": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "diffusers": "0.42.0"}
        place = {"host": "somewhere", "device": "cpu", "commit": "0123456789ab"}
        digests = {"data_digest": "d" * 16, "model_digest": "m" * 16}
        atomic.write_json(self.run(config).provenance, {**versions, **place, **digests})


def ask(maker: Maker, systems: Sequence[str]) -> None:
    """Let six simulated raters of each culture answer about the first seed's samples, and leave results.json."""
    read = study.read(maker.folder)
    drawn = pages_from(read, systems)
    quotas = dict.fromkeys(read.cultures, 6)
    survey = Survey("People", read.name, tuple(systems), quotas, pages=4)
    true = simulated_surveys.true_worths(systems, read.cultures, [one.name for one in survey.questions])
    raters = simulation.draw_raters(true.worths, quotas, spammers=1)
    people_of, answers = simulated_surveys.survey_of(true, raters, pages=4, pool=4)
    survey_results.write(maker.folder.survey.results, analyse(survey, people_of, answers, read, drawn))


def _rng(config: RunConfig, purpose: str) -> np.random.Generator:
    seed_parts = [config.culture, purpose] + (
        [config.variant.name, config.seed] if purpose != "shared" else []
    )
    return np.random.default_rng(int(hashlib.sha256(repr(seed_parts).encode()).hexdigest()[:8], 16))
