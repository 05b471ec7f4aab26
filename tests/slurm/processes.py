"""Processes and ports: to start one that is no child to wait for, to find, to end."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from waiting import wait_until

Env = dict[str, str]


def spawn(command: list[str], env: Env, log: Path, stdin: int | None = None) -> int:
    """Start a process in a session of its own, with its output in `log`; returns its id."""
    source = os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        streams = [
            (os.POSIX_SPAWN_DUP2, source, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ]
        program = shutil.which(command[0], path=env["PATH"]) or command[0]
        pid = os.posix_spawn(program, command, env, file_actions=streams, setsid=True)
    finally:
        os.close(source)
        os.close(output)
    # The kernel shows its environment a moment later.
    wait_until(lambda: environ(pid) or not alive(pid), f"the environment of process {pid}")
    return pid


def alive(pid: int) -> bool:
    """Whether a process runs; a dead child of this process is laid to rest."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def environ(pid: int) -> Env:
    """A process's environment as it was started; empty for one that is gone."""
    try:
        text = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    return dict(variable.split("=", 1) for variable in text.split("\0") if "=" in variable)


def chosen(selected: Callable[[Env], bool]) -> list[int]:
    """Living processes, this one aside, by their environment."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and selected(environ(pid)) and alive(pid)]


def kill_all(selected: Callable[[Env], bool]) -> None:
    """SIGKILL the chosen processes, and those that they start meanwhile; TimeoutError if some do not die."""

    def none_left() -> bool:
        pids = chosen(selected)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    wait_until(none_left, lambda: f"the end of processes {chosen(selected)}")


def connects(address: str | tuple[str, int]) -> bool:
    """Whether somebody listens on a Unix socket's path, or a host and port."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as connection:
        return connection.connect_ex(address) == 0


_reserved: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """Free ports of 127.0.0.1, below those that the kernel gives to clients: a daemon that is down keeps its own.

    For as long as this process lives nobody else who asks so is given them, while a daemon may listen there: it
    shares them, as Slurm's do, with who is bound and does not listen.
    """
    ports: list[int] = []
    for port in random.sample(range(20000, 32000), 1000):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ports.append(port)
            _reserved.append(probe.dup())
        if len(ports) == count:
            break
    return ports
