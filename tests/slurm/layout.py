"""What lies in a machine's folder, and how its daemons are called."""

from __future__ import annotations

import json
import os
import secrets
import socket
import stat
from pathlib import Path
from string import Template

from slurm.processes import Env, connects, free_ports

NODES = ("w001", "w002", "w003")
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", *NODES)  # in the order of their start
GPUS = 8
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MARK = "SLURM_TEST_MACHINE"  # in the environment of every daemon and slurmstepd: the folder it belongs to


def is_machine(folder: Path) -> bool:
    return (folder / "machine.json").exists()


def write(folder: Path, settings: dict[str, int]) -> None:
    """Make the folder's files: configuration, munge's key, GPUs, places for spool, state, logs and process ids."""
    for name in ("munge", "state", "log", "pids", "dev", "tmp", *(f"spool/{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)  # munged wants everybody to reach its socket
    services = ("slurmctld", "slurmdbd", *NODES)
    ports = dict(zip(services, free_ports(len(services)), strict=True))
    (folder / "machine.json").write_text(json.dumps({"ports": ports}))
    values = {
        "folder": folder,
        "host": socket.gethostname().split(".")[0],
        "nodes": ",".join(NODES),
        "slurmctld_port": ports["slurmctld"],
        "slurmdbd_port": ports["slurmdbd"],
        "node_ports": ",".join(str(ports[node]) for node in NODES),
        **settings,
    }
    for name in ("slurm.conf", "slurmdbd.conf"):
        template = Template((Path(__file__).parent / name).read_text())
        (folder / name).write_text(template.substitute(values))
    (folder / "slurmdbd.conf").chmod(0o600)
    (folder / "gres.conf").write_text(f"Name=gpu Type=v100-32 File={folder}/dev/gpu[0-{GPUS - 1}]\n")
    for number in range(GPUS):
        os.mknod(folder / "dev" / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null
    (folder / "munge" / "key").write_bytes(secrets.token_bytes(128))
    (folder / "munge" / "key").chmod(0o600)


def new_database(folder: Path) -> list[str]:
    """The command that makes an empty database, with root of this machine as its root.

    Every mariadbd removes at its start what others have left in its folder for temporary tables, or still use there.
    """
    places = [f"--datadir={folder}/database", f"--tmpdir={folder}/tmp"]
    options = ["--no-defaults", "--user=root", *places, "--skip-test-db"]
    return [
        "mariadb-install-db",
        *options,
        "--auth-root-authentication-method=socket",
        "--auth-root-socket-user=root",
    ]


def command(folder: Path, daemon: str) -> list[str]:
    """A daemon's command line, in the foreground."""
    munge = folder / "munge"
    if daemon == "munged":
        files = {
            "socket": "socket",
            "key-file": "key",
            "pid-file": "pid",
            "seed-file": "seed",
            "log-file": "log",
        }
        return [
            "munged",
            "--foreground",
            "--num-threads=10",
            *(f"--{option}={munge / files[option]}" for option in files),
        ]
    if daemon == "mariadbd":
        files = {
            "datadir": "database",
            "socket": "mariadb.socket",
            "pid-file": "mariadb.pid",
            "tmpdir": "tmp",
        }
        options = ["--no-defaults", "--user=root", "--skip-networking", "--innodb-flush-log-at-trx-commit=0"]
        return ["mariadbd", *options, *(f"--{option}={folder / files[option]}" for option in files)]
    return ["slurmd", "-D", "-N", daemon] if daemon in NODES else [daemon, "-D"]


def environment(folder: Path, daemon: str) -> Env:
    """A daemon's environment. slurmdbd finds the database's socket there, its own configuration has no word for it."""
    slurm = {"SLURM_CONF": f"{folder}/slurm.conf", "MYSQL_UNIX_PORT": f"{folder}/mariadb.socket"}
    node = {"SLURMD_NODENAME": daemon} if daemon in NODES else {}
    # The mark comes last: slurmstepd has slurmd's environment and writes its title over the beginning.
    return {"PATH": SEARCH_PATH, "LANG": "C", **slurm, **node, MARK: str(folder)}


def listens(folder: Path, daemon: str) -> bool:
    """Whether a daemon takes connections."""
    sockets = {"munged": f"{folder}/munge/socket", "mariadbd": f"{folder}/mariadb.socket"}
    if daemon in sockets:
        return connects(sockets[daemon])
    return connects(("127.0.0.1", json.loads((folder / "machine.json").read_text())["ports"][daemon]))


def log(folder: Path, daemon: str) -> Path:
    return folder / "log" / f"{daemon}.log"


def log_tail(folder: Path, daemon: str) -> str:
    path = log(folder, daemon)
    lines = path.read_text(errors="replace").splitlines()[-15:] if path.exists() else ["(nothing)"]
    return "\n".join([f"{path} ends with:", *lines])
