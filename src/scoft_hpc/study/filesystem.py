"""The file system that holds a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# fmt: off
SHARED = frozenset({
    "lustre", "gpfs", "beegfs", "nfs", "nfs4", "ceph", "wekafs", "panfs", "afs", "cifs", "9p", "fuse.sshfs",
    "fuse.ceph", "fuse.glusterfs", "gfs2", "glusterfs", "ocfs2", "orangefs", "pvfs2", "smb3",
})
# fmt: on
"""Types of file systems that a cluster's nodes usually share."""


@dataclass(frozen=True)
class Mount:
    """A mounted file system: where, of which type (such as `ext4` or `lustre`), and its mount options."""

    point: Path
    kind: str
    options: tuple[str, ...]


def nearest_folder(path: Path) -> Path:
    """The path, or if it does not exist the closest of its parents that does."""
    path = path.expanduser().absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def mount_of(folder: Path, mounts: Path) -> Mount:
    """The file system that holds the folder, according to the kernel's table `mounts`, such as /proc/self/mounts."""
    path, mount = folder.resolve(), Mount(Path("/"), "unknown", ())
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return mount
    for line in lines:
        _, name, kind, options, *_ = line.split()
        point = Path(name.replace("\\040", " "))
        if path.is_relative_to(point) and len(point.parts) >= len(mount.point.parts):
            mount = Mount(point, kind, tuple(options.split(",")))
    return mount
