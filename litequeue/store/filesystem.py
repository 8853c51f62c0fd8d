"""Where a queue file may live: a regular file on a filesystem whose locks work.

WAL needs shared memory between all users of the file (sqlite.org/wal.html), which network and
cross-VM filesystems do not give; some corrupt the file without an error.  So the mount is asked,
not the error waited for.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from litequeue.exceptions import UnsafeFilesystem

MOUNTS: Final = "/proc/self/mountinfo"
_UNSAFE_NAMES: Final = (
    "9p afs beegfs ceph cifs coda davfs fuse.davfs2 fuse.gcsfuse fuse.glusterfs fuse.osxfs "
    "fuse.rclone fuse.s3fs fuse.sshfs fuse.vmhgfs-fuse fuse.grpcfuse glusterfs gpfs lustre nfs "
    "nfs4 ocfs2 prl_fs smb3 smbfs vboxsf virtiofs"
)
UNSAFE: Final = frozenset(_UNSAFE_NAMES.split())


def check(path: str) -> None:
    """Raise `UnsafeFilesystem` when SQLite's locks cannot be trusted where ``path`` is."""
    kind = filesystem_of(path, MOUNTS)
    if kind in UNSAFE:
        raise UnsafeFilesystem(
            f"{path} is on {kind}, where SQLite's locks do not hold and jobs would be lost; "
            "keep the queue on a local disk (in a container: a named volume)"
        )


def filesystem_of(path: str, mounts: str) -> str | None:
    """Return the type of the filesystem that holds ``path``, links followed; None if unknown.

    The file itself may be a mount point: a container can be given a single file.
    """
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
            table = [line.split(" ") for line in lines]
    except OSError:
        return None
    real = os.path.realpath(path)
    best, kind = -1, None
    for fields in table:
        point = _unescape(fields[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), fields[fields.index("-") + 1]
    return kind


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def create_private(path: str) -> None:
    """Create an empty file that only its owner may open, before SQLite could make it 0644.

    SQLite gives the -wal and -shm files the mode of the database.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    if os.name != "posix":
        return
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def side_directory(path: str) -> str | None:
    """Return the directory beside the file for bells, slots and locks; None without one.

    It is made with mode 0700, and not used when it belongs to another user.  It lies beside the
    file, so that all who can find the one can find the other, whatever their environment.
    """
    directory = path + ".bell"
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return None
    try:
        status = os.lstat(directory)
    except OSError:
        return None
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return directory if mine and stat.S_ISDIR(status.st_mode) else None
