"""Beats that share a file and a clock, and everything that can happen to them, in no time.

A beat is killed before any of its statements, or after a commit; it finds the file busy; another
one does its work between what it has read and what it writes.  Nothing here sleeps.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litequeue import schedules
from litequeue.beat.sender import LONGEST_SLEEP, Beat
from litequeue.entry import Entry
from litequeue.exceptions import QueueBusy
from litequeue.schedules import Schedule
from litequeue.store import Database, entries
from litequeue.store.transaction import Transaction
from tests.store.beat_oracle import Expected
from tests.store.steps import KEEP, rows
from tests.unit.beat.laptop import Laptop


class Killed(BaseException):
    """What SIGKILL is: nothing of the process goes on."""


class Fused:
    """A connection that counts statements, and dies before one of them."""

    def __init__(self, connection: Any, database: Fragile) -> None:
        self._connection = connection
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *given: Any) -> Any:
        self._database.burn()
        return self._connection.execute(*given)

    def executemany(self, *given: Any) -> Any:
        self._database.burn()
        return self._connection.executemany(*given)


class Fragile(Database):
    """The file as one beat sees it."""

    fuse: int | None = None
    """So many statements later the beat is killed."""
    is_busy = False
    meanwhile: Callable[[], object] | None = None
    """What others do before the next transaction begins."""
    commits = 0
    statements = 0

    def write(self, **how: Any) -> Transaction:
        if self.meanwhile is not None:
            do, self.meanwhile = self.meanwhile, None
            do()
        if self.is_busy:
            raise QueueBusy("others write")
        return super().write(**how)

    def begin(self, *given: Any) -> Any:
        return Fused(super().begin(*given), self)

    def commit(self, connection: Any, changed: int) -> None:
        super().commit(connection, changed)
        self.commits += 1
        if self.fuse == 0:
            self.burn()

    def burn(self) -> None:
        self.statements += 1
        if self.fuse is None:
            return
        if self.fuse == 0:
            self.fuse = None
            raise Killed
        self.fuse -= 1


class World:
    """One file, its beats, and what they should have sent."""

    def __init__(self, path: Path, *, beats: int = 1, now: float = 1_700_000_000.0) -> None:
        self.path = path
        self.clock = Laptop(now)
        self.file = Database(path, create=True, durability="process", clock=self.clock)
        self.expected: dict[str, Expected] = {}
        self.is_judged = True
        """Whether what should be sent is followed: not when a clock is put back."""
        with self.file.write(durable=False):
            pass  # makes the file
        self.databases: list[Fragile] = []
        self.beats: list[Beat] = []
        for number in range(beats):
            self.start(number)

    @property
    def now(self) -> float:
        return self.clock.now()

    def close(self) -> None:
        for database in (*self.databases, self.file):
            database.close()

    # What people do

    def add(self, name: str, schedule: Schedule, **more: Any) -> None:
        values: dict[str, Any] = {"task": "t", "body": "[[],{}]", "queue": "default"}
        entry = Entry(name=name, schedule=schedules.dump(schedule), **(values | more))
        entries.add(self.file, entry, self.now)
        self.expected[name] = Expected(entry, self.now, self.now)

    def edit(self, name: str, **changes: Any) -> None:
        entries.change(self.file, name, changes, self.now)
        self.expected[name].edit(changes, self.now)

    def pause(self, name: str) -> None:
        entries.pause(self.file, name, self.now)
        self.expected[name].pause()

    def resume(self, name: str) -> None:
        entries.resume(self.file, name, self.now)
        self.expected[name].resume(self.now)

    # What beats do

    def start(self, number: int) -> None:
        """Start a beat, in place of the one of this number."""
        if number < len(self.beats):
            self.databases[number].close()
        else:
            self.databases.append(Fragile(self.path))
            self.beats.append(None)  # type: ignore[arg-type] # for a moment
        database = Fragile(self.path, durability="process", clock=self.clock)
        self.databases[number] = database
        self.beats[number] = Beat(database, self.clock, keep=KEEP, sent=lambda fired: None)

    def look(self, number: int = 0) -> float:
        """Have a beat do one turn of its loop; return how long it would sleep."""
        database, beat = self.databases[number], self.beats[number]
        before = {name: each.version for name, each in self.expected.items()}
        now, commits = self.now, database.commits
        left = 0.0
        try:
            version = database.data_version()
            beat.run(version)
            left = beat.time_left(version)
        except Killed:
            self.start(number)
        if self.is_judged and database.commits > commits:
            for name, each in self.expected.items():
                if each.version == before[name]:  # nobody has overtaken it
                    each.serve(now)
        assert 0.0 <= left <= LONGEST_SLEEP + 1e-6
        return left

    def settle(self, number: int = 0) -> float:
        """Have a beat do all that is due; return how long it would sleep then."""
        for _ in range(500):
            left = self.look(number)
            if left > 0 and not self._is_late():
                return left
            self.clock.advance(left)  # it does not look at every change of others at once
        raise AssertionError("it never sleeps, or too long")

    def _is_late(self) -> bool:
        serving = (each for each in self.expected.values() if not each.is_paused)
        return self.is_judged and any(each.missed(self.now) for each in serving)

    def live(self, seconds: float, number: int = 0) -> None:
        """Let time pass, with a beat that sleeps as long as it says."""
        until = self.clock.monotonic() + seconds
        while (rest := until - self.clock.monotonic()) > 0:
            self.clock.advance(min(rest, max(self.settle(number), 0.001)))
        self.settle(number)

    @contextmanager
    def busy(self, number: int = 0) -> Iterator[None]:
        """Have others write all the time."""
        self.databases[number].is_busy = True
        yield
        self.databases[number].is_busy = False

    # What came of it

    def sent(self) -> dict[str, list[float]]:
        """Return the moments of the ticks that jobs were sent for, by entry, in their order."""
        found: dict[str, list[float]] = {name: [] for name in self.expected}
        query = """SELECT options FROM litequeue_payload ORDER BY seq"""
        for (options,) in rows(self.path, query):
            told = json.loads(options)
            found[told["entry"]].append(told["tick"])
        return found

    def count(self, name: str) -> int:
        return len(self.sent()[name])

    def check_all(self) -> None:
        """What was sent is what should have been, each once."""
        for name, moments in self.sent().items():
            each = self.expected[name]
            assert sorted(moments) == sorted(each.sent), (name, each.entry)
        self.check_once()

    def check_once(self) -> None:
        """No tick was sent twice, and the books agree with the jobs."""
        for name, moments in self.sent().items():
            twice = [at for at, times in Counter(moments).items() if times > 1]
            assert not twice, (name, twice)
        wrong = rows(
            self.path,
            """
            SELECT entry.name, tick.key FROM litequeue_tick AS tick
            JOIN litequeue_entry AS entry ON entry.id = tick.entry
            WHERE tick.note IS NULL AND NOT EXISTS (
                SELECT 1 FROM litequeue_job AS job JOIN litequeue_payload AS payload
                ON payload.seq = job.seq WHERE job.id = tick.job
                AND payload.options ->> '$.tick' = tick.at)
            """,
        )
        assert wrong == []
