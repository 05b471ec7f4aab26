"""What a Stable Diffusion's `scheduler/scheduler_config.json` may say, and what of it a run uses; no torch.

diffusers ignores keys that the loading class does not know and fills in its own defaults for those that are missing, so
that a file can ask for something that is silently not done. Here every key is either used (`SchedulerConfig`, or by the
DPM-Solver++ that draws samples), checked to have the value that the training assumes, or known to concern only the
steps of a sampler that is not used. Anything else is a fault.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scoft_hpc.errors import ConfigError

CLASSES = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DPMSolverSDEScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
)
"""diffusers' schedulers of the DDPM noise process that can replace each other on a Stable Diffusion 1.x or 2.x."""

PREDICTIONS = ("epsilon", "v_prediction")
BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""Those that both DDPM and DPM-Solver++ of diffusers know."""

MIN_TIMESTEPS = 2
"""t is drawn from 1 .. T - 1."""


@dataclass(frozen=True)
class SchedulerConfig:
    """The noise process that the base model was trained with.

    Attributes:
        num_train_timesteps: T; timesteps are 0 .. T - 1.
        beta_start, beta_end: of beta_schedule, which is one of `BETA_SCHEDULES`.
        trained_betas: the T betas themselves, instead of these three.
        rescale_betas_zero_snr: whether the betas are rescaled so that nothing of the image is left at T - 1.
        prediction_type: what the U-Net predicts, one of `PREDICTIONS`.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "scaled_linear"
    trained_betas: tuple[float, ...] | None = None
    rescale_betas_zero_snr: bool = False
    prediction_type: str = "epsilon"


def parse(config: Mapping[str, Any]) -> SchedulerConfig:
    """What a run uses of the content of a `scheduler_config.json`.

    Raises:
        ConfigError: with all faults, if there is any.
    """
    if problems := list(faults(config)):
        raise ConfigError.from_messages(problems)
    betas = config.get("trained_betas")
    schedule = {} if betas else {name: config[name] for name in ("beta_start", "beta_end", "beta_schedule")}
    return SchedulerConfig(
        num_train_timesteps=config.get("num_train_timesteps", 1000),
        trained_betas=tuple(float(beta) for beta in betas) if betas else None,
        rescale_betas_zero_snr=bool(config.get("rescale_betas_zero_snr")),
        prediction_type=config.get("prediction_type", "epsilon"),
        **schedule,
    )


def faults(config: Mapping[str, Any]) -> Iterator[str]:
    """What of the file cannot be honoured, each with what was expected and what to do."""
    kind = config.get("_class_name")
    if kind not in CLASSES:
        yield (
            f"_class_name is {kind!r}; expected a scheduler of the DDPM noise process that Stable Diffusion 1.x and "
            f"2.x are trained with, such as 'PNDMScheduler', 'DDIMScheduler' or 'DDPMScheduler'"
        )
        return
    yield from _noise_faults(config)
    yield from _clip_faults(config)
    for name, value in config.items():
        if name in CHECKS:
            accepts, expected = CHECKS[name]
            if not accepts(value):
                yield f"{name} is {value!r}; expected {expected}"
        elif name not in READ and not name.startswith("_") and value is not None and value is not False:
            near = difflib.get_close_matches(name, [*READ, *CHECKS], n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            yield f"{name} is not known{hint} and would be ignored: remove it"
    spacings = [name for name in SIGMA_SPACINGS if config.get(name)]
    if len(spacings) > 1:
        yield f"{' and '.join(spacings)} are all set; at most one can be"


def _noise_faults(config: Mapping[str, Any]) -> Iterator[str]:
    steps = config.get("num_train_timesteps", 1000)
    if not _is_integer(steps) or steps < MIN_TIMESTEPS:
        yield f"num_train_timesteps is {steps!r}; expected a whole number from {MIN_TIMESTEPS} on"
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        yield f"prediction_type is {prediction!r}; expected {' or '.join(PREDICTIONS)}"
    if (zero_snr := config.get("rescale_betas_zero_snr", False)) not in (None, False, True):
        yield f"rescale_betas_zero_snr is {zero_snr!r}; expected true or false"
    if zero_snr is True and prediction == "epsilon":
        yield (
            "rescale_betas_zero_snr is true with prediction_type 'epsilon': at the last timestep z_t is all noise and "
            "says nothing of the image; expected prediction_type 'v_prediction', or rescale_betas_zero_snr false"
        )
    yield from _beta_faults(config, steps)


def _beta_faults(config: Mapping[str, Any], steps: Any) -> Iterator[str]:
    if (betas := config.get("trained_betas")) is not None:
        if not isinstance(betas, (list, tuple)) or not all(_is_beta(beta) for beta in betas):
            yield "trained_betas is not a list of numbers between 0 and 1"
        elif len(betas) != steps:
            yield f"trained_betas has {len(betas)} betas; expected num_train_timesteps ({steps})"
        return
    missing = [name for name in ("beta_start", "beta_end", "beta_schedule") if name not in config]
    if missing:
        yield (
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: add the values that the model was "
            f'trained with; Stable Diffusion\'s are "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": '
            f'"scaled_linear"'
        )
        return
    if config["beta_schedule"] not in BETA_SCHEDULES:
        yield f"beta_schedule is {config['beta_schedule']!r}; expected one of {', '.join(BETA_SCHEDULES)}"
    start, end = config["beta_start"], config["beta_end"]
    if not (_is_beta(start) and _is_beta(end) and start <= end):
        yield f"beta_start is {start!r} and beta_end {end!r}; expected 0 < beta_start <= beta_end < 1"


def _clip_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """A clipped step is not affine in the U-Net's output, as the rollout's gradient needs it."""
    if config.get("clip_sample") is False:
        return
    problem = "is missing, which diffusers reads as true" if "clip_sample" not in config else "is not false"
    yield (
        f"clip_sample {problem}: each step of a rollout would clip the predicted latents to [-1, 1]. Stable "
        f"Diffusion's latents go beyond that, and the rollout's gradient holds for unclipped steps only. Write "
        f'"clip_sample": false into the file, as that of Stable Diffusion 1.4 says'
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_beta(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1


def _one_of(*options: Any) -> tuple[Callable[[Any], bool], str]:
    values = ", ".join(
        "null" if o is None else str(o).lower() if isinstance(o, bool) else repr(o) for o in options
    )
    return (lambda value: any(value is o or (value == o and type(value) is type(o)) for o in options)), values


SWITCH = _one_of(True, False, None)
OFF = _one_of(False, None)
UNSET = _one_of(None)

SIGMA_SPACINGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
"""How the DPM-Solver++ that draws samples spaces its steps."""

CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    # Of the DDPM step: the rollout's noise has the posterior's variance, and nothing is clipped.
    "variance_type": _one_of("fixed_small", "fixed_small_log", None),
    "thresholding": OFF,
    "predict_epsilon": _one_of(True),
    # Used by DPM-Solver++, which draws samples and negatives.
    "timestep_spacing": _one_of("linspace", "leading", "trailing"),
    "steps_offset": _one_of(0, 1),
    "solver_order": _one_of(1, 2, 3),
    "algorithm_type": _one_of("dpmsolver++", "deis"),
    "solver_type": _one_of("midpoint", "heun", "logrho", "bh1", "bh2"),
    "final_sigmas_type": _one_of("zero", "sigma_min"),
    "lambda_min_clipped": (
        lambda value: isinstance(value, (int, float)) and not math.isnan(value),
        "a number",
    ),
    "lower_order_final": SWITCH,
    "euler_at_final": SWITCH,
    **dict.fromkeys(SIGMA_SPACINGS, SWITCH),
    # Of other processes: flow matching, and continuous noise levels.
    "use_flow_sigmas": OFF,
    "use_dynamic_shifting": OFF,
    "shift_terminal": UNSET,
    "timestep_type": _one_of("discrete"),
    "sigma_min": UNSET,
    "sigma_max": UNSET,
}
"""Keys whose value decides whether the file can be used: a test of the value, and what it accepts."""

USED = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
    "prediction_type",
    "clip_sample",
)
WITHOUT_EFFECT = (
    *("clip_sample_range", "sample_max_value", "dynamic_thresholding_ratio"),  # nothing is clipped
    *("flow_shift", "time_shift_type"),  # nothing flows
    *("set_alpha_to_one", "skip_prk_steps"),  # the last step of DDIM and PNDM, the first ones of PNDM
    *(
        "interpolation_type",
        "predict_x0",
        "disable_corrector",
        "solver_p",
        "noise_sampler_seed",
    ),  # Euler, UniPC, SDE
    "tensor_format",  # of old versions of diffusers
)
"""Keys that concern only the steps of samplers that are not used."""

READ = frozenset((*USED, *WITHOUT_EFFECT))
