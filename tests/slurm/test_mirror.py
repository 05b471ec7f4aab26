"""The mirror in a job: it sends from the compute node, and a server that hangs keeps no job."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from slurm.machine import Machine
from slurm.studies_on_slurm import contents, paced
from wandb_server import KEY, serving


@pytest.mark.parametrize("fault", ["none", "hangs"])
def test_a_jobs_curves_are_sent_from_its_node(
    cluster: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    login = tmp_path / "netrc"
    output = tmp_path / "outputs"
    with serving() as server:
        login.write_text(f"machine {server.url.removeprefix('http://')}\n  login user\n  password {KEY}\n")
        login.chmod(0o600)
        server.pause = 120.0 if fault == "hangs" else 0.0
        for name, value in {**server.environment(tmp_path / "config"), "NETRC": str(login)}.items():
            monkeypatch.setenv(name, value)
        study = paced(cluster, output, "wandb.mode=online", "wandb.live=true", steps=20, hold=[0])
        arguments = [argument for argument in study.command() if argument != "wandb.mode=disabled"]
        sent = subprocess.run(arguments, capture_output=True, text=True)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        study.wait(lambda: "mirror: curves of study go to W&B" in study.logs(), "the mirror")
        if fault == "none":
            study.wait(lambda: any(run.steps for run in list(server.runs.values())), "rows at the server")
        assert not study.runs[0].ended
        study.order(hold=[])
        study.wait_done()
        study.wait_idle()
    (attempt,) = study.attempts()
    assert attempt.code == 0
    if fault == "none":
        (run,) = server.runs.values()
        assert run.steps == list(range(1, len(run.steps) + 1)), "each row once"
    assert not [path for path, content in contents(output, cluster.folder) if KEY.encode() in content]
