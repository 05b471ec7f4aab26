"""The words by which a person chooses a study and runs of it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoft_hpc.console import console_command
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.launch.views import selection
from scoft_hpc.launch.views.selection import Selection
from scoft_hpc.study import run_status
from slurm_records import ids
from studies import finish, hold, lose, plan_study, run_of


@pytest.fixture
def output(tmp_path: Path) -> Path:
    study = plan_study(tmp_path, ["china", "korea"], seeds=2)
    finish(run_of(study, "china-base-s0"))
    run_status.write_failure(run_of(study, "china-mpc-s1"), "nan", "not finite", 3)
    run_status.write_failure(run_of(study, "korea-mp-s1"), "disk", "full", 3)
    lose(run_of(study, "korea-ldm-s0"))
    return tmp_path


def parse_selection(output: Path, *arguments: str, settings: bool = False) -> Selection:
    return selection.parse_selection(selection.parser("verb", ""), [f"output={output}", *arguments], settings)


def chosen(output: Path, *arguments: str) -> set[str]:
    """The chosen runs, without the ends of their ids."""
    selected = parse_selection(output, *arguments)
    return {state.run_id.rpartition("-")[0] for state in selected.filter(selected.read_state())}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["korea-mpc-s1"], {"korea-mpc-s1"}),
        (["korea-m"], {"korea-m-s0", "korea-m-s1"}),
        (["korea-m-s0", "china-ldm-s1"], {"korea-m-s0", "china-ldm-s1"}),
        (["a-study", "korea-b", "seed=1"], {"korea-base-s1"}),
        (["culture=korea", "variant=ldm,mp", "seed=0"], {"korea-ldm-s0", "korea-mp-s0"}),
        (["culture=[korea,china]", "variant=[base]"], {f"{c}-base-s{s}" for c in ("china", "korea") for s in (0, 1)}),
        (["culture=korea", "culture=china", "variant=m", "seed=1"], {"korea-m-s1", "china-m-s1"}),
        (["culture=all", "variant=base", "seed=0"], {"korea-base-s0", "china-base-s0"}),
        (["state=failed"], {"china-mpc-s1", "korea-mp-s1"}),
        (["state=nan,lost"], {"china-mpc-s1", "korea-ldm-s0"}),
        (["state=done", "culture=korea"], set()),
    ],
)  # fmt: skip
def test_words_narrow_the_choice(arguments: list[str], expected: set[str], output: Path) -> None:
    assert chosen(output, *arguments) == expected


def test_without_words_it_is_all_of_the_latest_study(output: Path) -> None:
    latest = plan_study(output, ["mu"], name="b-study")
    os.utime(latest.plan, (2e9, 2e9))
    selected = parse_selection(output)
    assert selected.study.name == "b-study" and len(selected.chosen) == 5 and not selected.narrowed
    assert parse_selection(output, "mu-mpc").narrowed
    assert parse_selection(output, "study=a-study", "korea-base").study.name == "a-study"
    assert parse_selection(output, str(output / "a-study")).study.path == output / "a-study"


def test_an_unknown_study_or_run_is_refused_with_similar_names(output: Path) -> None:
    with pytest.raises(LaunchError, match=r"there are: a-study; did you mean a-study\? Another folder"):
        selection.find_study(output, "a-stdy")
    with pytest.raises(
        LaunchError,
        match=r"--output DIR\. No run id of a-study begins with 'korea-mpx'; did you mean korea-mp",
    ):
        parse_selection(output, "korea-mpx")


def test_a_study_may_be_named_from_within_its_folder(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(output / "a-study")
    assert parse_selection(output / "elsewhere", ".").study.name == "a-study"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cultur=korea"], ["`cultur=korea`", "did you mean culture?"]),
        (["zzz=1"], ["expected one of study, output, culture, variant, seed, state"]),
        (["culture=korae"], ["expected some of china, korea; did you mean korea?"]),
        (["variant=x", "seed=7"], ["variant=x: expected some of base, ldm", "seed=7: expected some of 0, 1"]),
        (["state=faild"], ["did you mean failed?"]),
        (["a-study", "korea-mpx"], ["no run id of a-study begins with it; did you mean korea-mp"]),
        (["cluster.minutes=5"], ["there is no `cluster.minutes`"]),
    ],
)
def test_what_is_not_understood_is_told_with_the_options(
    arguments: list[str], says: list[str], output: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        parse_selection(output, *arguments)
    assert all(part in str(error.value) for part in says)


def test_a_word_that_is_neither_a_study_nor_a_run_says_what_there_is(output: Path) -> None:
    with pytest.raises(
        LaunchError, match=r"no study 'koraa-mpc-s0'.*there are: a-study.*did you mean korea-mpc-s0"
    ):
        parse_selection(output, "koraa-mpc-s0")
    with pytest.raises(LaunchError, match="`scoft-hpc sweep` starts one"):
        parse_selection(output / "nothing", "korea")


def test_settings_are_kept_for_the_command_that_takes_them(output: Path) -> None:
    selected = parse_selection(output, "cluster.minutes=60", "korea-mpc", "budget.su=3", settings=True)
    assert selected.settings == ("cluster.minutes=60", "budget.su=3") and len(selected.chosen) == 2


def test_one_run_or_a_list_of_those_that_fit(output: Path) -> None:
    selected = parse_selection(output, "culture=china", "variant=mpc", "state=failed")
    assert selected.single(selected.read_state()).run_id == ids(selected.study, "china-mpc-s1")[0]
    several = parse_selection(output, "korea-m")
    with pytest.raises(LaunchError) as error:
        several.single(several.read_state())
    assert "2 runs of a-study fit" in str(error.value)
    assert all(f"{name} (planned)" in str(error.value) for name in ids(several.study, "korea-m-s"))
    none = parse_selection(output, "state=done", "korea-m")
    with pytest.raises(LaunchError, match="no runs of a-study fit"):
        none.single(none.read_state())


def test_mistakes_interruptions_and_readers_that_leave_are_no_tracebacks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(error: BaseException) -> int:
        raise error

    assert console_command(lambda: 7)() == 7
    assert console_command(lambda: fail(LaunchError("so it is")))() == 3
    assert capsys.readouterr().err == "error: so it is\n"
    assert console_command(lambda: fail(KeyboardInterrupt()))() == 130
    with (tmp_path / "gone").open("w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert console_command(lambda: fail(BrokenPipeError()))() == 141
    assert isinstance(sys.stderr, io.TextIOBase) and capsys.readouterr().err == ""


def test_a_run_at_work_here_is_no_other_state(output: Path) -> None:
    held = hold(run_of(parse_selection(output).study, "korea-base-s0"))
    assert chosen(output, "state=running") == {"korea-base-s0"}
    held.release()
    assert chosen(output, "state=running") == set()


@pytest.mark.parametrize("verb", ["status", "logs", "why", "cancel", "retry"])
def test_to_look_loads_neither_torch_nor_hydra(verb: str, output: Path) -> None:
    code = (
        f"import sys; from scoft_hpc import {verb}; {verb}.main(['korea-ldm-s0', 'output=' + sys.argv[1]]);"
        "heavy = {'torch', 'hydra', 'omegaconf', 'diffusers', 'PIL', 'numpy', 'wandb', 'submitit'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    arguments = [sys.executable, "-c", code, str(output)]
    done = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
