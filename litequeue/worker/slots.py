"""Slots: shared memory that tells which children there are, and what runs on each of their lines.

A file, so that it outlives the worker and tells whoever cleans up after it which jobs were
running and which processes to end.  A line is one place where a job runs: a child has one, or, in
a pool that runs many jobs in one process, many.  It is written before user code starts (0.2 µs),
so neither limits nor blame need a message per job.  What was acknowledged before it ran is noted
for longer than it runs: whoever finds no verdict must know that it has begun.
"""

from __future__ import annotations

import contextlib
import enum
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from litequeue.exceptions import ImproperlyConfigured

CAPACITY: Final = 1000
"""Children that a worker has at most, those included that replace others."""
MOST_LINES: Final = 20_000
_HEADER: Final = struct.Struct("=QQdQQQ")
"""The consumer's beats, jobs at once, when limits are looked at next, children, lines per child,
tokens per ring.  Behind them: how many jobs the worker has taken."""
_TAKEN: Final = struct.Struct("=q")
_BEATS: Final = struct.Struct("=Q")
_COUNT: Final = struct.Struct("=Q")
_WAKE: Final = struct.Struct("=d")
_CHILD: Final = struct.Struct("=qqq")  # pid, start time in ticks, stage
_STAGE: Final = struct.Struct("=q")
_RUN: Final = struct.Struct("=qdqdd")  # seq, start (epoch seconds), token, limits; seq 0: idle
_LIMITS: Final = struct.Struct("=dd")  # soft and hard deadline, monotonic seconds; 0: none
_ASKED: Final = struct.Struct("=qq")  # token of a job to be terminated, and the signal
_BEGUN: Final = struct.Struct("=Q")  # how many tokens have been noted in the child's ring
_TOKEN: Final = struct.Struct("=q")
_SIZE: Final = 64
_COUNT_OFFSET: Final = 8
_WAKE_OFFSET: Final = 16
_TAKEN_OFFSET: Final = _HEADER.size
_STAGE_OFFSET: Final = 16
_BEGUN_OFFSET: Final = 24
_DISMISSED_OFFSET: Final = 32
_LIMITS_OFFSET: Final = 24
_ASKED_OFFSET: Final = 40
_IDLE: Final = (0, 0.0, 0, 0.0, 0.0)
_PER_PAGE: Final = 4096 // _TOKEN.size
RING: Final = 512
"""Tokens that a child notes at least: more than it may begin before the first is settled."""


class Stage(enum.IntEnum):
    """How far a child has come."""

    STARTING = 0
    WAITING = 1
    """It could take jobs, and waits until there is a place for one more child."""
    SERVING = 2
    LEAVING = 3
    """It has made room for another one, and takes no more jobs."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a line ran when it was read.

    ``started`` is in epoch seconds; ``soft`` and ``hard`` are the moments of its limits, in
    monotonic seconds, 0 for none.
    """

    seq: int
    started: float
    token: int
    soft: float = 0.0
    hard: float = 0.0


class Slots:
    """The slots of one worker.  One process writes each field; everybody may read all.

    Opens the file at ``path``; `create` makes it.
    """

    def __init__(self, path: str, *, _create: bool = False) -> None:
        self.path = path
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if _create else 0), 0o600)
        try:
            if _create:
                os.ftruncate(fd, _SIZE)
                os.pwrite(fd, bytes(_SIZE), 0)  # room on the disk now: later there may be none
            self._memory = mmap.mmap(fd, 0)
        finally:
            os.close(fd)
        self.children: int = 0
        self.per_child: int = 0
        self.lines: int = 0
        self._ring_length = 0
        self._lines_at = self._rings_at = _SIZE
        self._read_layout()

    @classmethod
    def create(cls, path: str, *, children: int = 0, per_child: int = 1) -> Slots:
        """Make the file; for ``children`` of so many lines each, or to be laid out later."""
        slots = cls(path, _create=True)
        if children:
            slots.lay_out(children=children, per_child=per_child)
        return slots

    # Its size, which is known only after the app has been imported

    def lay_out(self, *, children: int, per_child: int) -> None:
        """Make room for ``children`` of ``per_child`` lines each.  Others then call `remap`."""
        if children > CAPACITY or per_child > MOST_LINES:
            raise ImproperlyConfigured(
                f"a worker has at most {CAPACITY} children and {MOST_LINES:,} jobs at once"
            )
        ring = max(RING, per_child)
        size = _SIZE * (1 + children + children * per_child) + children * ring * _TOKEN.size
        with open(self.path, "r+b") as file:
            file.truncate(size)
        struct.pack_into("=QQQ", self._memory, _WAKE_OFFSET + 8, children, per_child, ring)
        self.remap()

    def remap(self) -> None:
        """See all of the file after somebody has laid it out."""
        with open(self.path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._read_layout()

    def _read_layout(self) -> None:
        _, _, _, children, per_child, ring = _HEADER.unpack_from(self._memory)
        size = _SIZE * (1 + children + children * per_child) + children * ring * _TOKEN.size
        if len(self._memory) < size:  # what is in the file may be anything
            children = per_child = ring = 0
        self.children, self.per_child, self._ring_length = children, per_child, ring
        self.lines = children * per_child
        self._lines_at = _SIZE * (1 + children)
        self._rings_at = self._lines_at + _SIZE * self.lines

    # The header

    @property
    def count(self) -> int:
        """How many jobs are to run at once; only the supervisor changes it."""
        return min(int(_COUNT.unpack_from(self._memory, _COUNT_OFFSET)[0]), self.lines)

    @count.setter
    def count(self, count: int) -> None:
        if count > self.lines:
            raise ImproperlyConfigured(f"this worker runs at most {self.lines:,} jobs at once")
        _COUNT.pack_into(self._memory, _COUNT_OFFSET, count)

    @property
    def processes(self) -> int:
        """How many children are to serve."""
        return -(-self.count // self.per_child) if self.per_child else 0

    def beat(self) -> None:
        """Show that the consumer is alive."""
        _BEATS.pack_into(self._memory, 0, self.beats() + 1)

    def beats(self) -> int:
        """Return the number of beats so far."""
        return int(_BEATS.unpack_from(self._memory)[0])

    @property
    def wake_at(self) -> float:
        """When whoever enforces limits looks at the lines again (monotonic seconds)."""
        return float(_WAKE.unpack_from(self._memory, _WAKE_OFFSET)[0])

    @wake_at.setter
    def wake_at(self, moment: float) -> None:
        _WAKE.pack_into(self._memory, _WAKE_OFFSET, moment)

    @property
    def taken(self) -> int:
        """How many jobs the worker has taken; the consumer counts, and its successor goes on."""
        return int(_TAKEN.unpack_from(self._memory, _TAKEN_OFFSET)[0])

    @taken.setter
    def taken(self, count: int) -> None:
        _TAKEN.pack_into(self._memory, _TAKEN_OFFSET, count)

    # Children

    def assign(self, index: int, pid: int, start_time: int) -> None:
        """Give a place to a new child.  The supervisor does this before the child listens."""
        for line in self.lines_of(index):
            at = self._line(line)
            _RUN.pack_into(self._memory, at, *_IDLE)
            _ASKED.pack_into(self._memory, at + _ASKED_OFFSET, 0, 0)
        at = _SIZE * (index + 1)
        _CHILD.pack_into(self._memory, at, pid, start_time, Stage.STARTING)
        _STAGE.pack_into(self._memory, at + _DISMISSED_OFFSET, 0)
        room = (*range(0, self._ring_length, _PER_PAGE), self._ring_length - 1)
        for token in room:  # takes room on the disk now
            at = self._ring(index) + token * _TOKEN.size
            _TOKEN.pack_into(self._memory, at, *_TOKEN.unpack_from(self._memory, at))

    def vacate(self, index: int) -> None:
        """Take note that a child is dead; what it ran stays to be seen."""
        _CHILD.pack_into(self._memory, _SIZE * (index + 1), 0, 0, Stage.STARTING)

    def child(self, index: int) -> tuple[int, int]:
        """Return (pid, start time) of the child, pid 0 for none."""
        pid, start_time, _ = _CHILD.unpack_from(self._memory, _SIZE * (index + 1))
        return pid, start_time

    def pid_of(self, line: int) -> int:
        """Return the process that runs a line: its child, or else this whole program."""
        return self.child(line // self.per_child)[0] or os.getpid()

    def all_children(self) -> list[tuple[int, int]]:
        """Return (pid, start time) of every child that has not been buried."""
        found = (self.child(index) for index in range(self.children))
        return [child for child in found if child[0]]

    def stage(self, index: int) -> Stage:
        """Return how far a child has come."""
        (stage,) = _STAGE.unpack_from(self._memory, _SIZE * (index + 1) + _STAGE_OFFSET)
        return Stage(stage) if stage in _STAGES else Stage.STARTING

    def set_stage(self, index: int, stage: Stage) -> None:
        """Say how far this child has come."""
        _STAGE.pack_into(self._memory, _SIZE * (index + 1) + _STAGE_OFFSET, stage)

    def dismiss(self, index: int) -> None:
        """Ask a child to leave after what it runs; it looks after each message and each job."""
        _STAGE.pack_into(self._memory, _SIZE * (index + 1) + _DISMISSED_OFFSET, 1)

    def is_dismissed(self, index: int) -> bool:
        """Tell whether a child was asked to leave."""
        at = _SIZE * (index + 1) + _DISMISSED_OFFSET
        return bool(_STAGE.unpack_from(self._memory, at)[0])

    def lines_of(self, index: int) -> range:
        """Return the lines of a child."""
        return range(index * self.per_child, (index + 1) * self.per_child)

    # Lines

    def begin(
        self, line: int, seq: int, started: float, token: int, soft: float = 0.0, hard: float = 0.0
    ) -> None:
        """Say that the line runs this job, before it does."""
        at = self._lines_at + _SIZE * line
        _RUN.pack_into(self._memory, at, seq, started, token, soft, hard)

    def disarm(self, line: int) -> None:
        """Say that user code has come to its end: no limit holds any more."""
        _LIMITS.pack_into(self._memory, self._line(line) + _LIMITS_OFFSET, 0.0, 0.0)

    def end(self, line: int) -> None:
        """Say that the line runs nothing, after its outcome is on its way."""
        _RUN.pack_into(self._memory, self._lines_at + _SIZE * line, *_IDLE)

    def running(self, line: int) -> Running | None:
        """Return what the line runs; compare its token before believing it."""
        run = _RUN.unpack_from(self._memory, self._lines_at + _SIZE * line)
        return Running(*run) if run[0] else None

    def all_running(self) -> dict[int, Running]:
        """Return what all lines run, by seq."""
        return {running.seq: running for _, running in self.busy()}

    def busy(self) -> Iterator[tuple[int, Running]]:
        """Yield the lines that run something, and what; there may be thousands that do not."""
        first, last, step = self._lines_at // 8, self._rings_at // 8, _SIZE // 8
        seqs = memoryview(self._memory).cast("q")[first:last:step].tolist()
        for line, seq in enumerate(seqs):
            running = self.running(line) if seq else None
            if running is not None:
                yield line, running

    def ask_to_end(self, line: int, token: int, signum: int) -> None:
        """Ask whoever enforces limits to terminate a job."""
        _ASKED.pack_into(self._memory, self._line(line) + _ASKED_OFFSET, token, signum)

    def asked_to_end(self, line: int) -> tuple[int, int]:
        """Return (token, signal) of the job that is to be terminated, token 0 for none."""
        token, signum = _ASKED.unpack_from(self._memory, self._line(line) + _ASKED_OFFSET)
        return token, signum

    # What was acknowledged before it ran

    def begin_once(self, index: int, token: int) -> None:
        """Note that a child begins such a job; `end` does not strike it."""
        count_at = _SIZE * (index + 1) + _BEGUN_OFFSET
        (count,) = _BEGUN.unpack_from(self._memory, count_at)
        at = self._ring(index) + count % self._ring_length * _TOKEN.size
        _TOKEN.pack_into(self._memory, at, token)
        _BEGUN.pack_into(self._memory, count_at, count + 1)

    def begun(self) -> set[int]:
        """Return the tokens of such jobs, of all children that there were."""
        tokens: set[int] = set()
        length = self._ring_length * _TOKEN.size
        for index in range(self.children):
            (count,) = _BEGUN.unpack_from(self._memory, _SIZE * (index + 1) + _BEGUN_OFFSET)
            if count:
                ring = self._memory[self._ring(index) : self._ring(index) + length]
                tokens.update(token for (token,) in _TOKEN.iter_unpack(ring))
        return tokens

    def _line(self, line: int) -> int:
        return self._lines_at + _SIZE * line

    def _ring(self, index: int) -> int:
        return self._rings_at + index * self._ring_length * _TOKEN.size

    def unlink(self) -> None:
        """Remove the file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


_STAGES: Final = frozenset(Stage)
