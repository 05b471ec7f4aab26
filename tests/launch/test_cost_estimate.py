"""A study's price: closed forms, paces known from files of finished runs, and the budget's edge."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scoft_hpc.config import compose
from scoft_hpc.config.cluster import Cluster, Scheduler
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.identity import run_id
from scoft_hpc.config.plain import to_plain
from scoft_hpc.config.schema import Evaluation, Model, Negatives, NegativeSource, RunConfig, Train, Variant
from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.cost_estimate import (
    CORE_TFLOPS,
    STARTUP_SECONDS,
    CostEstimate,
    Throughput,
    estimate_cost,
    estimate_throughput,
    minutes,
    prepare_seconds,
    require_budget,
)
from scoft_hpc.launch.planning.cost_estimate import pack_seconds as pack_seconds
from scoft_hpc.launch.planning.packing import Pack, run_cost
from scoft_hpc.launch.planning.plan import Plan, Run
from scoft_hpc.study import atomic, job_array
from scoft_hpc.study.job_array import Attempt, JobArray
from scoft_hpc.study.paths import StudyDir

SITE = Cluster(
    name="site",
    scheduler=Scheduler.slurm,
    gpus={"v100-32": {"tflops": 8, "cores": 5}, "h100-80": {"tflops": 40, "su_per_hour": 2}},
)
CONFIG = RunConfig(
    model=Model(digest="weights"),
    train=Train(steps=10),
    evaluation=Evaluation(prompts=1, samples=1, steps=10),
)


def run(variant: Variant = Variant.ldm, **changes: Any) -> Run:
    config = replace(CONFIG, variant=variant, **changes)
    return Run(run_id(config), config, 0 if variant is Variant.base else 10)


RUNS = [run(v, culture=c) for c in ("korea", "china") for v in (Variant.base, Variant.ldm, Variant.mpc)]


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return planned(tmp_path / "mine", RUNS)


def planned(path: Path, runs: Sequence[Run]) -> StudyDir:
    folder = StudyDir(path)
    plan_store.write(folder, Plan(folder.name, "", path.parent, (), tuple(runs)))
    return folder


def finish(study: StudyDir, runs: Sequence[Run], per_unit: float, device: str = "cuda:0") -> float:
    """Write the runs' results as lanes of one pack do, which are all charged alike; return their seconds together."""
    total = per_unit * sum(map(run_cost, runs))
    for one in runs:
        share = {"train": total / len(runs) / 2, "generate": total / len(runs) / 2, "score": 0.0}
        atomic.write_json(study.run(one.run_id).result, {"seconds": share})
        atomic.write_json(study.run(one.run_id).provenance, {"device": device})
    return total


def send(
    study: StudyDir, tasks: Sequence[Sequence[Run]], cluster: Cluster = SITE, stage: str = job_array.TRAIN
) -> Path:
    """Write a batch; return its folder."""
    number = len(job_array.read_all(study)) + 1
    sent = JobArray(
        name=f"{stage}-{number:03d}-000000", stage=stage, created=1000.0 * number, user="me",
        tasks=tuple(tuple(one.run_id for one in task) for task in tasks), seconds=(1.0,) * len(tasks),
        gpu="", su_per_hour=1.0, minutes=10, sbatch_options={},
        cluster=to_plain(cluster), user_requested=True,
    )  # fmt: skip
    job_array.write(study, sent)
    return job_array.folder_of(study, sent.name)


def attempt(folder: Path, task: int, seconds: float, progress: int = 0, code: int = 0) -> None:
    restart = len(list(folder.glob(f"{task}.*.json")))
    saved = {"a": progress}
    start = Attempt(task=task, restart=restart, job=f"1_{task}", host="w1", started=5000.0, progress=saved)
    job_array.write_attempt(folder, replace(start, ended=5000.0 + seconds, code=code))


def test_an_estimate_by_hand(study: StudyDir) -> None:
    estimate = estimate_throughput(study, RUNS, SITE)
    assert estimate.seconds == pytest.approx(803 / 8000), "803 GFLOP at 8 TFLOP/s"
    assert (estimate.startup, estimate.source) == (STARTUP_SECONDS, "estimated from 8 TFLOP/s of v100-32")
    packed = Pack(tuple(RUNS[:2]), 100.0)
    assert pack_seconds(packed, estimate) == pytest.approx(STARTUP_SECONDS + 10.0375)


def test_an_estimate_follows_the_gpu_the_model_and_its_size(study: StudyDir) -> None:
    assert estimate_throughput(study, RUNS, replace(SITE, gpu="h100-80")).seconds == pytest.approx(
        803 / 40_000
    )
    assert (
        estimate_throughput(study, RUNS, replace(SITE, gpus={})).source
        == "estimated from 10 TFLOP/s of a GPU"
    )
    small = [run(model=Model(resolution=256, digest="weights"))]
    assert estimate_throughput(study, small, SITE).seconds == pytest.approx(180.1 / 8000, rel=0.02), (
        "counted at 256 px"
    )
    toy = [run(model=Model(resolution=64, gflop=0.08))]
    assert estimate_throughput(study, toy, SITE).seconds == pytest.approx(1e-5)
    assert estimate_throughput(study, [], SITE).seconds == 0, "nothing is left to run"


def test_on_a_cpu_the_gpu_counts_for_nothing(study: StudyDir) -> None:
    estimate = estimate_throughput(study, [run(device="cpu")], SITE)
    assert estimate.seconds == pytest.approx(0.803 / (5 * CORE_TFLOPS))
    assert estimate.source == "estimated from 0.1 TFLOP/s of 5 CPU cores"


def test_packs_tell_the_pace_though_their_lanes_are_charged_alike(study: StudyDir) -> None:
    send(study, [RUNS[:3], RUNS[3:]])
    finish(study, RUNS[:3], 0.25)
    estimate = estimate_throughput(study, RUNS[3:], SITE)
    assert estimate.seconds == pytest.approx(0.25)
    assert estimate.source == "measured on 3 runs of this study"
    finish(study, RUNS[3:], 0.75)
    assert estimate_throughput(study, RUNS, SITE).seconds == pytest.approx(0.5), "the median of both packs"


def test_startup_is_what_a_job_took_beyond_its_runs(study: StudyDir) -> None:
    folder = send(study, [RUNS[:3], RUNS[3:]])
    first, second = finish(study, RUNS[:3], 0.25), finish(study, RUNS[3:], 0.25)
    attempt(folder, 0, first + 17)
    attempt(folder, 1, 5, code=75)
    attempt(folder, 1, second / 2, progress=4)  # it continued, and took less than its runs did in all
    assert estimate_throughput(study, RUNS, SITE).startup == pytest.approx(17)


def test_a_resent_run_is_counted_once_and_where_it_ran_last(study: StudyDir) -> None:
    folder = send(study, [RUNS[:3]])
    send(study, [RUNS[:1]])
    finish(study, RUNS[:3], 0.25)
    attempt(folder, 0, 1000)
    estimate = estimate_throughput(study, RUNS, SITE)
    assert (estimate.source, estimate.startup) == ("measured on 3 runs of this study", STARTUP_SECONDS)


def test_another_gpu_site_or_device_measures_nothing(study: StudyDir) -> None:
    send(study, [RUNS])
    finish(study, RUNS, 0.25)
    for other in (replace(SITE, gpu="h100-80"), replace(SITE, name="elsewhere")):
        assert estimate_throughput(study, RUNS, other).source.startswith("estimated")
    assert estimate_throughput(study, [run(device="cpu")], SITE).source.startswith("estimated")
    assert estimate_throughput(study, [run(model=Model(digest="others"))], SITE).source.startswith(
        "estimated"
    )
    assert estimate_throughput(study, RUNS, replace(SITE, gpu="v100-32")).source.startswith("measured")


def test_local_runs_measure_a_cpu_and_no_cluster_gpu(study: StudyDir) -> None:
    finish(study, RUNS[:2], 3.0, device="cpu")
    finish(study, RUNS[2:3], 0.01, device="cuda:0")
    assert estimate_throughput(study, RUNS, SITE).source.startswith("estimated")
    estimate = estimate_throughput(study, [run(device="cpu")], SITE)
    assert (estimate.seconds, estimate.source) == (pytest.approx(3.0), "measured on 2 runs of this study")


def test_jobs_that_found_no_gpu_measure_the_jobs_to_come(study: StudyDir) -> None:
    send(study, [RUNS])
    finish(study, RUNS, 0.25, device="cpu")
    assert estimate_throughput(study, RUNS, SITE).seconds == pytest.approx(0.25)


def test_the_newest_other_study_that_fits_stands_in(study: StudyDir) -> None:
    output = study.path.parent
    for name, size, per_unit in (("older", 512, 0.125), ("newer", 512, 0.5), ("other", 64, 9.0)):
        model = Model(digest="weights", resolution=size)
        runs = [run(culture=name, model=model), run(Variant.mpc, culture=name, model=model)]
        earlier = planned(output / name, runs)
        send(earlier, [runs])
        finish(earlier, runs, per_unit)
    (output / "broken").mkdir()
    (output / "broken" / "plan.json").write_text("{")
    estimate = estimate_throughput(study, RUNS, SITE)
    assert (estimate.seconds, estimate.source) == (
        pytest.approx(0.5),
        "measured on 2 runs of the study newer",
    )


def test_of_a_large_study_only_some_results_are_read(tmp_path: Path) -> None:
    runs = [run(culture=f"c{n}") for n in range(200)]
    large = planned(tmp_path / "large", runs)
    send(large, [runs[n : n + 10] for n in range(0, 200, 10)])
    finish(large, runs, 0.25)
    assert estimate_throughput(large, runs, SITE).source == "measured on 64 runs of this study"


def test_preparing_by_hand(tmp_path: Path) -> None:
    unit = Throughput(1.0, 5.0, "")
    encoded, decoded = 1117 / 803, 2515 / 803
    metadata = tmp_path / "korea" / "train" / "metadata.jsonl"
    metadata.parent.mkdir(parents=True)
    metadata.write_text('{"file_name": "x.png"}\n' * 10 + "\n")
    data = replace(CONFIG.data, root=str(tmp_path))

    def drawing(pairs: int | None = None, **changes: Any) -> float:
        negatives = replace(Negatives(), **changes)
        return prepare_seconds(run(data=replace(data, pairs=pairs, negatives=negatives)), unit)

    given = drawing(source=NegativeSource.given)
    assert given == pytest.approx(5 + 10 * 2 * encoded)
    assert drawing(4, source=NegativeSource.given) == pytest.approx(5 + 4 * 2 * encoded)
    drawn = drawing(source=NegativeSource.txt2img, steps=20, per_positive=3)
    assert drawn == pytest.approx(given + 10 * 3 * (encoded + 40 + decoded))
    half = drawing(source=NegativeSource.img2img, steps=20, strength=0.5)
    assert half == pytest.approx(given + 10 * (encoded + 20 + decoded))


@pytest.mark.parametrize(
    ("longest", "changes", "expected"),
    [
        (3600, {}, 95),  # an hour and a half, two minutes to save in, up to the next five
        (3600, {"warn_seconds": 600}, 100),
        (1, {}, 10),
        (1, {"min_minutes": 2}, 5),
        (1e6, {}, 2880),
        (1e6, {"max_minutes": 477}, 477),
        (3600, {"minutes": 7}, 7),
    ],
)
def test_time_limit(longest: float, changes: dict[str, int], expected: int) -> None:
    assert minutes([1.0, longest], replace(SITE, **changes)) == expected


def test_time_limit_of_nothing_is_the_shortest() -> None:
    assert minutes([], SITE) == 10


def test_price_by_hand() -> None:
    train, prepare = estimate_cost([3600, 5400], 2.0), estimate_cost([1800], 1.0)
    assert train == CostEstimate(2.5, 5.0)
    assert prepare == CostEstimate(0.5, 0.5)


def test_budget_is_met_to_the_last_unit_and_not_beyond() -> None:
    require_budget(None, 1e9, CostEstimate(1e9, 1e9))
    require_budget(0.3, 0.1, CostEstimate(0.2, 0.2))
    require_budget(0.0, 0.0, CostEstimate())
    with pytest.raises(LaunchError) as caught:
        require_budget(10, 6.25, CostEstimate(2.5, 5.0))
    for arguments in (
        "budget.su=10",
        "6.25 SU are spent",
        "5.00 more",
        "2.50 GPU-hours",
        "1.25 too many",
        "budget.su=12",
    ):
        assert arguments in str(caught.value)
    with pytest.raises(LaunchError):
        require_budget(5, 0, CostEstimate(5.01, 5.01))


def test_toy_says_its_own_work() -> None:
    config = compose.compose("sweep", [])
    assert isinstance(config, SweepConfig)
    assert config.model.gflop is not None
    written = json.loads(json.dumps(compose.to_mapping(replace(CONFIG, model=config.model))))
    assert math.isclose(compose.from_mapping(written).model.gflop or 0, config.model.gflop)
