"""A real Slurm on one machine: slurmctld, slurmdbd on MariaDB, and three nodes of eight fake V100s each.

    python tests/slurm/machine.py up DIR       bring it up in DIR and leave it running
    python tests/slurm/machine.py down DIR     end it: daemons, jobs and DIR are gone
    python tests/slurm/machine.py shell DIR    the same, for as long as the shell that it opens (`make cluster`)

Everything lies in one folder: configuration (from `slurm.conf` beside this file), spool, state, logs, database, munge's
key and socket, device files. Ports are its own, so that several machines live side by side. Needs root: `mknod` makes
the GPUs, and slurmd starts jobs in their users' names.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, it is of no package yet

from slurm import layout
from slurm.layout import DAEMONS, MARK, NODES, SEARCH_PATH, is_machine
from slurm.processes import Env, alive, environ, kill_all, spawn
from waiting import PATIENCE, wait_until

PACKAGES = "slurm-wlm slurmdbd munge mariadb-server"
PROGRAMS = (
    "slurmctld",
    "slurmd",
    "slurmdbd",
    "munged",
    "mariadbd",
    "mariadb-install-db",
    "sbatch",
    "sacctmgr",
)
ACCOUNTS = ("abc123p", "xyz456p")
ENDED = "COMPLETED,FAILED,CANCELLED,TIMEOUT,NODE_FAIL,PREEMPTED,OUT_OF_MEMORY,BOOT_FAIL,DEADLINE"


class MachineError(Exception):
    """The machine cannot be brought up, or does not do as told; says which part and what to do."""


class PackagesError(MachineError):
    """Slurm is not installed."""


@dataclass(frozen=True)
class Machine:
    """A running Slurm in `folder`. It holds no state: any process may make one of the same folder."""

    folder: Path

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def env(self) -> Env:
        """What Slurm's commands need in their environment, and this process's PATH."""
        return {"SLURM_CONF": str(self.conf), "PATH": f"{os.environ.get('PATH', '')}:{SEARCH_PATH}"}

    def run(self, *arguments: str, check: bool = True) -> str:
        """What a Slurm command says, as `run("squeue", "--me")`.

        One that fails raises MachineError, or without `check` gives its output and its complaint.
        """
        outside = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))
        }
        done = subprocess.run(
            arguments,
            env=outside | self.env,
            timeout=PATIENCE,
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        if done.returncode == 0:
            return (done.stdout or done.stderr).strip()
        if check:
            raise MachineError(
                f"{' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}".strip()
            )
        return (done.stdout + done.stderr).strip()

    # Daemons: munged, mariadbd, slurmdbd, slurmctld, and every slurmd by the name of its node.

    def start(self, daemon: str) -> None:
        """Start a daemon and wait until it answers; nothing to do if it does. MachineError has the tail of its log."""
        folder = self.folder
        if self.pid(daemon) is None:
            pid = spawn(
                layout.command(folder, daemon), layout.environment(folder, daemon), layout.log(folder, daemon)
            )
            (folder / "pids" / daemon).write_text(str(pid))
        _wait(
            lambda: self.pid(daemon) is None or self._answers(daemon),
            lambda: f"{daemon} to answer. {layout.log_tail(folder, daemon)}",
        )
        if self.pid(daemon) is None:
            raise MachineError(f"{daemon} does not start. {layout.log_tail(folder, daemon)}")

    def stop(self, daemon: str) -> None:
        """End a daemon as its init script would; jobs live on."""
        self._end(daemon, signal.SIGTERM)

    def kill(self, daemon: str) -> None:
        """SIGKILL for a daemon alone; jobs live on."""
        self._end(daemon, signal.SIGKILL)

    def pid(self, daemon: str) -> int | None:
        """The daemon's process, or None when it does not run."""
        try:
            pid = int((self.folder / "pids" / daemon).read_text())
        except FileNotFoundError:
            return None
        return pid if alive(pid) and self._is_daemon(environ(pid)) else None

    def _end(self, daemon: str, number: signal.Signals) -> None:
        pid = self.pid(daemon)
        if pid is None:
            return
        os.kill(pid, number)
        _wait(lambda: not alive(pid), lambda: f"{daemon} (process {pid}) to end on {number.name}")

    def _answers(self, daemon: str) -> bool:
        if daemon == "slurmctld":  # jobs that start before their node has registered again may fail at srun
            return "is UP" in self.run("scontrol", "ping", check=False) and not self._unregistered()
        if daemon == "slurmdbd":
            return "error" not in self.run("sacctmgr", "-n", "show", "cluster", check=False).lower()
        return layout.listens(self.folder, daemon)

    def _unregistered(self) -> list[str]:
        """The running nodes that slurmctld has not heard of since it started."""
        states = self.node_states()
        return [node for node in NODES if self.pid(node) is not None and states[node].startswith("UNK")]

    # Faults, and what hurries Slurm along.

    def node_fail(self, node: str, *, zombies: bool = False) -> None:
        """A node dies, as by a power cut: slurmd and its jobs are gone, and slurmctld knows it.

        With `zombies` only slurmd dies: Slurm gives the node up while the jobs' processes go on.
        """
        self.kill(node)
        if not zombies:  # slurmstepd first, or it would still report how its job ended
            self._kill(lambda env: self._is_daemon(env) and env.get("SLURMD_NODENAME") == node)
            self._kill(lambda env: self._is_job(env) and env.get("SLURMD_NODENAME") == node)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=failed")

    def node_back(self, node: str) -> None:
        """The node boots again and takes jobs."""
        self.start(node)
        if re.search("DOWN|DRAIN|FAIL", self.node_state(node)):
            self.run(
                "scontrol", "update", f"nodename={node}", "state=resume", check=False
            )  # it may be back by now
        self.wait_ready(node)

    def node_state(self, node: str) -> str:
        return self.node_states()[node]

    def node_states(self) -> dict[str, str]:
        lines = self.run("sinfo", "-h", "-N", "-p", "GPU-shared", "-o", "%N %T").splitlines()
        return {node: state.upper() for node, state in map(str.split, lines)}

    def wait_ready(self, *nodes: str) -> None:
        """Wait until slurmctld may send jobs to these nodes."""
        _wait(lambda: not self._unready(nodes), lambda: f"nodes to become ready: {self.node_states()}")

    def _unready(self, nodes: Iterable[str]) -> list[str]:
        states = self.node_states()
        return [node for node in nodes if states[node] not in ("IDLE", "MIXED", "ALLOCATED")]

    def expire(self, job: str, seconds: int = 0) -> None:
        """Let a running job reach its time limit so many seconds from now.

        Slurm knows limits in whole minutes and looks at them every 30 s: the job ends up to 30 s later than said.
        """
        self.run("scontrol", "update", f"jobid={job}", f"EndTime=now+{seconds}")

    def purge_records(self) -> None:
        """Make slurmctld forget the jobs that have ended (about 15 s); what is pending or running stays."""
        kept = self.conf.read_text()
        self._restart_slurmctld(re.sub(r"MinJobAge=\d+", "MinJobAge=2", kept))
        try:
            _wait(
                lambda: not self.run("squeue", "-h", "-t", ENDED),
                lambda: f"slurmctld to forget ended jobs:\n{self.run('squeue', '-t', 'all')}",
            )
        finally:
            self._restart_slurmctld(kept)

    def _restart_slurmctld(self, conf: str) -> None:
        self.conf.write_text(conf)
        self.stop("slurmctld")
        self.start("slurmctld")
        self.wait_ready(*NODES)

    def release_requeued(self) -> None:
        """Let jobs start now that wait only since they were requeued (or were asked to begin later)."""
        waiting = self.run("squeue", "-h", "-r", "-t", "PENDING", "-o", "%A %r").splitlines()
        for job in [line.split()[0] for line in waiting if line.endswith("BeginTime")]:
            self.run(
                "scontrol", "update", f"jobid={job}", "StartTime=now", check=False
            )  # it may have started

    @contextlib.contextmanager
    def hurrying(self) -> Iterator[None]:
        """Release requeued jobs once a second while the block runs."""
        over = threading.Event()

        def hurry() -> None:
            while not over.wait(1):
                with contextlib.suppress(MachineError, subprocess.TimeoutExpired):  # slurmctld may be down
                    self.release_requeued()

        thread = threading.Thread(target=hurry, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    # The end of a test, and of the machine.

    def quiet(self) -> None:
        """Daemons up, nodes ready, no job and no process of one: what a test expects, and leaves."""
        for daemon in DAEMONS:
            self.start(daemon)

        def none_left() -> bool:  # a job that ends may have sent another one since we looked
            self.run("scancel", "--user=root", check=False)
            self._kill(self._is_job)
            return self.run("squeue", "-h", check=False) == ""

        _wait(none_left, lambda: f"jobs to end:\n{self.run('squeue')}")
        for node in self._unready(NODES):
            self.node_back(node)

    def down(self) -> None:
        """End every daemon and every job's process, and remove the folder."""
        daemons = [pid for daemon in DAEMONS if (pid := self.pid(daemon))]
        self._kill(self._is_daemon)
        self._kill(self._is_job)
        _wait(  # reaps this process's children
            lambda: not any(alive(pid) for pid in daemons), lambda: f"the end of daemons {daemons}"
        )
        if is_machine(self.folder):
            shutil.rmtree(self.folder)

    def _kill(self, selected: Callable[[Env], bool]) -> None:
        try:
            kill_all(selected)
        except TimeoutError as error:
            raise MachineError(str(error)) from error

    def _is_daemon(self, env: Env) -> bool:
        """A daemon or a slurmstepd, which has its environment from slurmd."""
        return env.get(MARK) == str(self.folder)

    def _is_job(self, env: Env) -> bool:
        return env.get("SLURM_CONF") == str(self.conf) and "SLURM_JOB_ID" in env


def _wait(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    """MachineError, with what was waited for, if it does not become so."""
    try:
        wait_until(condition, what)
    except TimeoutError as error:
        raise MachineError(str(error)) from error


def up(
    folder: Path, *, min_job_age: int = 200, kill_wait: int = 5, requeue_delay: int = 5, watched: bool = False
) -> Machine:
    """Bring a machine up in `folder`, which must be new, empty or a former machine's (that one is ended first).

    `min_job_age`: seconds after which slurmctld forgets an ended job (it looks once a minute).
    `kill_wait`: seconds between SIGTERM and SIGKILL. `requeue_delay`: seconds before a requeued job starts again.
    `watched`: the machine goes down when this process ends, however it ends.
    Raises PackagesError, and MachineError with the tail of the log of the daemon that does not start.
    """
    missing = [program for program in PROGRAMS if shutil.which(program, path=SEARCH_PATH) is None]
    if missing:
        install = f"apt-get update && apt-get install -y --no-install-recommends {PACKAGES}"
        raise PackagesError(f"not installed: {', '.join(missing)}. As root: {install}")
    if os.geteuid() != 0:
        raise MachineError(
            "a machine needs root: mknod makes its GPUs, slurmd starts jobs in their users' names"
        )
    machine = Machine(folder.absolute())
    if is_machine(machine.folder):
        machine.down()
    if machine.folder.exists() and any(machine.folder.iterdir()):
        raise MachineError(f"{folder} holds other files: choose a new or an empty folder")
    layout.write(
        machine.folder, {"min_job_age": min_job_age, "kill_wait": kill_wait, "requeue_delay": requeue_delay}
    )
    try:
        if watched:
            _watch(machine)
        _start_all(machine)
    except BaseException:
        machine.down()
        raise
    return machine


def _start_all(machine: Machine) -> None:
    machine.run(*layout.new_database(machine.folder))
    for daemon in ("munged", "mariadbd", "slurmdbd"):
        machine.start(daemon)
    accounts = ",".join(ACCOUNTS)
    machine.run("sacctmgr", "-i", "add", "cluster", "scoft")
    machine.run("sacctmgr", "-i", "add", "account", accounts)
    machine.run("sacctmgr", "-i", "add", "user", "root", f"account={accounts}")
    machine.run("sacctmgr", "-i", "modify", "user", "root", "set", f"defaultaccount={ACCOUNTS[0]}")
    for daemon in ("slurmctld", *NODES):
        machine.start(daemon)
    machine.wait_ready(*NODES)


def _watch(machine: Machine) -> None:
    """Start a process that takes the machine down when this one is gone: the pipe between them ends then."""
    reader, _ = os.pipe()  # the writing end stays open for as long as this process lives, and no child has it
    command = [sys.executable, __file__, "watch", str(machine.folder)]
    spawn(
        command, {**os.environ, MARK: str(machine.folder)}, layout.log(machine.folder, "watch"), stdin=reader
    )
    os.close(reader)


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["up", folder]:
                machine = up(Path(folder))
                sys.stdout.write(f"export SLURM_CONF={machine.conf}\nsinfo\n")
                return 0
            case ["down", folder] if is_machine(Path(folder)):
                Machine(Path(folder).absolute()).down()
                return 0
            case ["down", folder]:
                raise MachineError(f"no machine in {folder}")
            case ["shell", folder]:
                return _shell(Path(folder).absolute())
            case ["watch", folder]:
                sys.stdin.read()  # ends with the machine's owner
                Machine(Path(folder)).down()
                return 0
    except MachineError as error:
        sys.stderr.write(f"{error}\n")
        return 3 if isinstance(error, PackagesError) else 1
    sys.stderr.write(f"{__doc__}\n")
    return 2


def _shell(folder: Path) -> int:
    """A shell with Slurm's commands pointed at the machine in `folder`, which ends with the shell that began it."""
    begun = Machine(folder).pid("slurmctld") is None
    machine = up(folder, watched=True) if begun else Machine(folder)
    sys.stdout.write(
        f"{machine.run('sinfo')}\n\nSlurm runs in {folder}, "
        f"{'and ends when you leave this shell' if begun else 'and stays when you leave this shell'}.\n"
        f"In another shell: export SLURM_CONF={machine.conf}\n"
        "Try: sbatch --gpus=v100-32:1 --wrap 'env | grep CUDA; sleep 60'; squeue\n"
    )
    sys.stdout.flush()
    try:
        subprocess.run([os.environ.get("SHELL", "/bin/bash")], env={**os.environ, **machine.env})
        return 0  # the shell's code is that of its last command
    finally:
        if begun:
            machine.down()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
