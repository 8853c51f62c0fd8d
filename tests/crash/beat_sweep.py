"""What the victim of `test_beat_sweep.py` does with entries and ticks until it kills itself.

Scenarios call the verbs of beat; plants are mistakes that the sweep has to find, made in the
victim's process alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from litequeue.store import Database, entries, firing, ticks
from litequeue.store import claim as claims
from litequeue.store.firing import Fired
from litequeue.store.jobs import settle_and_claim
from tests.store.beat_steps import beat, line, release
from tests.store.steps import KEEP, NOW, success

OWNER = "tasks:app"
OLD = [line("a", misfire="all"), line("b", overlap="queue"), line("c", overlap="cancel")]
NEW = [line("a", queue="mail"), line("c", seconds=30.0), line("d")]
TASKS = frozenset({"t"})
WORKER = 7


class Victim:
    """Runs one scenario; ``say`` acknowledges what has returned."""

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        self.database = Database(path, create=True)
        self.say = say

    def told(self, fired: Fired) -> None:
        for name, key, id in fired.jobs:
            self.say(f"sent {name} {key} {id}")

    def fire(self) -> None:
        """Two rounds: the first sends, the second meets what has not ended."""
        self.told(beat(self.database, NOW + 20, most=9))
        self.told(beat(self.database, NOW + 30, most=9))

    def release_held(self) -> None:
        """The runs end, and what waited for them is sent."""
        beat(self.database, NOW + 10)
        wanted = claims.Claim(owner=WORKER, limit=9, tasks=TASKS)
        held = settle_and_claim(self.database, now=NOW + 11, keep=KEEP, claim=wanted).leases
        beat(self.database, NOW + 20)
        outcomes = [success(lease) for lease in held]
        settle_and_claim(self.database, now=NOW + 21, keep=KEEP, outcomes=outcomes)
        self.told(release(self.database, NOW + 22))

    def reconcile(self) -> None:
        """A deploy: one entry is new, two are changed, one is gone."""
        entries.reconcile(self.database, OWNER, NEW, NOW + 5)
        self.say("reconciled")

    def run_now(self) -> None:
        for name in ("a", "b"):
            job = entries.run_now(self.database, name, f"manual-{name}", NOW + 5)
            self.say(f"sent {name} manual {job.id}")


SCENARIOS = ("fire", "release_held", "reconcile", "run_now")


def prepare(path: str) -> None:
    """Make a queue with entries of code and one of people's."""
    database = Database(path, create=True)
    entries.reconcile(database, OWNER, OLD, NOW)
    entries.add(database, line("peoples", overlap="skip"), NOW)
    database.close()


# Planted mistakes


def _anew(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")


def job_in_another_transaction() -> None:
    genuine = firing.Sending.send

    def send(self: firing.Sending, *given: Any) -> Any:
        _anew(self.connection)
        return genuine(self, *given)

    firing.Sending.send = send  # type: ignore[method-assign,assignment]  # as long as we live


def next_before_the_ticks() -> None:
    genuine = firing.fire_tick

    def fire_tick(sending: firing.Sending, entry: firing.Line, *given: Any) -> None:
        sending.connection.execute(
            "UPDATE litequeue_entry SET next_key = 'far', next_at = ?, next_due = ? WHERE id = ?",
            (NOW + 1_000, NOW + 1_000, entry.id),
        )
        _anew(sending.connection)
        genuine(sending, entry, *given)

    vars(ticks)["fire_tick"] = fire_tick


def tick_in_another_transaction() -> None:
    genuine = firing.add_tick

    def add_tick(sending: firing.Sending, *given: Any) -> bool:
        _anew(sending.connection)
        return genuine(sending, *given)

    vars(entries)["add_tick"] = add_tick


def deploy_in_two_transactions() -> None:
    genuine = entries._carry_out

    def carry_out(connection: sqlite3.Connection, statements: Any) -> None:
        genuine(connection, statements)
        _anew(connection)

    entries._carry_out = carry_out
