"""What the victim of `test_flow_sweep.py` does with workflows until it kills itself.

Scenarios call the verbs of the store; plants are mistakes that the sweep has to find, made in the
victim's process alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from litequeue.flow import Plan, Sequel, Step, to_text
from litequeue.job import Lease, Outcome
from litequeue.store import Database, jobs, revocations, sequels, settle, storing, workflows
from litequeue.store import advance as advancing
from litequeue.store.claim import Claim
from litequeue.store.jobs import settle_and_claim
from tests.store.flows import chain, chord, returns_its_id
from tests.store.steps import KEEP, NOW, failure, job

WORKER = 7
GROUP = "b+f+g+y"
CHUNK = 3


def plan() -> Plan:
    """A chord of chains, with a group in it and steps after it."""
    return chord([chain("a", "b"), chain("c", ["d", "e"], "f"), "g"], "y", then="z", errback="x")


class Victim:
    """Runs one scenario; ``say`` acknowledges what has returned."""

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        self.database = Database(path, create=True)
        self.say = say

    def store(self) -> None:
        workflows.insert(self.database, plan(), NOW)
        self.say("stored")

    def store_in_chunks(self) -> None:
        workflows.insert(self.database, plan(), NOW, chunk=CHUNK)
        self.say("stored")

    def work(self) -> None:
        """All of it, each round settling what the one before has claimed."""
        self.store()
        self._run(frozenset())

    def fail(self) -> None:
        """A step fails, is run again, and all comes back."""
        self.store()
        self._run(frozenset("a"))
        jobs.rerun(self.database, "a", now=NOW, keep=KEEP)
        self.say("again")
        self._run(frozenset())

    def hand_on(self) -> None:
        """One member of the chord becomes the end of a chain, and one adds a member."""
        self.store()
        self._run(frozenset(), hands_on)

    def revoke(self) -> None:
        self.store()
        revocations.revoke(self.database, ["c"], now=NOW, keep=KEEP)
        self.say("revoked")

    def _run(
        self, failing: frozenset[str], verdict: Callable[[Lease], Outcome] = returns_its_id
    ) -> None:
        outcomes: list[Any] = []
        while True:
            wanted = Claim(owner=WORKER, limit=2, tasks=frozenset("t"))
            settled = settle_and_claim(
                self.database, now=NOW, keep=KEEP, outcomes=outcomes, claim=wanted
            )
            for outcome in outcomes:
                self.say(f"settled {outcome.seq} {outcome.state}")
            if not settled.leases and not outcomes:
                return
            outcomes = [
                failure(each) if each.id in failing else verdict(each) for each in settled.leases
            ]


def hands_on(lease: Lease) -> Outcome:
    """Return the verdict of a step of the scenario `Victim.hand_on`: each attempt has other ids."""
    verdict = returns_its_id(lease)
    if lease.id == "b" and json.loads(lease.options or "{}").get("given") == '"a"':
        text = to_text(Sequel((chain(f"b{lease.claim}", "b"),), takes=True))
        return replace(verdict, state="RETRY", result=None, counted=False, sequel=text)
    if lease.id == "g":
        new = f"h{lease.claim}"
        further = Plan([Step(job(new), group=GROUP)], [], [], new)
        return replace(verdict, sequel=to_text(Sequel((further,))))
    return verdict


SCENARIOS = ("store", "store_in_chunks", "work", "hand_on", "fail", "revoke")


# Planted mistakes


def _anew(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")


def taken_before_it_is_done() -> None:
    """The outbox is emptied in a transaction of its own, before the work."""
    genuine = advancing._Turn._look_at

    def look_at(self: Any, seq: int, place: int) -> None:
        self._connection.execute(advancing.TAKE, (seq,))
        _anew(self._connection)
        genuine(self, seq, place)

    advancing._Turn._look_at = look_at  # type: ignore[method-assign]  # as long as we live


def released_before_it_is_given() -> None:
    genuine = advancing._Turn._succeeded

    def succeeded(self: Any, seq: int, edges: Any) -> None:
        for _, target, kind, _ in edges:
            if kind != "error":
                self._release(target)
        _anew(self._connection)
        genuine(self, seq, edges)

    advancing._Turn._succeeded = succeeded  # type: ignore[method-assign]  # as long as we live


def sealed_too_early() -> None:
    genuine = storing.Storing.add

    def add(self: Any, connection: sqlite3.Connection, steps: Any) -> Any:
        span = genuine(self, connection, steps)
        self.seal(connection)
        return span

    storing.Storing.add = add  # type: ignore[method-assign]  # as long as we live


def handed_on_before_it_is_settled() -> None:
    genuine = sequels.follow

    def follow(connection: sqlite3.Connection, outcome: Outcome, now: float) -> Any:
        followed = genuine(connection, outcome, now)
        _anew(connection)
        return followed

    settle.follow = follow  # type: ignore[attr-defined]  # as long as we live


def becomes_another_before_that_is_stored() -> None:
    genuine = sequels._store

    def store(connection: Any, storing: Any, steps: Any, plan: Any) -> None:
        _anew(connection)
        genuine(connection, storing, steps, plan)

    sequels._store = store  # as long as we live
