"""`survey serve` as a process: what it refuses, what it prints, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from human_eval.web.survey_client import CULTURES, SECRET
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.human_eval.survey import Ethics, Survey
from scoft_hpc.human_eval.web import rater_sessions
from scoft_hpc.human_eval.web.serve import ServerAddress, _ethics, open_socket, parse_address
from scoft_hpc.study.paths import StudyDir
from surveys import SYSTEMS, create_survey_study, pages_of
from waiting import ANSWER_PATIENCE

PILOT = Survey("Images", "a-study", SYSTEMS, dict.fromkeys(CULTURES, 3), ethics=Ethics(pilot=True), pages=2)


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    """A study whose pages are drawn."""
    return create_survey_study(tmp_path, PILOT, pages_of(*CULTURES, number=4))


@contextmanager
def served(study: StudyDir, *settings: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "scoft_hpc.survey", "serve", f"output={study.path.parent}", *settings]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def printed_lines(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    assert all(lines), process.communicate()
    return {name: text.strip() for name, text in (line.split(" ", 1) for line in lines)}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_addresses_and_ends_on_a_signal(study: StudyDir, number: signal.Signals) -> None:
    with served(study, "port=0") as process:
        lines = printed_lines(process)
        address, token = re.split(r"\s+token ", lines["progress"])
        assert address == lines["raters"] + "admin"
        with httpx.Client(timeout=ANSWER_PATIENCE) as client:
            assert client.get(lines["raters"]).status_code == 200
            answer = client.post(f"{address}/login", data={"token": token}, follow_redirects=True)
            assert "<h1>Progress</h1>" in answer.text
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=ANSWER_PATIENCE)
        assert (process.returncode, rest, complaints) == (0, "", "")


def test_a_busy_port_is_reported(study: StudyDir) -> None:
    with open_socket("127.0.0.1", 0) as occupied:
        port = occupied.getsockname()[1]
        with served(study, f"port={port}") as process:
            _, complaints = process.communicate(timeout=ANSWER_PATIENCE)
    assert process.returncode == LaunchError.exit_code
    assert f"nothing can listen at 127.0.0.1:{port}: Address already in use" in complaints
    assert "Traceback" not in complaints


def test_a_pilot_stays_on_this_machine(study: StudyDir) -> None:
    with served(study, "host=0.0.0.0", "url=https://survey.example.edu") as process:
        _, complaints = process.communicate(timeout=ANSWER_PATIENCE)
    assert process.returncode == ConfigError.exit_code
    assert "a survey without approval is served on this machine only, not at 0.0.0.0" in complaints


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(
    ("ethics", "local_faults", "remote_faults"),
    [
        (Ethics(), 1, 2),
        (Ethics(pilot=True), 0, 1),
        (Ethics("IRB 1"), 0, 0),
        (Ethics("IRB 1", pilot=True), 0, 0),
    ],
)
def test_what_a_survey_without_approval_may_not_do(
    ethics: Ethics, local_faults: int, remote_faults: int, local: bool
) -> None:
    address = ServerAddress(
        "127.0.0.1", 8000, "http://localhost:8000" if local else "https://survey.example.edu"
    )
    assert len(list(_ethics(replace(PILOT, ethics=ethics), address))) == (
        local_faults if local else remote_faults
    )


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, ServerAddress("127.0.0.1", 8000, "http://127.0.0.1:8000")),
        ({"host": "::1", "port": "9000"}, ServerAddress("::1", 9000, "http://[::1]:9000")),
        ({"host": "localhost", "port": "0"}, ServerAddress("localhost", 0, "http://localhost:0")),
        (
            {"host": "0.0.0.0", "url": "https://survey.example.edu/"},
            ServerAddress("0.0.0.0", 8000, "https://survey.example.edu"),
        ),
    ],
)
def test_addresses(settings: dict[str, str], address: ServerAddress) -> None:
    assert parse_address(settings) == address


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"port": "eighty"}, "port=eighty: expected a number from 0"),
        ({"port": "65536"}, "port=65536: expected"),
        ({"port": "-1"}, "port=-1: expected"),
        ({"port": "٣"}, "expected a number"),
        ({"host": "0.0.0.0"}, "add url=https://survey.example.edu"),
        ({"url": "survey.example.edu"}, "expected the address alone"),
        ({"url": "https://example.edu/survey"}, "has more than a host and a port"),
        ({"url": "https://me:pw@example.edu"}, "has more than"),
        ({"url": "http://example.edu"}, "unencrypted"),
        ({"url": "https://example.edu:port"}, "cannot be read"),
        ({"host": "0.0.0.0", "port": "x"}, "- port=x.*\n- host=0.0.0.0"),
    ],
)
def test_addresses_that_cannot_be(settings: dict[str, str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        parse_address(settings)


def test_an_address_of_another_machine_is_reported() -> None:
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(LaunchError, match=host):
            open_socket(host, 8000)
    with open_socket("::1", 0) if socket.has_dualstack_ipv6() else open_socket("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def test_a_secret_that_others_know_is_none(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(ConfigError, match="survey make` writes it"):
        rater_sessions.secret(path)
    path.write_bytes(SECRET)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        rater_sessions.secret(path)
    path.chmod(0o600)
    assert rater_sessions.secret(path) == SECRET
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="holds 5 bytes"):
        rater_sessions.secret(path)
