"""What a pack owes its lanes: their own gradients, their own failures, and the same end after any interruption."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from scoft_hpc.config.schema import Cadence, ContrastiveForm, Gradient, LrSchedule, RunConfig, Variant
from scoft_hpc.data.training_batch import TargetNames, sample_batch
from scoft_hpc.study import metrics_log
from scoft_hpc.study.interrupt import Interrupted, StopFlag
from scoft_hpc.training import checkpoint
from scoft_hpc.training.lane import learning_rate
from scoft_hpc.training.loop import LaneRun, common_step, gradients, interval, train
from scoft_hpc.training.objective import NamedDistance

MIXED = [
    tiny.config(Variant.ldm),
    tiny.config(Variant.m, seed=1),
    tiny.config(Variant.mp, culture="china"),
    tiny.config(Variant.mpc),
    tiny.config(Variant.mpc, objective={"gradient": Gradient.last}),
    tiny.config(
        Variant.mpc, objective={"gradient": Gradient.random, "form": ContrastiveForm.triplet}, seed=3
    ),
    tiny.config(Variant.mp, objective={"w_c": 0.5, "gradient": Gradient.random}),
    tiny.config(Variant.mpc, objective={"every": 1, "w_m": 0.0}, train={"lr": 3e-3}),
]
"""Eight lanes that differ in all that lanes of one pack may differ in."""


def weights(training: LaneRun) -> Tensor:
    return training.lane.weights


@pytest.mark.slow
def test_a_lanes_gradient_does_not_depend_on_its_neighbours() -> None:
    base = tiny.base()
    together = tiny.lanes(base, MIXED)
    for _ in range(3):  # B is 0 before the first update, and A's gradient with it
        gradients(base, together)
        in_pack = [lane.gradient.clone() for lane in together]
        for lane, expected in zip(together, in_pack, strict=True):
            gradients(base, [lane])
            alone = lane.gradient
            assert alone.norm() > 0
            assert (alone - expected).norm() <= 1e-5 * alone.norm(), lane.config
        gradients(base, together)
        for lane in together:
            lane.update()


def test_lanes_of_one_culture_and_seed_see_the_same() -> None:
    culture = tiny.culture()
    wanted = TargetNames("pixels")
    process = tiny.base().process
    configs = [tiny.config(Variant.mp), tiny.config(Variant.mpc)]
    one, two = (sample_batch(config, culture, process, i, 2, wanted) for i, config in enumerate(configs))
    other = sample_batch(tiny.config(Variant.mp, seed=1), culture, process, 0, 2, wanted)
    for name in ("z_0", "eps", "t", "noise"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    for name in ("positive", "seeds"):
        assert torch.equal(getattr(one.targets[0], name), getattr(two.targets[1], name)), name
    assert not torch.equal(one.eps, other.eps)


def test_a_base_of_fewer_timesteps_is_trained_on_those(tmp_path: Path) -> None:
    """Rollouts included; with timesteps of another schedule its tables would be read beyond their end."""
    base = tiny.base(timesteps=10)
    trainings = tiny.pack(tmp_path, base, [tiny.config(objective={"every": 1})])
    train(base, trainings, StopFlag(), 1e9)
    assert trainings[0].error is None
    assert trainings[0].lane.step == 6
    assert weights(trainings[0]).isfinite().all()


def test_an_epoch_shows_every_pair_once() -> None:
    culture, config, process = tiny.culture(pairs=6), tiny.config(train={"batch": 3}), tiny.base().process
    for epoch in range(3):
        texts = torch.cat(
            [
                sample_batch(config, culture, process, 0, step, TargetNames()).text.tensors["states"]
                for step in (2 * epoch, 2 * epoch + 1)
            ]
        )
        order = [int((culture.text.tensors["states"] == text).all((1, 2)).nonzero()) for text in texts]
        assert sorted(order) == list(range(6))


@pytest.mark.parametrize("cadence", Cadence)
def test_cadence_counts_micro_steps_or_updates(cadence: Cadence) -> None:
    from scoft_hpc.data.training_batch import active_rows

    active = [(step, row) for step in range(20) for row in active_rows(step, 4, 10, cadence)]
    if cadence is Cadence.micro_step:
        assert [4 * step + row for step, row in active] == list(range(0, 80, 10))
    else:
        assert active == [(step, row) for step in (0, 10) for row in range(4)]


def run(
    folder: Path, configs: list[RunConfig], save_seconds: float = 1e9, stop: StopFlag | None = None
) -> list[LaneRun]:
    base = tiny.base()
    pack = tiny.pack(folder, base, configs)
    train(base, pack, stop or StopFlag(), save_seconds)
    return pack


class StopAt(StopFlag):
    """Requests the stop at the n-th look of the loop."""

    def __init__(self, checks: int) -> None:
        self.targets = itertools.count(1)
        self.at = checks

    @property
    def requested(self) -> bool:
        return next(self.targets) >= self.at


@pytest.mark.slow
@pytest.mark.parametrize("checks", [1, 4, 7])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, checks: int) -> None:
    straight = run(tmp_path / "straight", MIXED)
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", MIXED, stop=StopAt(checks))
    resumed = run(tmp_path / "broken", MIXED)
    for one, two in zip(straight, resumed, strict=True):
        assert torch.equal(weights(one), weights(two))
        rows = [
            [{k: v for k, v in row.items() if k != "seconds"} for row in metrics_log.read(t.run.metrics)]
            for t in (one, two)
        ]
        assert rows[0] == rows[1]
        assert [row[metrics_log.STEP] for row in rows[1]] == list(range(1, 7))


@pytest.mark.slow
def test_a_kill_between_two_lanes_saves_still_resumes_bit_for_bit(tmp_path: Path) -> None:
    """The lanes' newest saves are a step apart then; the pack continues from the newest that all have."""
    straight = run(tmp_path / "straight", MIXED[:3])
    with pytest.raises(Interrupted):
        run(tmp_path / "killed", MIXED[:3], save_seconds=0.0, stop=StopAt(9))
    for lane in (1, 2):
        newest, older = checkpoint.existing(tmp_path / "killed" / f"lane-{lane}" / "checkpoints")
        assert older.name == "step-00000004.safetensors"
        newest.unlink()
    resumed = run(tmp_path / "killed", MIXED[:3])
    for one, two in zip(straight, resumed, strict=True):
        assert torch.equal(weights(one), weights(two))


@pytest.mark.slow
@pytest.mark.parametrize("n_saved", [1, 2, 3])
def test_a_kill_between_two_lanes_first_saves_resumes_bit_for_bit(tmp_path: Path, n_saved: int) -> None:
    straight = run(tmp_path / "straight", MIXED[:4])
    with pytest.raises(Interrupted):
        run(tmp_path / "killed", MIXED[:4], stop=StopAt(3))
    for folder in saves_of(tmp_path / "killed", 4)[n_saved:]:
        (only,) = checkpoint.existing(folder)
        only.unlink()
    resumed = run(tmp_path / "killed", MIXED[:4])
    for one, two in zip(straight, resumed, strict=True):
        assert torch.equal(weights(one), weights(two))


@pytest.mark.slow
@pytest.mark.parametrize("first", [6, 4])
def test_a_kill_between_two_lanes_last_saves_resumes_bit_for_bit(tmp_path: Path, first: int) -> None:
    """The lanes that are finished go back with the others, which are computed in other sums without them."""
    lanes = zip(reversed(MIXED), (first, *[6] * 7), strict=True)
    configs = [replace(c, train=replace(c.train, steps=n)) for c, n in lanes]
    straight = run(tmp_path / "straight", configs)
    run(tmp_path / "killed", configs, save_seconds=0.0)
    for folder in saves_of(tmp_path / "killed", 8)[1:]:
        checkpoint.existing(folder)[0].unlink()
    resumed = run(tmp_path / "killed", configs)
    for one, two in zip(straight, resumed, strict=True):
        assert torch.equal(weights(one), weights(two))


def saves_of(pack: Path, n_lanes: int) -> list[Path]:
    return [pack / f"lane-{lane}" / "checkpoints" for lane in range(n_lanes)]


@pytest.mark.parametrize(
    ("steps", "saved", "expected"),
    [
        ([9, 9], [{4, 3}, {4, 3}], 4),
        ([9, 9], [{5, 4}, {4, 3}], 4),
        ([9, 9], [set(), set()], 0),
        ([9, 9], [{3}, set()], 0),  # the first save was interrupted
        ([9, 9], [{9, 8}, {8, 7}], 8),  # the last save was interrupted
        ([5, 9], [{5, 4}, {8, 7}], 8),
        ([5, 9], [{5, 4}, {4, 3}], 4),
        ([9, 9], [{7, 6}, set()], None),  # one lane has lost its saves
        ([9, 9], [{7, 6}, {4, 3}], None),
        ([9, 9], [{9, 8}, {4, 3}], None),
    ],
)
def test_lanes_continue_from_the_newest_common_step(
    steps: list[int], saved: list[set[int]], expected: int | None
) -> None:
    assert common_step(steps, saved) == expected


@pytest.mark.slow
def test_saves_that_were_passed_over_do_not_outlive_the_common_ones(tmp_path: Path) -> None:
    """Killed twice between two lanes' saves: the first lane's save of step 5, too new, must not displace step 3."""
    straight = run(tmp_path / "straight", MIXED[:2])
    folders = [tmp_path / "killed" / f"lane-{lane}" / "checkpoints" for lane in (0, 1)]

    def advance(steps: int) -> None:
        with pytest.raises(Interrupted):
            run(tmp_path / "killed", MIXED[:2], save_seconds=1e9, stop=StopAt(2 * steps - 1))

    def kill_before_the_second_lanes_save() -> None:
        checkpoint.existing(folders[1])[0].unlink()

    advance(2)
    advance(3)
    kill_before_the_second_lanes_save()
    advance(1)
    advance(1)
    assert [checkpoint.existing(folder)[0].name for folder in folders] == ["step-00000004.safetensors"] * 2
    kill_before_the_second_lanes_save()
    resumed = run(tmp_path / "killed", MIXED[:2])
    for one, two in zip(straight, resumed, strict=True):
        assert torch.equal(weights(one), weights(two))


class PoisonedDistance(tiny.PixelDistance):
    """A distance that turns NaN, or raises, from its third call on."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error, self.calls = error, 0

    def forward(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        self.calls += 1
        s = super().forward(x_hat, target, seeds)
        if self.calls < 3:
            return s
        if self.error is not None:
            raise self.error
        return s * float("nan")


@pytest.mark.slow
@pytest.mark.parametrize("error", [None, RuntimeError("the lane's own fault")])
def test_a_lane_that_fails_stops_alone(tmp_path: Path, error: Exception | None) -> None:
    """Its neighbours end where they end without it; it keeps its reason and its weights stay finite."""
    undisturbed = run(tmp_path / "undisturbed", MIXED)
    base = tiny.base()
    pack = tiny.pack(tmp_path / "disturbed", base, MIXED)
    object.__setattr__(pack[3].lane.objective, "s", NamedDistance("poisoned", PoisonedDistance(error)))
    train(base, pack, StopFlag(), 1e9)
    assert str(pack[3].error) == (
        str(error) if error else f"the gradient is not finite in update {pack[3].lane.step + 1}"
    )
    assert 0 < pack[3].lane.step < 6
    assert weights(pack[3]).isfinite().all()
    for i in (0, 1, 2, 4, 5, 6, 7):
        assert pack[i].error is None
        difference = (weights(pack[i]) - weights(undisturbed[i])).norm()
        assert difference <= 1e-4 * weights(undisturbed[i]).norm()


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    straight = run(tmp_path / "straight", MIXED[:1])
    run(tmp_path / "torn", MIXED[:1], save_seconds=0.0)
    newest, older = checkpoint.existing(tmp_path / "torn" / "lane-0" / "checkpoints")
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    assert checkpoint.read(newest) is None
    assert checkpoint.read(older) is not None
    resumed = run(tmp_path / "torn", MIXED[:1])
    assert torch.equal(weights(straight[0]), weights(resumed[0]))
    assert "do not verify" in caplog.text


def test_a_pickle_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "step-00000003.safetensors"
    torch.save({"weight": torch.zeros(3)}, path)
    assert checkpoint.read(path) is None


def test_two_checkpoints_stay(tmp_path: Path) -> None:
    run(tmp_path, MIXED[:1], save_seconds=0.0)
    checkpoints = checkpoint.existing(tmp_path / "lane-0" / "checkpoints")
    assert [path.name for path in checkpoints] == ["step-00000006.safetensors", "step-00000005.safetensors"]


@pytest.mark.parametrize(
    ("save_seconds", "took", "expected"),
    [(60, 0.5, 60), (60, 6, 60), (60, 13, 130), (60, 500, 600), (0, 5, 0)],
)
def test_saves_are_rarer_where_they_are_slow(save_seconds: float, took: float, expected: float) -> None:
    assert interval(save_seconds, took) == expected


def test_the_journal_tells_each_term_where_it_ran(tmp_path: Path) -> None:
    pack = run(tmp_path, [tiny.config(Variant.mpc)])
    rows = [json.loads(line) for line in pack[0].run.metrics.read_text().splitlines()]
    assert [row["loss_c"] is not None for row in rows] == [True, False, True, False, False, True]
    assert all(row["loss_p"] is None and row["loss_m"] is not None for row in rows)


def test_learning_rate_is_half_a_cosine() -> None:
    settings = tiny.config(train={"lr": 2.0, "warmup_steps": 10}).train
    rates = [learning_rate(settings, step, 110) for step in (0, 5, 10, 60, 110)]
    assert rates == pytest.approx([0.0, 1.0, 2.0, 1.0, 0.0])
    constant = tiny.config(train={"lr": 2.0, "schedule": LrSchedule.constant}).train
    assert learning_rate(constant, 50, 110) == 2.0
