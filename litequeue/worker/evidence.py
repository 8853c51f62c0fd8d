"""Crash evidence: what is known of how the process of an attempt died.

A child writes its last stacks itself, into a file beside the slots, when a fault kills it
(`enable`).  Whoever buries it puts together what that file, the kernel and the captured output
say (`collect`).  It is JSON, stored with the failed attempt.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
from collections.abc import Callable, Iterable
from typing import Any, Final

from litequeue.worker import capture

MOST_FAULT: Final = 16 * 1024
"""Characters kept of a dump of stacks: the thread that died comes first."""
DUMP: Final = getattr(signal, "SIGRTMIN", 0) + 11
"""The signal that asks a child for the stacks of all its threads, before it is ended."""
_KIB: Final = 1024
_MOST_COUNTERS: Final = 64 * 1024
_EXECUTOR: Final = f'File "{os.path.join(os.path.dirname(__file__), "executor.py")}"'
_files: list[int] = []


# In a child


def fault_path(base: str, index: int) -> str:
    """Return the file for the last words of the child ``index``."""
    return f"{base}.{index}.fault"


def enable(path: str) -> None:
    """Have this process write its stacks to ``path`` when a fault ends it, or `DUMP` asks for them.

    Raises OSError when the file cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    faulthandler.enable(file=fd)
    if hasattr(faulthandler, "register") and DUMP > 11:
        faulthandler.register(DUMP, file=fd)
    for old in _files:
        os.close(old)
    _files[:] = [fd]


# Beside its grave


def collect(
    status: int,
    usage: resource.struct_rusage | None = None,
    *,
    fault: str | None = None,
    output: str | None = None,
    ours: bool = False,
    oom_kills: OomKills | None = None,
) -> str:
    """Return what is known of a death, as JSON.

    ``status`` and ``usage`` are what `os.wait4` said, ``fault`` is the path given to `enable`,
    ``output`` what the attempt had printed; ``ours`` means that the worker killed it on purpose.
    """
    found: dict[str, Any] = {}
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        found["signal"] = signal_name(number)
        if ours:
            found["killed_by"] = "worker"
        elif number == signal.SIGKILL and oom_kills is not None and oom_kills.take():
            found["killed_by"] = "kernel"
            found["out_of_memory"] = "probable"
    else:
        found["exit_code"] = os.WEXITSTATUS(status)
    if usage is not None:
        found["max_rss"] = usage.ru_maxrss * _KIB
        found["cpu_seconds"] = round(usage.ru_utime + usage.ru_stime, 3)
    if fault is not None and (dump := _read(fault)):
        found["stacks"] = dump
    if last := capture.last_lines(output):
        found["output"] = last
    return json.dumps(found)


def signal_name(number: int) -> str:
    """Return "SIGSEGV" for 11, "signal 99" for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def summary(evidence: str | None) -> str:
    """Say in a few words what evidence adds to a death: "probably out of memory, peak 512 MB"."""
    try:
        found = json.loads(evidence or "{}")
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    words = []
    if found.get("out_of_memory") is not None:
        words.append("probably out of memory")
    peak = found.get("max_rss")
    if isinstance(peak, int):
        words.append(f"peak {peak / 1e6:,.0f} MB")
    return ", ".join(words)


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        text = os.pread(fd, MOST_FAULT, 0).decode("utf-8", "replace")
    finally:
        os.close(fd)
    return _without_our_frames(text.replace("\0", "").strip())


def _without_our_frames(dump: str) -> str:
    """Leave out what called the user's function: every stack begins with the same frames."""
    kept, ours = [], False
    for line in dump.splitlines():
        ours = bool(line.strip()) and (ours or _EXECUTOR in line)
        if not ours:
            kept.append(line)
    return "\n".join(kept)


class OomKills:
    """Tells whether the kernel has just killed somebody for want of memory.

    It says only how many it killed, not whom: in our control group, or else on this machine.  So a
    SIGKILL that nobody here sent is *probably* its when that count has grown of late; each kill
    explains one death.
    """

    def __init__(self, count: Callable[[], int] | None = None) -> None:
        counters = _counters()  # once: an idle worker looks every few seconds
        self._count = count or (lambda: _oom_kills(counters))
        self._earlier = self._before = self._count()

    def look(self) -> None:
        """Forget what is old: call it every few seconds; counts last for two calls."""
        self._earlier, self._before = self._before, max(self._before, self._count())

    def take(self) -> bool:
        """Tell whether there was a kill that explains no other death yet."""
        if self._count() <= self._earlier:
            return False
        self._earlier += 1
        self._before = max(self._before, self._earlier)
        return True


def _counters() -> list[tuple[str, str]]:
    """Return (file, key) of what counts such kills: this control group's, or the machine's."""
    found: list[tuple[str, str]] = []
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            found.append((f"/sys/fs/cgroup{path}/memory.events", "oom_kill"))
        elif "memory" in controllers.split(","):
            found.append((f"/sys/fs/cgroup/memory{path}/memory.oom_control", "oom_kill"))
    return [*found, ("/proc/vmstat", "oom_kill")]


def _oom_kills(counters: Iterable[tuple[str, str]]) -> int:
    for path, key in counters:
        for line in _lines(path):
            name, _, value = line.partition(" ")
            if name == key and value.isdecimal():
                return int(value)
    return 0


def _lines(path: str) -> list[str]:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return []
    try:  # plain calls: a text file takes three times as long
        return os.read(fd, _MOST_COUNTERS).decode("ascii", "replace").splitlines()
    except OSError:
        return []
    finally:
        os.close(fd)
