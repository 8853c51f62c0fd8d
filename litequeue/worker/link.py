"""The few messages between supervisor and consumer, over a socket pair that keeps them whole.

To the consumer:
    ("manifest", fields)         what a worker knows of the app; claiming may begin
    ("app", name, root, tasks)   some of what the file may know of the app: facts for people
    ("entries", owner, part, last)  some of the entries that the code of the app defines
    ("changed", JSON)            what was changed by remote control, under a consumer before
    ("died", number, Death)      a child is dead; told again until acknowledged
    ("nudge",)                   have idle children look whether they were dismissed
    ("stop",)                    claim no more, finish what runs, give back the rest
    ("release",)                 every child is dead: give back whatever is left
    ("exit",)                    leave
To the supervisor:
    ("opened",)                  the file is open and the worker registered
    ("acknowledged", number)     a death has been dealt with
    ("reconciled",)              the file has the entries of the app's code
    ("changed", JSON)            what was changed by remote control, for the next consumer
    ("resize", count)            so many jobs are to run at once
    ("grow", count)              so many more are to run at once; fewer, below 0
    ("restart", anew)            replace all children; or all of the worker, ``anew``
    ("done",)                    there was nothing more to do, and that was all
    ("shutdown", reason)         somebody asked for a warm stop
    ("drained",)                 no lease is left
    ("fatal", code, text, clear) this worker cannot go on; ``clear``: no lease of it is in a file
"""

from __future__ import annotations

import marshal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from litequeue.exceptions import ImproperlyConfigured

MANIFEST: Final = "manifest"
APP: Final = "app"
ENTRIES: Final = "entries"
DIED: Final = "died"
STOP: Final = "stop"
RELEASE: Final = "release"
NUDGE: Final = "nudge"
EXIT: Final = "exit"
OPENED: Final = "opened"
ACKNOWLEDGED: Final = "acknowledged"
CHANGED: Final = "changed"
RECONCILED: Final = "reconciled"
RESIZE: Final = "resize"
GROW: Final = "grow"
RESTART: Final = "restart"
DONE: Final = "done"
SHUTDOWN: Final = "shutdown"
DRAINED: Final = "drained"
FATAL: Final = "fatal"
_LARGEST: Final = 400_000
"""Bytes of a message: a manifest of some 8,000 tasks."""


ONCE: Final = 1
"""The task is acknowledged before it runs (`acks_late` false)."""
FRAGILE: Final = 2
"""It is not run again when its child dies (`reject_on_worker_lost` false)."""
UNTRACKED: Final = 4
"""It is never shown as STARTED."""
HOOKED: Final = 8
"""It has hooks to call when it fails without a child."""
SILENT: Final = 16
"""No events are written about it (`send_events` false)."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the consumer knows of the app, as plain data.  Durations are seconds.

    ``kinds`` are flags of the tasks, in their order, and ``limits`` their (soft, hard) time
    limits.  ``listens`` names the signals that have receivers.  ``conf`` is JSON, for people,
    without secrets; ``facts`` is JSON about the pool (see `litequeue.worker.panel`).
    ``beat_sleep`` is how long beat sleeps at most, 0 for its own bound.
    """

    tasks: tuple[str, ...]
    kinds: tuple[int, ...]
    limits: tuple[tuple[float | None, float | None], ...]
    listens: tuple[str, ...]
    conf: str
    facts: str
    events: bool
    controlled: bool
    event_ring_size: int
    max_deliveries: int
    result_expires: float
    result_failure_expires: float
    visibility_timeout: float
    durability: str
    sent_events: bool
    beat_sleep: float

    def of_kind(self, flag: int) -> frozenset[str]:
        """Return the tasks that have ``flag``."""
        pairs = zip(self.tasks, self.kinds, strict=True)
        return frozenset(task for task, kind in pairs if kind & flag)


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a child: what its lines ran, how it ended, and whether its jobs are to blame.

    ``runs`` are (seq, token, start in epoch seconds).  ``sentence`` is why we killed it: "" for no
    job's sake, "time_limit", "terminated" (``detail``: the signal); ``sentenced`` is the token of
    the job that this was about.  ``evidence`` is JSON.
    """

    runs: tuple[tuple[int, int, float], ...]
    reason: str
    blame: bool
    sentence: str = ""
    sentenced: int = 0
    detail: float = 0.0
    evidence: str | None = None


class Link:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def send(self, kind: str, *fields: Any, wait: bool = True) -> bool:
        """Send a message; False when there is no room and ``wait`` is false.

        A peer that is gone is noticed when reading.
        """
        message = marshal.dumps((kind, *fields))
        if len(message) > _LARGEST:
            raise ImproperlyConfigured(
                f"the app's tasks take {len(message):,} bytes to describe, and a worker takes at "
                f"most {_LARGEST:,}; split the app, one worker for each part"
            )
        try:
            self.socket.send(message, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            pass
        return True

    def receive(self) -> Iterator[tuple[Any, ...]]:
        """Yield the messages that have arrived; raises EOFError once the peer is gone."""
        while True:
            try:
                message = self.socket.recv(_LARGEST, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                raise EOFError from None
            if not message:
                raise EOFError
            yield marshal.loads(message)

    def next_kind(self) -> str | None:
        """Return the kind of the message that has arrived, and leave it; None of a peer gone."""
        try:
            message = self.socket.recv(_LARGEST, socket.MSG_PEEK)
        except ConnectionResetError:
            return None
        return marshal.loads(message)[0] if message else None

    def is_cut(self) -> bool:
        """Tell whether the peer is gone, without reading anything."""
        try:
            return not self.socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Close this end."""
        self.socket.close()


def link_pair() -> tuple[Link, Link]:
    """Return the supervisor's end and the consumer's."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (one, other):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _LARGEST)
    return Link(one), Link(other)
