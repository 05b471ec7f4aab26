"""`survey serve` as a process: started, killed and started again at one address."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field

import httpx

from scoft_hpc.study.paths import StudyDir
from waiting import ANSWER_PATIENCE, wait_until


@dataclass
class Served:
    """A survey's server at a loopback address of its own, so that its port is free when it starts again."""

    study: StudyDir
    database: str
    host: str = field(
        default_factory=lambda: ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])
    )
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        if not self.port:
            with socket.socket() as free:
                free.bind((self.host, 0))
                self.port = free.getsockname()[1]
        settings = [f"output={self.study.path.parent}", f"database={self.database}"]
        command = [sys.executable, "-m", "scoft_hpc.survey", "serve", self.study.name, *settings]
        self.process = subprocess.Popen(
            [*command, f"host={self.host}", f"port={self.port}"], stdout=subprocess.DEVNULL
        )
        wait_until(self._answers, "the server to answer", process=self.process)

    def kill(self) -> None:
        """SIGKILL: the server finishes nothing."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(ANSWER_PATIENCE)

    def _answers(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/style.css", timeout=ANSWER_PATIENCE, trust_env=False)
            return answer.status_code == 200
        except httpx.TransportError:
            return False
