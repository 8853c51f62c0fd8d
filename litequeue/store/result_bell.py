"""Waiting for results: any number of threads of a process, and any number of jobs, on one bell.

One of the waiting threads listens to the socket; the others sleep on events that the listener
sets.  What there is to see, each looks up by itself.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable
from typing import Final

from litequeue.store.wakeup import EVERYTHING, NET, Bell, mark

HEARSAY: Final = 2.0
"""Seconds after which a thread looks by itself while another one of its process listens."""


class ResultBell:
    """Lets the threads of a process wait for results on one socket.  A forked child makes its own.

    A clash of two ids' marks, or a bell too full for all rings, only wakes one too many.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._bell: Bell | None = None
        self._awaited: dict[int, list[threading.Event]] = {}
        self._waiting: set[Waiting] = set()
        self._listening = False

    def register(self, *ids: str) -> Waiting:
        """Announce that this thread waits for ``ids``; look at the file after this, then wait."""
        waiting = Waiting(self)
        self.add(waiting, ids)
        return waiting

    def add(self, waiting: Waiting, ids: Iterable[str]) -> None:
        """Announce more ids of one that waits."""
        with self._lock:
            self._add(waiting, {mark(id) for id in ids})
            self._publish(self._open())

    def replace(self, waiting: Waiting, ids: Iterable[str]) -> None:
        """Announce that ``waiting`` waits for ``ids`` and for nothing else."""
        marks = {mark(id) for id in ids}
        with self._lock:
            self._discard(waiting, waiting.marks - marks)
            self._add(waiting, marks - waiting.marks)
            if self._bell is not None:
                self._publish(self._bell)

    def unregister(self, waiting: Waiting) -> None:
        """Take every announcement back, and hand the listening on."""
        self.replace(waiting, ())
        self.hand_over(waiting)

    def hand_over(self, waiting: Waiting) -> None:
        """Have another thread listen: this one will be busy for a while."""
        with self._lock:
            for other in self._waiting:
                if other is not waiting:
                    other.event.set()
                    return

    def wait(self, waiting: Waiting, timeout: float) -> None:
        """Sleep until a job may have been settled, at most ``timeout`` seconds."""
        with self._lock:
            bell = self._open()
            listens = not self._listening
            self._listening = True
        if not listens:
            waiting.event.wait(min(timeout, NET if bell.socket is None else HEARSAY))
            waiting.event.clear()
            return
        heard = b""
        try:
            heard = bell.wait(min(timeout, NET))
        finally:
            with self._lock:
                self._listening = False
                if bell is not self._bell:
                    bell.close()
        self._tell(heard)

    def close(self) -> None:
        """Take the bell down; whoever still waits makes another."""
        with self._lock:
            bell, self._bell = self._bell, None
            if bell is not None and self._listening:
                bell.retire()  # its listener closes it: the descriptor's number is still in use
            elif bell is not None:
                bell.close()

    def _add(self, waiting: Waiting, marks: set[int]) -> None:
        for each in marks - waiting.marks:
            self._awaited.setdefault(each, []).append(waiting.event)
        waiting.marks |= marks
        if waiting.marks:
            self._waiting.add(waiting)

    def _discard(self, waiting: Waiting, marks: set[int]) -> None:
        for each in marks:
            events = self._awaited[each]
            events.remove(waiting.event)
            if not events:
                del self._awaited[each]
        waiting.marks -= marks
        if not waiting.marks:
            self._waiting.discard(waiting)

    def _open(self) -> Bell:
        if self._bell is None:
            self._bell = Bell(self._path, "waiter")
            self._publish(self._bell)
        return self._bell

    def _publish(self, bell: Bell) -> None:
        bell.await_marks(self._awaited)

    def _tell(self, heard: bytes) -> None:
        marks = struct.unpack(f"={len(heard) // 4}I", heard)
        with self._lock:
            if EVERYTHING in marks:
                for waiting in self._waiting:
                    waiting.event.set()
                return
            for each in marks:
                for event in self._awaited.get(each, ()):
                    event.set()


class Waiting:
    """One thread's wait for one job, or for many."""

    __slots__ = ("_bell", "event", "marks")

    def __init__(self, bell: ResultBell) -> None:
        self._bell = bell
        self.marks: set[int] = set()
        self.event: threading.Event = threading.Event()

    def add(self, ids: Iterable[str]) -> None:
        """Wait for ``ids`` too; look at the file after this."""
        self._bell.add(self, ids)

    def replace(self, ids: Iterable[str]) -> None:
        """Wait for ``ids`` and for nothing else."""
        self._bell.replace(self, ids)

    def wait(self, timeout: float) -> None:
        """Sleep until a job may have been settled, at most ``timeout`` seconds."""
        self._bell.wait(self, timeout)

    def hand_over(self) -> None:
        """Have another thread listen, if one waits: this one will be busy for a while."""
        self._bell.hand_over(self)

    def close(self) -> None:
        """Stop waiting."""
        self._bell.unregister(self)
