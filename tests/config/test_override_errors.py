"""Every mistake on a command line is told in a sentence that names the word, what was expected and what to do."""

from __future__ import annotations

import pytest

from scoft_hpc.config import compose
from scoft_hpc.errors import ConfigError


def _faults(name: str, *arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compose.compose(name, list(arguments))
    assert "Traceback" not in str(caught.value)
    return [line.removeprefix("- ") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("cultur=korea", "there is no setting `cultur`; did you mean culture"),
        ("lora.rnk=3", "there is no setting `lora.rnk`; did you mean lora.rank"),
        ("rank=3", "did you mean lora.rank?"),
        ("steps=3", "did you mean data.negatives.steps or train.steps or evaluation.steps?"),
        ("qwxz=3", "`--cfg job` prints all settings."),
        ("model._target_=os.system", "there is no setting `model._target_`"),
        ("+new=1", "there is no setting `new`"),
        ("++new=1", "there is no setting `new`"),
        ("~seed", "cannot be deleted"),
        ("culture@a=b", "there is no setting `culture`"),
        ("ablation=loss_terms", "only the sweep command has it"),
        ("plan=only", "only the sweep command has it"),
        ("train.steps=abc", "expected a whole number, or null."),
        ("seed=1.5", "expected a whole number."),
        ("train.lr=fast", "expected a number."),
        ("data.random_flip=ja", "expected true or false."),
        ("culture=null", "expected a word."),
        ("culture=[korea]", "expected a word."),
        ("train.betas=[1,2,3]", "expected 2 numbers, 'train.betas=[…,…]'."),
        ("train.betas=0.9", "expected 2 numbers"),
        ("lora.targets=to_q", "expected a list of words, 'lora.targets=[…]'."),
        ("train=3", "expected a setting below it: train.steps, "),
        ("variant=MPC", "expected one of base, ldm, m, mp, mpc; did you mean mpc?"),
        ("objective.gradient=middle", "expected one of first, last, random."),
        ("objective=offical", "objective is one of official, triplet; did you mean official?"),
        ("data=null", "data is one of folder, toy."),
        ("model=../toy", "model is one of"),
        ("culture", "`culture` has no value; write culture=VALUE."),
        ("korea", "`korea` is not a setting: these are written key=value"),
        ("=3", "is not a setting"),
        ("seed=[1", "cannot be read"),
        ("seed=1,2", "several values; expected one, or --multirun"),
        ("data=toy,folder", "several values; expected one of folder, toy"),
        ("lora.targets=to_q,to_k", "expected a list in brackets and quotes, 'lora.targets=[to_q,to_k]'."),
        ("model.path=${oc.env:HOME}", "let the shell expand it: key=$NAME."),
        ("culture=${study}", "cannot refer to another"),
        ("hydra.run.dir=x", "Hydra's own settings are fixed here"),
        ("hydra/launcher=x", "Hydra's own settings are fixed here"),
    ],
)
def test_word(argument: str, message: str) -> None:
    (fault,) = _faults("train", argument)
    assert f"`{argument}" in fault
    assert message in fault


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("ablation=los_terms", "did you mean loss_terms?"),
        ("culture=korea,china", "expected a list in brackets and quotes, 'culture=[korea,china]'."),
        ("plan=dry", "expected one of run, only."),
        ("ablation.axes.seed=3", "expected a list, as [0,1]."),
    ],
)
def test_sweep_word(argument: str, message: str) -> None:
    (fault,) = _faults("sweep", argument)
    assert message in fault


def test_all_at_once() -> None:
    faults = _faults("train", "cultur=korea", "train.steps=abc", "seed=3", "variant=x", "korea")
    assert [fault.split("`")[1] for fault in faults] == [
        "cultur=korea",
        "train.steps=abc",
        "variant=x",
        "korea",
    ]


def test_given_twice() -> None:
    assert _faults("train", "seed=1", "seed=2") == [
        "`seed=1` and `seed=2`: `seed` is given twice; give it once."
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "sweep"])
def test_every_setting_can_be_given_its_own_default(name: str) -> None:
    """No rule of this module refuses what the schema itself says."""
    from scoft_hpc.config.nodes import settings

    config = compose.compose(name, [])
    arguments = []
    for key in settings(compose.SCHEMAS[name]):
        value = config
        for part in key.split("."):
            value = getattr(value, part)
        if value is None:
            arguments.append(f"{key}=null")
        elif isinstance(value, bool | int | float):
            arguments.append(f"{key}={str(value).lower()}")
        elif isinstance(value, tuple):
            arguments.append(f"{key}=[{','.join(map(str, value))}]")
        elif hasattr(value, "name") and not hasattr(value, "__dataclass_fields__"):
            arguments.append(f"{key}={value.name}")
    assert len(arguments) > 40
    assert compose.compose(name, arguments) == config
