"""Who lives, who is dead, and who cannot be seen from here.  Proof, not time.

A pid alone proves nothing: it is used again, in a container at once.  Boot id, pid namespace, pid
and start time together name one process for ever.  Where the pid cannot be looked up (another
namespace), the lock that the worker's processes hold tells: it is free once they are gone.
"""

from __future__ import annotations

import contextlib
import enum
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterable
from typing import Final

from litequeue.clock import Clock
from litequeue.exceptions import StoreError
from litequeue.locks import is_free
from litequeue.store.filesystem import side_directory
from litequeue.store.workers import Identity, Owner

OWNER_VARIABLE: Final = "LITEQUEUE_OWNER"
"""Set in every child, so that what a task starts can be recognised."""
KILL_PATIENCE: Final = 2.0
MAX_PID: Final = 0x7FFFFFFF
_LINUX: Final = sys.platform == "linux"


class Life(enum.Enum):
    """What can be said about a process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNSEEN = "unseen"


def worker_directory(path: str) -> str:
    """Return the directory for a worker's files, beside the queue file; raises `StoreError`."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        raise StoreError(f"there is no directory {parent}; make it, or check the path of the file")
    directory = side_directory(path)
    if directory is None:
        raise StoreError(
            f"{path}.bell cannot be this worker's directory: it must be yours and writable; "
            f"look at it with `ls -ld {path}.bell`"
        )
    return directory


def own_identity(directory: str, name: str | None) -> Identity:
    """Describe this process as a supervisor.  ``directory`` is where its files are."""
    nonce = secrets.token_hex(8)
    return Identity(
        name=name or f"{socket.gethostname()}-{os.getpid()}",
        nonce=nonce,
        boot=_boot_id(),
        namespace=_pid_namespace(),
        pid=os.getpid(),
        start_time=start_time(os.getpid()) or 0,
        directory=directory,
    )


def base_path(identity: Identity) -> str:
    """Return the path that the worker's own files share: .lock, .slots, spooled messages."""
    return os.path.join(identity.directory, f"worker-{identity.nonce}")


def judge(owner: Identity) -> Life:
    """Say whether a worker's supervisor lives."""
    if not booted_here(owner):
        return Life.DEAD
    life = _judge_pid(owner.pid, owner.start_time) if can_see(owner) else Life.UNSEEN
    # A pid may be that of a program which has stopped the worker inside it, or become another.
    if life is Life.DEAD or is_free(base_path(owner) + ".lock"):
        return Life.DEAD
    return life


def is_alive(owner: Owner, *, now: float, silence: float) -> bool:
    """Tell whether a worker lives: by proof, else by a heartbeat within ``silence`` seconds."""
    life = judge(owner.identity)
    if life is Life.UNSEEN:
        return now - owner.heartbeat < silence
    return life is Life.ALIVE


def can_see(owner: Identity) -> bool:
    """Tell whether the worker's pids mean the same processes here."""
    return owner.namespace == _pid_namespace()


def _judge_pid(pid: int, started: int) -> Life:
    if not 0 < pid <= MAX_PID:  # no process, but several, or more than the system can count
        return Life.DEAD
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return Life.DEAD
    except PermissionError:
        pass  # it exists and belongs to somebody else
    now = start_time(pid)
    if now is None:
        return Life.UNSEEN
    return Life.ALIVE if now == started else Life.DEAD


def start_time(pid: int) -> int | None:
    """Return when a process started, in a unit of this machine; 0 for a zombie, None if unknown.

    On Linux field 22 of /proc/<pid>/stat, in ticks since boot: unlike psutil's epoch time it does
    not move when the clock is set.
    """
    if _LINUX:
        fields = _stat(pid)
        if fields is None:
            return None
        return 0 if fields[0] in ("Z", "X") else int(fields[19])
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 1000)
    except psutil.Error:
        return None


def _stat(pid: int | str) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the third (the state) on."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def booted_here(owner: Identity) -> bool:
    """Tell whether an owner ran since this machine's last start, as far as that can be known."""
    boot = _boot_id()
    return not boot or not owner.boot or owner.boot == boot


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


# Ending what a dead worker left behind


def kill_orphans(
    children: Iterable[tuple[int, int]], nonce: str, slots_path: str, clock: Clock
) -> list[int]:
    """End the sessions that (pid, start time) ``children`` led; return the pids still there.

    Every child leads a session of its own, whose number the kernel gives to nobody else while a
    member lives.  A member is ours when it carries the owner's nonce in its environment
    (programs) or the slots in its memory (forks); whoever may write to the file alone cannot
    make another process look like that.
    """
    led = {pid: started for pid, started in children if pid}
    if not led or not _LINUX:
        return []
    deadline = clock.monotonic() + KILL_PATIENCE
    while True:
        members = _members(led, nonce, slots_path)
        if not members or clock.monotonic() > deadline:
            return members
        for pid in members:
            _kill(pid, led, nonce, slots_path)
        clock.sleep(0.002)


def _members(led: dict[int, int], nonce: str, slots_path: str) -> list[int]:
    return [
        int(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and _is_ours(int(entry), led, nonce, slots_path)
    ]


def _is_ours(pid: int, led: dict[int, int], nonce: str, slots_path: str) -> bool:
    fields = _stat(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return False
    session = int(fields[3])
    if session not in led and pid not in led:
        return False
    if pid in led and int(fields[19]) != led[pid]:
        return False
    return _holds(f"/proc/{pid}/environ", f"{OWNER_VARIABLE}={nonce}") or _holds(
        f"/proc/{pid}/maps", slots_path
    )


def _holds(path: str, text: str) -> bool:
    try:
        with open(path, "rb") as file:
            return os.fsencode(text) in file.read()
    except OSError:
        return False


def _kill(pid: int, led: dict[int, int], nonce: str, slots_path: str) -> None:
    """Kill a process through a descriptor, so that it cannot be a newer one of the same pid."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if _is_ours(pid, led, nonce, slots_path):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
