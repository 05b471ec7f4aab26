"""Every key of a base model's scheduler_config.json is used, or the plan refuses the folder with the reason."""

from __future__ import annotations

import inspect
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest

from scoft_hpc.config.schema import Architecture, Model
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import architecture, base_model, scheduler_config
from scoft_hpc.inputs.checkpoints.scheduler_config import SchedulerConfig, parse
from scoft_hpc.inputs.toy.world import ASSETS

SD14: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
"""As in the public repositories of Stable Diffusion 1.4 and 1.5."""

SD21: dict[str, Any] = {
    **SD14,
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.8.0",
    "prediction_type": "v_prediction",
}

FLOW_MATCH: dict[str, Any] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 3.0,
}
WITHOUT_CLIP_SAMPLE = {name: value for name, value in SD14.items() if name != "clip_sample"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the base that ships."""
    return Path(shutil.copytree(ASSETS / "base", tmp_path / "sd"))


def write(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    return folder


def refusal(config: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(config)
    return str(caught.value)


def test_the_public_files_are_read() -> None:
    assert parse(SD14) == SchedulerConfig()
    assert parse(SD21) == SchedulerConfig(prediction_type="v_prediction")


def test_the_files_that_ship_are_read() -> None:
    for one in Architecture:
        shipped = architecture.configs(one)["scheduler"]
        assert parse(shipped) == parse(SD21 if one is Architecture.sd2 else SD14)
    assert base_model.scheduler(base_model.resolve(Model())) == SchedulerConfig()


@pytest.mark.parametrize("name", scheduler_config.CLASSES)
def test_the_defaults_of_each_class_are_read(name: str) -> None:
    """A file that diffusers saves holds every setting of its class; with Stable Diffusion's betas and no clipping."""
    # torchsde, which DPMSolverSDEScheduler needs, is not installed.
    class_name = {"DPMSolverSDEScheduler": "KDPM2DiscreteScheduler"}.get(name, name)
    defaults = {
        setting.name: setting.default
        for setting in inspect.signature(getattr(diffusers, class_name).__init__).parameters.values()
        if setting.name != "self"
    }
    assert {"num_train_timesteps", "prediction_type"} <= set(defaults)
    extra = {"noise_sampler_seed": None} if class_name != name else {}
    assert parse({**defaults, **extra, **SD14, "_class_name": name}) == SchedulerConfig()


def test_a_plan_accepts_and_refuses_a_folder(folder: Path) -> None:
    model = Model(path=str(folder))
    assert base_model.scheduler(base_model.resolve(Model(path=str(write(folder, SD14))))) == SchedulerConfig()
    for config, fault in (
        (FLOW_MATCH, "_class_name is 'FlowMatchEulerDiscreteScheduler'"),
        (WITHOUT_CLIP_SAMPLE, "clip_sample is missing, which diffusers reads as true"),
        ({**SD14, "num_train_timesteps": 0}, "num_train_timesteps is 0; expected a whole number from 2 on"),
    ):
        write(folder, config)
        with pytest.raises(ConfigError) as caught:
            base_model.resolve(model)
        text = str(caught.value)
        assert f"model.path={folder}" in text
        assert f"in scheduler/scheduler_config.json, {fault}" in text
        assert "hf download" not in text  # the same file would come again
        with pytest.raises(ConfigError):
            base_model.scheduler(model)


def test_a_folder_in_the_download_cache_is_to_be_copied(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.parent.mkdir(parents=True)
    write(folder, WITHOUT_CLIP_SAMPLE).rename(snapshot)
    with pytest.raises(ConfigError, match="copy the folder, change the copy"):
        base_model.resolve(Model(path=str(snapshot)))


def test_random_weights_and_single_files_have_the_schedule_of_their_architecture(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    for one in Architecture:
        expected = "v_prediction" if one is Architecture.sd2 else "epsilon"
        for path in ("random", str(file)):
            assert base_model.scheduler(Model(path=path, architecture=one)).prediction_type == expected


def test_clipping_is_refused_with_the_line_that_turns_it_off() -> None:
    for config in (WITHOUT_CLIP_SAMPLE, {**SD14, "clip_sample": True}, {**SD14, "clip_sample": None}):
        assert '"clip_sample": false' in refusal(config)
    assert "clip_sample is not false" in refusal({**SD14, "clip_sample": True})


def test_what_is_used_is_read() -> None:
    hundred = parse({**SD14, "num_train_timesteps": 100, "beta_schedule": "linear"})
    assert hundred == SchedulerConfig(num_train_timesteps=100, beta_schedule="linear")
    betas = [0.1, 0.2, 0.3]
    trained = parse({**SD14, "num_train_timesteps": 3, "trained_betas": betas})
    assert (trained.num_train_timesteps, trained.trained_betas) == (3, (0.1, 0.2, 0.3))
    zero = parse({**SD21, "rescale_betas_zero_snr": True})
    assert zero == SchedulerConfig(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    assert replace(zero, rescale_betas_zero_snr=False) == parse(SD21)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"_class_name": "LCMScheduler"}, "_class_name is 'LCMScheduler'; expected"),
        ({"_class_name": "EDMEulerScheduler"}, "_class_name is 'EDMEulerScheduler'; expected"),
        ({"_class_name": None}, "_class_name is None; expected"),
        ({"num_train_timesteps": 1000.0}, "num_train_timesteps is 1000.0; expected a whole number"),
        ({"num_train_timesteps": 1}, "num_train_timesteps is 1; expected a whole number from 2 on"),
        ({"prediction_type": "sample"}, "prediction_type is 'sample'; expected epsilon or v_prediction"),
        ({"prediction_type": "flow_prediction"}, "prediction_type is 'flow_prediction'"),
        ({"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid'; expected one of linear, scaled_linear"),
        ({"beta_start": 0.02}, "beta_start is 0.02 and beta_end 0.012; expected 0 < beta_start <= beta_end"),
        ({"beta_end": "0.012"}, "beta_end '0.012'; expected"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas has 2 betas; expected num_train_timesteps (1000)"),
        ({"trained_betas": [0.1, 1.0]}, "trained_betas is not a list of numbers between 0 and 1"),
        ({"trained_betas": "linear"}, "trained_betas is not a list of numbers between 0 and 1"),
        ({"trained_betas": []}, "trained_betas has 0 betas"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is true with prediction_type 'epsilon'"),
        ({"rescale_betas_zero_snr": "yes"}, "rescale_betas_zero_snr is 'yes'; expected true or false"),
        ({"variance_type": "fixed_large"}, "variance_type is 'fixed_large'; expected 'fixed_small'"),
        ({"variance_type": "learned_range"}, "variance_type is 'learned_range'"),
        ({"thresholding": True}, "thresholding is True; expected false"),
        ({"predict_epsilon": False}, "predict_epsilon is False; expected true"),
        ({"timestep_spacing": "cosine"}, "timestep_spacing is 'cosine'; expected 'linspace', 'leading', 'tr"),
        ({"steps_offset": 5}, "steps_offset is 5; expected 0, 1"),
        (
            {"algorithm_type": "sde-dpmsolver++"},
            "algorithm_type is 'sde-dpmsolver++'; expected 'dpmsolver++'",
        ),
        ({"solver_order": 4}, "solver_order is 4; expected 1, 2, 3"),
        ({"solver_type": "rk4"}, "solver_type is 'rk4'"),
        ({"final_sigmas_type": "one"}, "final_sigmas_type is 'one'; expected 'zero', 'sigma_min'"),
        ({"lambda_min_clipped": math.nan}, "lambda_min_clipped is nan; expected a number"),
        ({"use_flow_sigmas": True}, "use_flow_sigmas is True; expected false"),
        ({"use_dynamic_shifting": True}, "use_dynamic_shifting is True"),
        ({"timestep_type": "continuous"}, "timestep_type is 'continuous'; expected 'discrete'"),
        ({"sigma_max": 700.0}, "sigma_max is 700.0; expected null"),
        ({"use_karras_sigmas": "yes"}, "use_karras_sigmas is 'yes'; expected true, false, null"),
        (
            {"use_karras_sigmas": True, "use_beta_sigmas": True},
            "use_karras_sigmas and use_beta_sigmas are all set; at most one can be",
        ),
        (
            {"beta_shedule": "linear"},
            "beta_shedule is not known (did you mean beta_schedule?) and would be ignored: remove it",
        ),
        ({"snr_shift_scale": 3.0}, "snr_shift_scale is not known and would be ignored"),
    ],
)
def test_what_cannot_be_honoured_is_refused(changes: dict[str, Any], fault: str) -> None:
    assert fault in refusal({**SD14, **changes})


def test_an_unknown_switch_that_is_off_is_no_fault() -> None:
    assert parse({**SD14, "of_a_later_version": False, "another": None}) == SchedulerConfig()


def test_missing_betas_are_not_guessed() -> None:
    """diffusers would take those of DDPM on pixels, 0.0001 to 0.02."""
    config = {name: value for name, value in SD14.items() if not name.startswith("beta_")}
    assert "beta_start, beta_end, beta_schedule are missing: add the values" in refusal(config)
    assert '"beta_schedule": "scaled_linear"' in refusal(config)


def test_all_faults_at_once() -> None:
    text = refusal({**WITHOUT_CLIP_SAMPLE, "num_train_timesteps": -1, "thresholding": True})
    assert all(
        message in text for message in ("clip_sample is missing", "num_train_timesteps is -1", "thresholding")
    )
