"""What the victim of `test_sweep.py` does with a queue file until it kills itself.

Scenarios call the verbs of the store and acknowledge each call after it returned. Plants are
mistakes that the sweep has to find; they are made in the victim's process alone.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from litequeue.job import Failure, Job, Lease, Outcome
from litequeue.store import Database, Keep, jobs, leases
from litequeue.store.claim import Claim
from litequeue.store.leases import Lost

NOW = 1_700_000_000.0
KEEP = Keep(success=1e6, failure=1e6)
TASKS = frozenset({"t"})
OWNER = 7


class Victim:
    """Runs one scenario; ``say`` acknowledges."""

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        self.database = Database(path, create=True)
        self.say = say

    def claim(self, limit: int, *outcomes: Outcome) -> list[Lease]:
        wanted = Claim(owner=OWNER, limit=limit, tasks=TASKS) if limit else None
        settled = jobs.settle_and_claim(
            self.database, now=NOW + 10, keep=KEEP, outcomes=outcomes, claim=wanted
        )
        assert settled.zombies == []
        for outcome in outcomes:
            self.say(f"settled {outcome.seq} {outcome.state}")
        return settled.leases

    def enqueue(self) -> None:
        for number in range(3):
            jobs.enqueue(self.database, _job(f"new-{number}", queue=f"q{number}"), NOW)
            self.say(f"accepted new-{number}")

    def enqueue_many(self) -> None:
        for batch in ("a", "b"):
            some = [_job(f"{batch}-{number}", queue=batch) for number in range(4)]
            jobs.enqueue_many(self.database, some, NOW)
            for job in some:
                self.say(f"accepted {job.id}")

    def claim_some(self) -> None:
        self.claim(2)
        self.claim(9)

    def settle(self) -> None:
        one, two, three, four = self.claim(4)
        self.claim(1, _end(one, "SUCCESS", result='"done"'), _end(two, "FAILURE", failure=_NO))
        self.claim(
            9,
            _end(three, "RETRY", body='[["changed"],{}]', failure=_NO),
            _end(four, "RETRY", eta=NOW + 11),
        )

    def release(self) -> None:
        held = self.claim(3)
        leases.release(self.database, [(lease.seq, lease.token) for lease in held])

    def reap(self) -> None:
        for _ in range(2):
            lost = [
                Lost(lease=lease, ran=number > 0, reason="died")
                for number, lease in enumerate(self.claim(3))
            ]
            leases.reap(self.database, lost, now=NOW, keep=KEEP, max_deliveries=2)

    def checkpoint(self) -> None:
        for number in range(2):
            jobs.enqueue(self.database, _job(f"new-{number}"), NOW)
            self.say(f"accepted new-{number}")
            self.database.checkpoint()


SCENARIOS = ("enqueue", "enqueue_many", "claim_some", "settle", "release", "reap", "checkpoint")
_NO = Failure("ValueError", "no")


def _job(id: str, queue: str = "default") -> Job:
    return Job(id, "t", "[[],{}]", queue)


def _end(lease: Lease, state: str, **more: Any) -> Outcome:
    return Outcome(lease.seq, lease.token, lease.claim, state, **more)


# Dying

EVERY = [pytest.param(4, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]
"""Of how many statements one is died before: other ones in each run, all of them with -m slow."""


def moments(most: int, every: int = 1) -> range:
    """Return the statements to die before, up to ``most``."""
    return range(1 + random.randrange(every), most, every)


def die_before_statement(number: int) -> None:
    """Have every connection of this process count, and die before statement ``number``."""
    left = number
    genuine = Database._connect

    def count(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(self: Database, *args: Any) -> Any:
        count("open")
        database, connection = genuine(self, *args)
        connection.set_trace_callback(count)
        return database, connection

    Database._connect = connect  # type: ignore[method-assign]  # for as long as we live


# Planted mistakes


def payload_in_a_second_transaction() -> None:
    def add(connection: sqlite3.Connection, job: Job, now: float) -> bool:
        connection.execute(jobs.ADD_JOB, jobs._job_row(job, now))
        (seq,) = connection.execute("SELECT last_insert_rowid()").fetchone()
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO litequeue_payload (seq, body) VALUES (?, ?)", (seq, job.body)
        )
        return True

    jobs._add = add


def batch_in_two_transactions() -> None:
    genuine = jobs._add_all

    def add_all(connection: sqlite3.Connection, some: Any, now: float) -> None:
        genuine(connection, some[:2], now)
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SAVEPOINT litequeue_many")
        genuine(connection, some[2:], now)

    jobs._add_all = add_all


def retry_in_two_transactions() -> None:
    genuine = jobs.settle

    def settle(connection: sqlite3.Connection, outcomes: Any, *args: Any, **more: Any) -> Any:
        bare = [_end_of(outcome) for outcome in outcomes]
        zombies = genuine(connection, bare, *args, **more)
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        for outcome in outcomes:
            if outcome.body is not None:
                connection.execute(
                    "UPDATE litequeue_payload SET body = ? WHERE seq = ?",
                    (outcome.body, outcome.seq),
                )
        return zombies

    jobs.settle = settle


def _end_of(outcome: Outcome) -> Outcome:
    return Outcome(
        outcome.seq, outcome.token, outcome.claim, outcome.state, outcome.result, eta=outcome.eta,
        failure=outcome.failure,
    )  # fmt: skip


def run_victim(
    victim: Callable[[str, Callable[[str], None]], Any],
    path: Path,
    scenario: str,
    number: int,
    plant: Callable[[], None] | None,
) -> list[str]:
    """Run a scenario in a process of its own until it dies; return what it acknowledged.

    A fork starts a hundred times faster than Python, and this process has no file open.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            if plant is not None:
                plant()
            die_before_statement(number)
            running = victim(str(path), lambda line: _tell(write, line))
            getattr(running, scenario)()
            running.database.close()
            _tell(write, "finished")
        except BaseException as error:
            _tell(write, f"error {error!r}")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as told:
        lines = told.read().splitlines()
    status = os.waitpid(pid, 0)[1]
    if "finished" not in lines:
        assert os.WIFSIGNALED(status), lines
        assert os.WTERMSIG(status) == signal.SIGKILL
    return lines


def _tell(pipe: int, line: str) -> None:
    os.write(pipe, line.encode() + b"\n")
