"""A queue as a few lines of Python, and hypothesis comparing the file with it after every step.

The model knows nothing of SQL, indexes or transactions. `test_stateful.py` runs it against the
store, `test_mutants.py` against stores with a planted mistake.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from litequeue.exceptions import DuplicateJob
from litequeue.job import Failure, Job, Lease, Outcome
from litequeue.store import Database, jobs, leases, maintenance, queues, results, revocations
from litequeue.store import claim as claims
from litequeue.store.claim import Claim
from litequeue.store.leases import Lost
from tests.store.steps import KEEP, NOW, enlist, problems, revoke

KNOWN = frozenset({"t", "early"})
EVERYTHING = frozenset({"t", "early", "u"})
EARLY = frozenset({"early"})
"""Tasks that are acknowledged by the claim."""
MOST_DEATHS = 2
WAITING = ("scheduled", "ready", "parked")

CHOICES: list[tuple[dict[str, Any], Callable[[str], int]]] = [
    ({}, lambda queue: 0),
    ({"queues": '["q0"]'}, lambda queue: 0 if queue == "q0" else -1),
    ({"queues": '["q?", "x"]'}, lambda queue: 0 if queue[0] == "q" else -1),
    ({"excluded": '["q1"]'}, lambda queue: -1 if queue == "q1" else 0),
    ({"excluded": '["moved*", "q0"]'}, lambda queue: 0 if queue == "q1" else -1),
    ({"in_order": ('["q1"]', '["q0", "q1"]')}, lambda queue: ["q1", "q0"].index(queue)
     if queue[0] == "q" else -1),
]  # fmt: skip
"""Which queues a worker wants, and the model's word on one of them: its place, -1 for never."""
OFFSETS = st.sampled_from([None, None, -1.0, 0.0, 1.0, 5.0])
PRIORITIES = st.sampled_from([0, 0, 1, -1])
TASKS = st.sampled_from(["t", "t", "t", "early", "u"])
STATES = """
SELECT id, phase, state, retries, deaths, claims, result, finished, queue, priority, eta, expires,
       CASE phase WHEN 'done' THEN 0 ELSE once END
FROM litequeue_job ORDER BY seq
"""


@dataclass
class Expected:
    """What the model believes of a job."""

    id: str
    task: str
    body: str
    queue: str
    priority: int
    eta: float | None
    expires: float | None
    phase: str
    state: str = "PENDING"
    retries: int = 0
    deaths: int = 0
    claims: int = 0
    result: str | None = None
    once: int = 0
    reasons: dict[int, tuple[str, str]] = field(default_factory=dict)
    finished: float | None = None
    keep_until: float = 0.0
    logs: dict[int, str] = field(default_factory=dict)

    def visible(self) -> tuple[Any, ...]:
        return (
            self.id, self.phase, self.state, self.retries, self.deaths, self.claims, self.result,
            self.finished, self.queue, self.priority, self.eta, self.expires,
            0 if self.phase == "done" else self.once,
        )  # fmt: skip

    def wait(self, phase: str = "ready") -> None:
        self.phase = phase
        self.state = "RETRY" if self.retries else "PENDING"
        self.once = 0

    def end(self, state: str, now: float, reason: str | None = None) -> None:
        self.phase, self.state, self.finished = "done", state, now
        self.keep_until = now + (KEEP.failure if state == "FAILURE" else KEEP.success)
        if reason is not None:
            self.reasons[self.claims] = (state, reason)

    def expire(self, now: float) -> None:
        """It ends with the reason of the claim that never comes."""
        self.end("REVOKED", now)
        self.reasons[self.claims + 1] = ("REVOKED", "expired before it could run")

    def reason(self) -> str | None:
        """Return why it last ended as it did."""
        last = sorted(self.reasons.items(), reverse=True)
        return next((reason for _, (state, reason) in last if state == self.state), None)

    def begin_anew(self) -> None:
        self.phase, self.state, self.result, self.finished = "ready", "PENDING", None, None
        self.retries = self.deaths = self.once = 0
        self.eta = self.expires = None


@dataclass
class Held:
    """A lease somebody believes to have; ``alive`` while it is right to."""

    lease: Lease
    expected: Expected
    alive: bool = True
    reports: int = field(default=0)


@cache
def _empty_queue() -> bytes:
    """Return a new queue file: making its schema takes longer than a walk of the machine."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "jobs.sqlite"
        database = Database(path, create=True)
        database.data_version()
        database.close()
        return path.read_bytes()


class QueueMachine(RuleBasedStateMachine):
    """Producers, two workers, a reaper and a clock that anybody may set."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="litequeue-machine-"))
        self.path = self.directory / "jobs.sqlite"
        self.path.write_bytes(_empty_queue())
        self.database = Database(self.path, create=True, durability="process")
        enlist(self.database, *range(1, 10))
        self.now = NOW
        self.jobs: list[Expected] = []
        self.held: list[Held] = []
        self.numbers = 0
        self.paused: set[str] = set()
        self.revoked: set[str] = set()
        self.eyes = sqlite3.connect(self.path, isolation_level=None)

    def teardown(self) -> None:
        try:
            self.eyes.close()
            self.database.close()
            assert problems(self.path) == []
        finally:
            shutil.rmtree(self.directory)

    # Producers

    @initialize(tasks=st.lists(TASKS, min_size=1, max_size=3), claimed=st.booleans())
    def begin(self, tasks: list[str], claimed: bool) -> None:
        for task in tasks:
            self.enqueue(0, None, None, task)
        if claimed:
            self._claim(1, 9, KNOWN)

    @rule(priority=PRIORITIES, eta=OFFSETS, expires=OFFSETS, task=TASKS)
    def enqueue(self, priority: int, eta: float | None, expires: float | None, task: str) -> None:
        new = self._make(priority, eta, expires, task)
        assert jobs.enqueue(self.database, new, self.now)
        self._accept(new)

    @rule(count=st.integers(1, 3), priority=PRIORITIES, eta=OFFSETS)
    def enqueue_many(self, count: int, priority: int, eta: float | None) -> None:
        batch = [self._make(priority, eta, None, "t") for _ in range(count)]
        jobs.enqueue_many(self.database, batch, self.now)
        for new in batch:
            self._accept(new)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), same=st.booleans(), many=st.booleans())
    def enqueue_again(self, data: st.DataObject, same: bool, many: bool) -> None:
        old = data.draw(st.sampled_from(self.jobs))
        body = old.body if same else '[["other"],{}]'
        again = Job(old.id, old.task, body, "default", 9)
        fresh = self._make(0, None, None, "t")
        batch = [fresh, again]
        if not same:
            with pytest.raises(DuplicateJob):
                jobs.enqueue_many(self.database, batch if many else [again], self.now)
            with pytest.raises(DuplicateJob):
                jobs.enqueue(self.database, again, self.now)
        elif many:
            jobs.enqueue_many(self.database, batch, self.now)
            self._accept(fresh)
        else:
            assert not jobs.enqueue(self.database, again, self.now)

    # Time

    @rule(seconds=st.sampled_from([-5.0, -1.0, 0.5, 1.0, 5.0, 60.0]))
    def clock_steps(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self._moments())
    @rule(
        data=st.data(),
        beside=st.sampled_from([0.0, 0.0, -0.001, 0.001]),
        then=st.sampled_from(["claim", "expire", "prune"]),
    )
    def clock_comes_to_a_boundary(self, data: st.DataObject, beside: float, then: str) -> None:
        self.now = data.draw(st.sampled_from(self._moments())) + beside
        if then == "claim":
            self._claim(1, 9, KNOWN)
        elif then == "expire":
            self._expire()
        else:
            self._prune(self.now)

    # Workers

    @rule(owner=st.integers(1, 2), limit=st.integers(1, 3), tasks=st.sampled_from([0, 0, 1]))
    def claim(self, owner: int, limit: int, tasks: int) -> None:
        self._claim(owner, limit, EVERYTHING if tasks else KNOWN)

    @rule(limit=st.integers(1, 3), choice=st.integers(0, len(CHOICES) - 1), parked=st.booleans())
    def claim_from(self, limit: int, choice: int, parked: bool) -> None:
        self._claim(1, limit, EVERYTHING, parked=parked, choice=choice)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), then=st.booleans())
    def pause(self, data: st.DataObject, then: bool) -> None:
        queue = data.draw(st.sampled_from(sorted({job.queue for job in self.jobs})))
        assert queues.pause(self.database, queue, self.now) is (queue not in self.paused)
        self.paused.add(queue)
        assert queues.paused(self.database) == sorted(self.paused)
        self._look_for_parked(EVERYTHING)
        if then:
            self._claim(1, 9, EVERYTHING, parked=True)

    @precondition(lambda self: any(job.phase == "parked" for job in self.jobs))
    @rule(data=st.data())
    def the_queue_of_a_parked_job_is_paused(self, data: st.DataObject) -> None:
        parked = data.draw(st.sampled_from([job for job in self.jobs if job.phase == "parked"]))
        queues.pause(self.database, parked.queue, self.now)
        self.paused.add(parked.queue)
        self._look_for_parked(EVERYTHING)
        self._claim(1, 9, EVERYTHING, parked=True)

    @precondition(lambda self: self.paused)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        queue = data.draw(st.sampled_from(sorted(self.paused)))
        assert queues.resume(self.database, queue)
        self.paused.remove(queue)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), count=st.integers(1, 3), limit=st.integers(0, 2))
    def settle(self, data: st.DataObject, count: int, limit: int) -> None:
        """Report on leases, whether they are still held or not, and claim anew."""
        some = data.draw(st.lists(st.sampled_from(self.held), min_size=1, max_size=count,
                                  unique_by=lambda held: held.lease.seq))  # fmt: skip
        reports = [self._report(held, data.draw(st.integers(0, 6))) for held in some]
        self._settle(list(zip(some, reports, strict=True)), limit)

    @precondition(lambda self: self._alive())
    @rule(data=st.data(), reaped=st.booleans(), kind=st.integers(0, 6))
    def a_zombie_reports_late(self, data: st.DataObject, reaped: bool, kind: int) -> None:
        """A lease is lost, somebody else takes the job, and then the first one reports."""
        held = data.draw(st.sampled_from(self._alive()))
        if reaped:
            self._reap([held], ran=data.draw(st.booleans()))
        else:
            self._release([held])
        self._claim(3, 3, EVERYTHING)
        self._start(held)
        self._tell(held, "PROGRESS")
        self.the_file_is_as_the_model()
        self._settle([(held, self._report(held, kind))], 0)

    @precondition(lambda self: self._alive())
    @rule(data=st.data())
    def a_job_keeps_killing_its_worker(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self._alive()))
        self._reap([held], ran=True)
        self._claim(1, 9, EVERYTHING)
        again = [other for other in self._alive() if other.expected is held.expected]
        self._reap(again, ran=True)

    @precondition(lambda self: self._alive())
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self._start(data.draw(st.sampled_from(self.held)))

    @precondition(lambda self: self._alive())
    @rule(data=st.data(), state=st.sampled_from(["PROGRESS", None]), then=st.integers(0, 3))
    def a_job_tells_of_itself(self, data: st.DataObject, state: str | None, then: int) -> None:
        """What it has told is there until the next verdict, and not a moment longer."""
        held = data.draw(st.sampled_from(self._alive()))
        self._tell(held, state)
        if then == 1:
            self._start(held)
        elif then == 2:
            self._release([held])
        elif then == 3:
            self._settle([(held, self._report(held, 3))], 0)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def somebody_tells_of_a_job(self, data: st.DataObject) -> None:
        expected = data.draw(st.sampled_from(self.jobs))
        there = expected.phase != "done"
        told = jobs.update_state(
            self.database, expected.id, state="PROGRESS", meta='"of another"', token=None
        )
        assert told is there
        if there:
            expected.state, expected.result = "PROGRESS", '"of another"'

    @precondition(lambda self: any(held.lease.once for held in self._alive()))
    @rule(data=st.data(), ends=st.sampled_from(["ran", "never ran", "retry"]))
    def an_acknowledged_job_ends(self, data: st.DataObject, ends: str) -> None:
        held = data.draw(st.sampled_from([each for each in self._alive() if each.lease.once]))
        if ends == "retry":
            self._settle([(held, self._report(held, 4))], 0)
        else:
            self._reap([held], ran=ends == "ran")

    @precondition(lambda self: self._alive())
    @rule(data=st.data())
    def a_fragile_job_loses_its_child(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self._alive()))
        self._reap([held], ran=True, fragile=frozenset({held.lease.task}))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self._release([data.draw(st.sampled_from(self.held))])

    @precondition(lambda self: self.held)
    @rule(data=st.data(), ran=st.booleans())
    def reap(self, data: st.DataObject, ran: bool) -> None:
        self._reap([data.draw(st.sampled_from(self.held))], ran=ran)

    # The rest

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        expected = data.draw(st.sampled_from(self.jobs))
        waits = expected.phase in WAITING
        assert revoke(self.database, expected.id, now=self.now, keep=KEEP) is waits
        self._expect_revoked(expected)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def revoke_many(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(self.jobs), max_size=3, unique_by=id))
        ids = [job.id for job in some]
        waiting = {job.id for job in some if job.phase in WAITING}
        running = {job.id for job in some if job.phase == "leased"}
        done = revocations.revoke(self.database, [*ids, "nobody"], now=self.now, keep=KEEP)
        assert (set(done.ended), set(done.stands)) == (waiting, running | {"nobody"})
        self.revoked.add("nobody")
        for expected in some:
            self._expect_revoked(expected)

    def _expect_revoked(self, expected: Expected) -> None:
        if expected.phase in WAITING:
            expected.end("REVOKED", self.now)
        elif expected.phase == "leased":
            self.revoked.add(expected.id)

    @precondition(lambda self: self._alive())
    @rule(data=st.data(), ends=st.sampled_from(["retry", "released", "fails", "reaped"]))
    def a_job_is_revoked_while_it_runs(self, data: st.DataObject, ends: str) -> None:
        """It never begins again, unless somebody has it run anew."""
        held = data.draw(st.sampled_from(self._alive()))
        assert not revoke(self.database, held.expected.id, now=self.now, keep=KEEP)
        self._expect_revoked(held.expected)
        if ends == "retry":
            self._settle([(held, self._report(held, 4))], 0)
        elif ends == "released":
            self._release([held])
        elif ends == "reaped":
            self._reap([held], ran=True)
        else:
            self._settle([(held, self._report(held, 1))], 0)
            self._rerun(held.expected)
        self._claim(1, 9, EVERYTHING)

    @precondition(lambda self: self._alive())
    @rule(data=st.data(), ran=st.booleans())
    def a_job_is_ended_by_force(self, data: st.DataObject, ran: bool) -> None:
        held = data.draw(st.sampled_from(self._alive()))
        if ran:
            self._tell(held, "PROGRESS")
        verdict = "REVOKED", Failure("TaskRevokedError", "terminated")
        item = Lost(lease=held.lease, ran=ran, reason="died", verdict=verdict)
        assert leases.reap(
            self.database, [item], now=self.now, keep=KEEP, max_deliveries=MOST_DEATHS
        ) == [held.lease]
        held.alive, held.expected.result = False, None
        held.expected.end("REVOKED", self.now, "terminated")

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def rerun(self, data: st.DataObject) -> None:
        self._rerun(data.draw(st.sampled_from(self.jobs)))

    @precondition(lambda self: self._alive())
    @rule(data=st.data(), well=st.booleans())
    def a_job_ends_and_is_run_again(self, data: st.DataObject, well: bool) -> None:
        held = data.draw(st.sampled_from(self._alive()))
        self._settle([(held, self._report(held, 0 if well else 1))], 0)
        self._rerun(held.expected)

    @precondition(lambda self: self._alive())
    @rule(data=st.data())
    def a_job_moves(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self._alive()))
        self._settle([(held, self._report(held, 5))], 1)

    def _rerun(self, expected: Expected) -> None:
        ended = expected.phase == "done" and expected.state != "SUCCESS"
        assert jobs.rerun(self.database, expected.id, now=NOW, keep=KEEP) is ended
        if ended:
            expected.begin_anew()
            self.revoked.discard(expected.id)

    @rule(limit=st.integers(1, 3), tasks=st.sampled_from([KNOWN, EVERYTHING]))
    def take_parked(self, limit: int, tasks: frozenset[str]) -> None:
        self._look_for_parked(tasks)
        self._claim(1, limit, tasks, parked=True)

    def _look_for_parked(self, tasks: frozenset[str]) -> None:
        there = [job for job in self.jobs if job.phase == "parked" and job.task in tasks]
        taken = any(job.queue not in self.paused for job in there)
        assert claims.has_parked(self.database, tasks) is taken

    @rule()
    def expire(self) -> None:
        self._expire()

    def _expire(self) -> None:
        late = [job for job in self.jobs if job.phase in WAITING and self._is_late(job)]
        assert maintenance.has_expired(self.database, self.now) is bool(late)
        ended = maintenance.expire(self.database, self.now, self.now + KEEP.success)
        assert sorted(id for id, _ in ended) == sorted(job.id for job in late)
        for expected in late:
            expected.expire(self.now)

    @rule(later=st.sampled_from([0.0, KEEP.success, KEEP.failure]))
    def prune(self, later: float) -> None:
        self._prune(self.now + later)

    def _prune(self, now: float) -> None:
        old = [job for job in self.jobs if job.phase == "done" and job.keep_until <= now]
        assert maintenance.prune(self.database, now) == len(old)
        for expected in old:
            self.jobs.remove(expected)

    @rule()
    def reopen(self) -> None:
        self.database.close()
        self.database = Database(self.path, create=True, durability="process")

    @rule()
    def checkpoint(self) -> None:
        self.database.checkpoint()

    # What must be so after every step

    @invariant()
    def the_file_is_as_the_model(self) -> None:
        rows = self.eyes.execute(STATES).fetchall()
        assert {row[0]: row for row in rows} == {job.id: job.visible() for job in self.jobs}
        standing = self.eyes.execute("SELECT value FROM litequeue_revocation").fetchall()
        assert {value for (value,) in standing} == self.revoked
        logs = self.eyes.execute("SELECT id, attempt, text FROM litequeue_logs").fetchall()
        assert sorted(logs) == sorted(
            (job.id, claim, text) for job in self.jobs for claim, text in job.logs.items()
        )

    @invariant()
    def readers_see_the_same(self) -> None:
        for expected in self.jobs[-3:]:
            record = results.fetch(self.database, expected.id)
            assert record is not None
            assert (record.state, record.result) == (expected.state, expected.result)
            if expected.phase == "done":
                assert (record.failure and record.failure.message) == expected.reason()

    # How the model changes

    def _make(self, priority: int, eta: float | None, expires: float | None, task: str) -> Job:
        self.numbers += 1
        return Job(
            f"job-{self.numbers}", task, f"[[{self.numbers}],{{}}]", f"q{self.numbers % 2}",
            priority, None if eta is None else self.now + eta,
            None if expires is None else self.now + expires,
        )  # fmt: skip

    def _accept(self, new: Job) -> None:
        later = new.eta is not None and new.eta > self.now
        phase = "scheduled" if later else "ready"
        self.jobs.append(
            Expected(
                new.id, new.task, new.body, new.queue, new.priority, new.eta, new.expires, phase
            )
        )

    def _alive(self) -> list[Held]:
        return [held for held in self.held if held.alive]

    def _moments(self) -> list[float]:
        waiting = [job for job in self.jobs if job.phase in WAITING]
        found = {job.eta for job in waiting} | {job.expires for job in waiting}
        found |= {job.keep_until for job in self.jobs if job.phase == "done"}
        return sorted(moment for moment in found if moment is not None)

    def _is_late(self, job: Expected) -> bool:
        return job.expires is not None and job.expires <= self.now

    def _step(self, **more: Any) -> claims.Settled:
        return jobs.settle_and_claim(self.database, now=self.now, keep=KEEP, **more)

    def _claim(
        self,
        owner: int,
        limit: int,
        tasks: frozenset[str],
        *,
        parked: bool = False,
        choice: int = 0,
    ) -> claims.Settled:
        chosen, _ = CHOICES[choice]
        wanted = Claim(
            owner=owner, limit=limit, tasks=tasks, parked=parked, once=EARLY, loaded=0, **chosen
        )
        settled = self._step(claim=wanted)
        self._expect_claim(settled, limit, tasks, parked=parked, choice=choice)
        return settled

    def _expect_claim(
        self,
        settled: claims.Settled,
        limit: int,
        tasks: frozenset[str],
        *,
        parked: bool = False,
        choice: int = 0,
    ) -> None:
        for job in self.jobs:
            if job.phase == "scheduled" and job.eta is not None and job.eta <= self.now:
                job.phase = "ready"
        run, unknown, late, revoked = [], [], [], []
        for job in self._expect_taken(limit, tasks, parked=parked, choice=choice):
            job.claims += 1
            if job.id in self.revoked:
                job.end("REVOKED", self.now, claims.REVOKED.message)
                job.result = None
                revoked.append(job.id)
            elif self._is_late(job):
                job.end("REVOKED", self.now, claims.EXPIRED.message)
                job.result = None
                late.append(job.id)
            elif job.task not in tasks:
                job.wait("parked")
                unknown.append(job.id)
            else:
                job.phase, job.state = "leased", "RECEIVED"
                job.once = int(job.task in EARLY)
                run.append(job)
        assert [lease.id for lease in settled.leases] == [job.id for job in run]
        assert [lease.id for lease in settled.parked] == unknown
        assert settled.ended == revoked + late
        assert (len(settled.revoked), len(settled.expired)) == (len(revoked), len(late))
        for lease, job in zip(settled.leases, run, strict=True):
            assert (lease.body, lease.claim) == (job.body, job.claims)
            assert (lease.retries, lease.deaths) == (job.retries, job.deaths)
            assert (lease.once, lease.queue, lease.priority) == (job.once, job.queue, job.priority)
            self.held.append(Held(lease, job))

    def _expect_taken(
        self, limit: int, tasks: frozenset[str], *, parked: bool, choice: int
    ) -> list[Expected]:
        """Return the jobs that a claim has to find, in the order of their leases."""
        chosen, place = CHOICES[choice]

        def rank(job: Expected) -> tuple[int, int, int]:
            return place(job.queue), -job.priority, self.jobs.index(job)

        there = [job for job in self.jobs if job.queue not in self.paused and place(job.queue) >= 0]
        known = [job for job in there if parked and job.phase == "parked" and job.task in tasks]
        known.sort(key=lambda job: (place(job.queue), job.queue, job.task))
        first = sorted(known[:limit], key=rank)
        ready = sorted((job for job in there if job.phase == "ready"), key=rank)
        taken = first + ready[: limit - len(first)]
        return taken if "in_order" in chosen else sorted(taken, key=rank)

    def _report(self, held: Held, kind: int) -> Outcome:
        """Make an outcome that nobody else would report."""
        held.reports += 1
        lease, words = held.lease, f"{held.lease.claim}.{held.reports}"
        head = (lease.seq, lease.token, lease.claim)
        if kind == 0:
            return Outcome(*head, "SUCCESS", f'"{lease.id} {words}"', log=words)
        if kind == 1:
            return Outcome(*head, "FAILURE", failure=Failure("ValueError", words))
        if kind == 2:
            return Outcome(*head, "RETRY", eta=self.now + 1, failure=Failure("OSError", words))
        if kind == 3:
            return Outcome(*head, "RETRY", body=f'[["{words}"],{{}}]')
        if kind == 4:
            return Outcome(*head, "RETRY", counted=False, log=words)
        if kind == 5:
            self.numbers += 1
            moves = (f"moved-{self.numbers}", lease.priority + 1, self.now + 5)
            return Outcome(*head, "RETRY", moves=moves)
        return Outcome(*head, "REJECTED", failure=Failure("RejectedError", words))

    def _settle(self, reports: list[tuple[Held, Outcome]], limit: int) -> None:
        outcomes = [outcome for _, outcome in reports]
        zombies = sorted(held.lease.seq for held, _ in reports if not held.alive)
        wanted = Claim(owner=1, limit=limit, tasks=KNOWN, once=EARLY, loaded=0) if limit else None
        settled = self._step(outcomes=outcomes, claim=wanted)
        assert settled.zombies == zombies
        for held, outcome in reports:
            if held.alive:
                held.alive = False
                self._apply(held.expected, outcome)
        if limit:
            self._expect_claim(settled, limit, KNOWN)

    def _apply(self, job: Expected, outcome: Outcome) -> None:
        if outcome.log is not None:
            job.logs[outcome.claim] = outcome.log
        if outcome.state != "RETRY":
            reason = outcome.failure and outcome.failure.message
            job.end(outcome.state, self.now, reason)
            job.result = outcome.result
            return
        job.retries += outcome.counted
        job.eta = outcome.eta
        job.body = outcome.body or job.body
        job.phase = "ready" if outcome.eta is None else "scheduled"
        job.state = "RETRY"
        job.result, job.once = None, 0
        if outcome.failure is not None:
            job.reasons[job.claims] = ("RETRY", outcome.failure.message)
        if outcome.moves is not None:
            queue, priority, expires = outcome.moves
            job.queue, job.priority, job.expires = str(queue), int(priority or 0), expires

    def _start(self, held: Held) -> None:
        self._step(started=[(self.now, 4242, held.lease.seq, held.lease.token)])
        if held.alive and held.expected.state == "RECEIVED":
            held.expected.state = "STARTED"

    def _tell(self, held: Held, state: str | None) -> None:
        lease, meta = held.lease, f'"told in {held.lease.claim}"'
        told = jobs.update_state(self.database, lease.id, state=state, meta=meta, token=lease.token)
        assert told is held.alive
        if held.alive:
            held.expected.state, held.expected.result = state or held.expected.state, meta

    def _release(self, some: list[Held]) -> None:
        alive = [held for held in some if held.alive]
        pairs = [(held.lease.seq, held.lease.token) for held in some]
        assert leases.release(self.database, pairs) == len(alive)
        for held in alive:
            held.alive = False
            held.expected.wait()
            held.expected.result = None

    def _reap(self, some: list[Held], *, ran: bool, fragile: frozenset[str] = frozenset()) -> None:
        lost = [Lost(lease=held.lease, ran=ran, reason="died") for held in some]
        given_up = leases.reap(
            self.database, lost, now=self.now, keep=KEEP, max_deliveries=MOST_DEATHS,
            fragile=fragile,
        )  # fmt: skip
        poison = []
        for held in some:
            if not held.alive:
                continue
            held.alive = False
            job = held.expected
            job.result = None
            last = job.once or job.task in fragile or job.deaths + 1 >= MOST_DEATHS
            if ran and last:
                poison.append(held.lease)
                words = f"{job.deaths + 1} times"
                if job.once:
                    words = "and it was acknowledged before it ran"
                job.end("FAILURE", self.now, f"died, {words}")
            else:
                job.deaths += ran
                job.wait()
        assert given_up == poison
