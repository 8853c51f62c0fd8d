"""Slots: one line of shared memory per child, telling what it runs.

A file, so that it outlives the worker and tells whoever cleans up after it which jobs were
running and which processes to end.  A child writes its slot before user code starts (0.2 µs), so
neither limits nor blame need a message per job.  What was acknowledged before it ran is noted for
longer than it runs: whoever finds no verdict must know that it has begun.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from dataclasses import dataclass
from typing import Final

from litequeue.exceptions import ImproperlyConfigured

CAPACITY: Final = 1000
_HEADER: Final = struct.Struct("=QQ")  # the consumer's beats, number of slots
_BEATS: Final = struct.Struct("=Q")
_COUNT: Final = struct.Struct("=Q")
_CHILD: Final = struct.Struct("=qqq")  # pid, start time in ticks, READY once it listens
_RUN: Final = struct.Struct("=qdq")  # seq, start (epoch seconds), token; seq 0: idle
_BEGUN: Final = struct.Struct("=Q")  # how many tokens have been noted in the child's ring
_TOKEN: Final = struct.Struct("=q")
_SIZE: Final = 64
_RUN_OFFSET: Final = 32
_BEGUN_OFFSET: Final = 56
RING: Final = 512
"""Tokens that a child notes: more than it may begin before the consumer has settled the first."""
_RING_SIZE: Final = RING * _TOKEN.size


@dataclass(frozen=True, slots=True)
class Running:
    """What a child was running when its slot was read.  ``started`` is in epoch seconds."""

    seq: int
    started: float
    token: int


class Slots:
    """The slots of one worker.  One process writes each line; everybody may read all."""

    def __init__(self, path: str, *, capacity: int = 0) -> None:
        """Create the file for up to ``capacity`` children; with 0, open an existing one."""
        self.path = path
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if capacity else 0), 0o600)
        try:
            if capacity:
                os.ftruncate(fd, _SIZE + (_SIZE + _RING_SIZE) * capacity)
            self._memory = mmap.mmap(fd, 0)
        finally:
            os.close(fd)
        self._capacity = (len(self._memory) - _SIZE) // (_SIZE + _RING_SIZE)
        self._rings = _SIZE * (self._capacity + 1)

    @property
    def count(self) -> int:
        """How many children there are to be; only the supervisor changes it."""
        return min(int(_HEADER.unpack_from(self._memory)[1]), self._capacity)

    @count.setter
    def count(self, count: int) -> None:
        if count > self._capacity:
            raise ImproperlyConfigured(f"a worker has at most {self._capacity} children")
        _COUNT.pack_into(self._memory, _BEATS.size, count)

    def beat(self) -> None:
        """Show that the consumer is alive."""
        _BEATS.pack_into(self._memory, 0, self.beats() + 1)

    def beats(self) -> int:
        """Return the number of beats so far."""
        return int(_HEADER.unpack_from(self._memory)[0])

    def assign(self, index: int, pid: int, start_time: int) -> None:
        """Give a line to a new child.  The supervisor does this before the child listens."""
        _RUN.pack_into(self._memory, _offset(index) + _RUN_OFFSET, 0, 0.0, 0)
        _CHILD.pack_into(self._memory, _offset(index), pid, start_time, 0)
        for token in (0, RING - 1):  # takes room on the disk now: later there may be none
            at = self._ring(index) + token * _TOKEN.size
            _TOKEN.pack_into(self._memory, at, *_TOKEN.unpack_from(self._memory, at))

    def child(self, index: int) -> tuple[int, int]:
        """Return (pid, start time) of the child, pid 0 for none."""
        pid, start_time, _ = _CHILD.unpack_from(self._memory, _offset(index))
        return pid, start_time

    def listen(self, index: int) -> None:
        """Say that the child takes jobs from now on."""
        pid, start_time = self.child(index)
        _CHILD.pack_into(self._memory, _offset(index), pid, start_time, 1)

    def listens(self, index: int) -> bool:
        """Tell whether the child has started to take jobs."""
        return bool(_CHILD.unpack_from(self._memory, _offset(index))[2])

    def begin(self, index: int, seq: int, started: float, token: int) -> None:
        """Say that the child runs this job, before it does."""
        _RUN.pack_into(self._memory, _offset(index) + _RUN_OFFSET, seq, started, token)

    def end(self, index: int) -> None:
        """Say that the child runs nothing, after its outcome is on its way."""
        _RUN.pack_into(self._memory, _offset(index) + _RUN_OFFSET, 0, 0.0, 0)

    def begin_once(self, index: int, token: int) -> None:
        """Note that a job begins that was acknowledged before it runs; `end` does not strike it."""
        count_at = _offset(index) + _BEGUN_OFFSET
        (count,) = _BEGUN.unpack_from(self._memory, count_at)
        at = self._ring(index) + count % RING * _TOKEN.size
        _TOKEN.pack_into(self._memory, at, token)
        _BEGUN.pack_into(self._memory, count_at, count + 1)

    def begun(self) -> set[int]:
        """Return the tokens of such jobs, of all children that there were."""
        end = self._rings + self.count * _RING_SIZE
        return {token for (token,) in _TOKEN.iter_unpack(self._memory[self._rings : end])}

    def running(self, index: int) -> Running | None:
        """Return what the child runs; compare its token before believing it."""
        seq, started, token = _RUN.unpack_from(self._memory, _offset(index) + _RUN_OFFSET)
        return Running(seq, started, token) if seq else None

    def all_running(self) -> dict[int, Running]:
        """Return what all children run, by seq."""
        found = (self.running(index) for index in range(self.count))
        return {running.seq: running for running in found if running is not None}

    def _ring(self, index: int) -> int:
        return self._rings + index * _RING_SIZE

    def unlink(self) -> None:
        """Remove the file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def _offset(index: int) -> int:
    return _SIZE * (index + 1)
