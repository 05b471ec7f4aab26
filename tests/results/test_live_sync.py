"""Curves while a study runs: what reaches W&B and TensorBoard before the end, and what is left to publish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from results.event_files import read, series
from results.study_maker import Maker
from scoft_hpc.config.schema import RunConfig, Wandb, WandbMode
from scoft_hpc.results import study, table
from scoft_hpc.results.wandb_sync import live, publish
from scoft_hpc.results.wandb_sync.live import LiveSync
from scoft_hpc.results.wandb_sync.session import WandbTimeouts
from scoft_hpc.study.lease import Lease
from waiting import wait_until
from wandb_server import WandbServer

ONLINE, DISABLED = Wandb(mode=WandbMode.online), Wandb(mode=WandbMode.disabled)
STEPS = list(range(1, 21))
QUICK = WandbTimeouts(finish_seconds=2.0, api_seconds=2, pauses=())


@pytest.fixture
def server(wandb_server: WandbServer) -> WandbServer:
    return wandb_server


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """A run, planned."""
    return Maker.of(tmp_path / "outputs", cultures=("korea",), variants=("ldm",), seeds=(0,))


def save(maker: Maker, config: RunConfig, steps: int, saved: int) -> None:
    """The run at work: so many steps, up to `saved` in a checkpoint."""
    run = maker.run(config)
    maker.train(config, steps)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    (run.checkpoints / f"step-{saved:08d}.safetensors").touch()


@contextmanager
def mirroring(
    maker: Maker,
    settings: Wandb = ONLINE,
    messages: list[str] | None = None,
    min_rest: float = live.MIN_REST_SECONDS,
) -> Iterator[LiveSync]:
    loaded, sent = study.read(maker.folder), [] if messages is None else messages
    with live.live_sync(loaded, loaded.runs, settings, True, sent.append, QUICK, min_rest) as sync:
        yield sync
    assert sent == [] or messages is not None


def send(maker: Maker) -> list[str]:
    loaded = study.read(maker.folder)
    return publish.publish(loaded, table.rows(loaded), ONLINE, QUICK)


@pytest.mark.slow
def test_what_is_saved_is_sent_at_once_and_publish_adds_the_rest(maker: Maker, server: WandbServer) -> None:
    (config,) = maker.configs
    events = maker.folder.tensorboard / maker.run(config).run_id
    with mirroring(maker) as sync:
        assert not sync.send_new_rows() and server.runs == {}, "there is nothing to send yet"
        save(maker, config, 10, 8)
        assert not sync.send_new_rows()
        wait_until(
            lambda: bool(server.runs) and server.run("korea-ldm").steps == STEPS[:8], "8 steps at the server"
        )
        run = server.run("korea-ldm")
        assert (run.state, run.starts) == ("running", 1)
        assert series(read(events), "loss")[0] == STEPS[:8]
        save(maker, config, 18, 16)
        assert not sync.send_new_rows()
        wait_until(lambda: run.steps == STEPS[:16], "16 steps at the server")
    assert series(read(events), "loss")[0] == STEPS[:16]

    save(maker, config, 19, 18)
    with mirroring(maker) as sync:  # another process
        sync.send_new_rows()
        wait_until(lambda: run.steps == STEPS[:18], "18 steps at the server")
        maker.finish()
        assert sync.send_new_rows()
        assert (run.steps, run.state) == (STEPS, "finished")
    assert "diversity" not in run.summary
    assert send(maker) == []
    assert run.steps == [row["trainer/step"] for row in run.history] == STEPS
    assert (run.summary["status"], run.summary["diversity"] > 0) == ("done", True)
    assert len(server.runs) == 2
    assert series(read(events), "loss")[0] == STEPS
    with mirroring(maker) as sync:
        opened = server.operations.count("UpsertBucket")
        assert sync.send_new_rows() and server.operations.count("UpsertBucket") == opened, (
            "what has ended is left alone"
        )


@pytest.mark.slow
def test_a_server_that_is_away_is_tried_again_and_the_event_files_do_not_wait(
    maker: Maker, server: WandbServer
) -> None:
    (config,), messages = maker.configs, []
    save(maker, config, 10, 8)
    server.operations.append("gone")
    server.dies_after = "gone"
    with mirroring(maker, messages=messages, min_rest=0.0) as sync:
        assert not sync.send_new_rows() and not server.runs
        assert series(read(maker.folder.tensorboard / maker.run(config).run_id), "loss")[0] == STEPS[:8]
        server.dies_after = None
        assert not sync.send_new_rows()
        wait_until(
            lambda: bool(server.runs) and server.run("korea-ldm").steps == STEPS[:8], "8 steps at the server"
        )
        server.dies_after = "gone"
        save(maker, config, 18, 16)
        assert not sync.send_new_rows(), "wandb takes the rows and keeps them"
        maker.finish()
    server.dies_after = None
    (note,) = messages
    assert note.startswith("W&B does not take korea-ldm") and "`gather` sends what is missing" in note
    assert send(maker) == []
    assert server.run("korea-ldm").steps == STEPS


@pytest.mark.slow
def test_one_mirror_a_run(maker: Maker, server: WandbServer) -> None:
    (config,) = maker.configs
    save(maker, config, 10, 8)
    held = Lease.acquire(maker.folder.sync_lease(maker.run(config).run_id))
    with mirroring(maker) as sync:
        assert not sync.send_new_rows() and not maker.folder.tensorboard.exists()
        held.release()
        assert not sync.send_new_rows()
        wait_until(
            lambda: bool(server.runs) and server.run("korea-ldm").steps == STEPS[:8], "8 steps at the server"
        )


@pytest.mark.slow
def test_an_attempt_that_fell_back_goes_on_under_its_id(maker: Maker, server: WandbServer) -> None:
    """A failed run was published whole; its retry begins at an older checkpoint."""
    (config,) = maker.configs
    maker.fail(config, at_step=12)
    assert send(maker) == []
    run = maker.run(config)
    run.failure.unlink()
    run.metrics.unlink()
    save(maker, config, 9, 8)
    with mirroring(maker) as sync:
        sync.send_new_rows()
        save(maker, config, 18, 16)
        sync.send_new_rows()
        wait_until(lambda: server.run("korea-ldm").steps == STEPS[:16], "16 steps at the server")
    assert len(server.runs) == 2
