"""Suggest what a search tries next, with Optuna (imported here only), which keeps no state of its own.

The rounds on disk are the search's memory. Each time, Optuna receives all of them again and suggests the next, with a
seed per round: the same trials give the same suggestions, so that a process that dies between a suggestion and its
submission loses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoft_hpc.config.command_configs import Sampler
from scoft_hpc.config.plain import to_override
from scoft_hpc.config.search_space import ChoiceSet, Range, Space
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.search.trials import Trial
from scoft_hpc.study import atomic

if TYPE_CHECKING:
    import optuna

SIGNIFICANT_DIGITS = 3
"""Of a proposed number: a finer difference is lost in a trial's noise."""

MAX_DUPLICATES = 50
"""Proposals in a row that were tried before, after which there is nothing new in the space."""

INSTALL = "pip install 'scoft-hpc[tune]'"

Values = dict[str, Any]


def require() -> None:
    """Raise ConfigError, with the line that installs it, if Optuna is not there."""
    if find_spec("optuna") is None:
        raise ConfigError(f"a search needs Optuna, which is not installed: {INSTALL}")


def suggest(
    space: Space, trials: Sequence[Trial], count: int, *, lower: bool, sampler: Sampler, seed: int
) -> list[Values]:
    """The values of the next `count` trials, of which none was tried; fewer where the space has no more.

    Args:
        trials: all so far, each with its value or as failed; `lower`: whether less of it is better.
    """
    study = _study(space, trials, lower, sampler, _round_seed(seed, len(trials)))
    tried = {_trial_key(space, trial.values): trial.value for trial in trials}
    suggestions: list[Values] = []
    repeated = 0
    while len(suggestions) < count and repeated < MAX_DUPLICATES:
        optuna_trial = study.ask(_distributions(space))
        values = {name: _value(part, optuna_trial.params[name]) for name, part in space.items()}
        key = _trial_key(space, values)
        repeated = repeated + 1 if key in tried else 0
        if not repeated:
            suggestions.append(values)
            tried[key] = None
        elif tried[key] is not None:
            study.tell(optuna_trial, tried[key])
    return suggestions


def write_journal(path: Path, name: str, space: Space, trials: Sequence[Trial], *, lower: bool) -> None:
    """The trials as Optuna's own journal file, which its dashboard and its plots read."""
    library = _optuna()
    with atomic.replace(path) as temporary:
        backend = library.storages.journal.JournalFileBackend(str(temporary))
        study = library.create_study(
            study_name=name, storage=library.storages.JournalStorage(backend), direction=_direction(lower)
        )
        study.add_trials([_frozen_trial(space, trial) for trial in trials])


def _study(space: Space, trials: Sequence[Trial], lower: bool, sampler: Sampler, seed: int) -> optuna.Study:
    library = _optuna()
    optuna_sampler = (
        library.samplers.RandomSampler(seed=seed)
        if sampler is Sampler.random
        else library.samplers.TPESampler(seed=seed, constant_liar=True)
    )
    study: optuna.Study = library.create_study(direction=_direction(lower), sampler=optuna_sampler)
    study.add_trials([_frozen_trial(space, trial) for trial in trials])
    return study


def _frozen_trial(space: Space, trial: Trial) -> optuna.trial.FrozenTrial:
    """A trial as Optuna keeps it; a failed one with the reason."""
    library = _optuna()
    done = trial.value is not None
    frozen: optuna.trial.FrozenTrial = library.trial.create_trial(
        state=library.trial.TrialState.COMPLETE if done else library.trial.TrialState.FAIL,
        value=trial.value,
        params={name: _param(part, trial.values[name]) for name, part in space.items()},
        distributions=_distributions(space),
        user_attrs={"runs": list(trial.runs), **({} if done else {"reason": trial.reason})},
    )
    return frozen


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    library = _optuna().distributions
    by_setting: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, part in space.items():
        if isinstance(part, ChoiceSet):
            by_setting[name] = library.CategoricalDistribution([to_override(value) for value in part.values])
        elif part.integer:
            by_setting[name] = library.IntDistribution(int(part.low), int(part.high), log=part.log)
        else:
            by_setting[name] = library.FloatDistribution(part.low, part.high, log=part.log)
    return by_setting


def _value(part: Range | ChoiceSet, param: Any) -> Any:
    """The setting's value for Optuna's parameter."""
    if isinstance(part, ChoiceSet):
        return next(value for value in part.values if to_override(value) == param)
    return param if part.integer else min(max(float(f"{param:.{SIGNIFICANT_DIGITS}g}"), part.low), part.high)


def _param(part: Range | ChoiceSet, value: Any) -> Any:
    """Optuna's parameter for the setting's value, as a run's config has it."""
    return (
        next(to_override(choice) for choice in part.values if choice == value)
        if isinstance(part, ChoiceSet)
        else value
    )


def _trial_key(space: Space, values: Values) -> str:
    """Equal for equal values, whether proposed or read from a run's config."""
    return " ".join(f"{name}={to_override(_param(part, values[name]))}" for name, part in space.items())


def _round_seed(*numbers: int) -> int:
    """The seed of a round."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:4], "big")


def _direction(lower: bool) -> str:
    return "minimize" if lower else "maximize"


def _optuna() -> Any:
    """The library, without its own log lines."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
