"""Beats against their model, and mistakes planted into their verbs, each of which is caught."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from litequeue.exceptions import LiteQueueError
from litequeue.store import entries, firing, ticks
from tests.store.beat_machine import BeatMachine
from tests.store.test_mutants import SEARCH, SEEDS, Plant, statement

TestBeats = BeatMachine.TestCase
TestBeats.settings = settings(max_examples=40, stateful_step_count=30)


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestBeatsForLonger(BeatMachine.TestCase):
    settings = settings(max_examples=300, stateful_step_count=30)


def in_another_transaction(patch: pytest.MonkeyPatch) -> None:
    """The next moment is written before the ticks, and committed."""
    genuine = ticks.fire

    def fire(database: Any, firings: Any, now: float, **more: Any) -> Any:
        with database.write(durable=True) as connection:
            connection.executemany(
                "UPDATE litequeue_entry SET next_key = ?, next_at = ?, next_due = ?"
                " WHERE id = ? AND version = ?",
                [(f.next_key, f.next_at, f.next_due, f.entry, f.version) for f in firings],
            )
        return genuine(database, firings, now, **more)

    patch.setattr(ticks, "fire", fire)


def never_let_go(patch: pytest.MonkeyPatch) -> None:
    """What has waited is not taken off the list of those that wait."""
    genuine = firing.Line.hold

    def hold(self: firing.Line, tick: firing.Moment | None) -> None:
        if tick is not None:
            genuine(self, tick)

    patch.setattr(firing.Line, "hold", hold)


def impatient(patch: pytest.MonkeyPatch) -> None:
    """What waits is sent while the run before it goes on."""
    patch.setattr(ticks, "unfinished", lambda *_: [])
    patch.setattr(
        ticks, "FREE", "SELECT id, version FROM litequeue_entry WHERE held_due > 0 LIMIT ?"
    )


def forgets_those_that_run(patch: pytest.MonkeyPatch) -> None:
    """The tick of a run that has not ended is deleted with the others of its age."""
    genuine = firing.forget

    def forget(connection: Any, line: firing.Line, now: float) -> None:
        overlap, line.overlap = line.overlap, "allow"
        held, line.held_key = line.held_key, None
        genuine(connection, line, now)
        line.overlap, line.held_key = overlap, held

    patch.setattr(ticks, "forget", forget)


def queues_all(patch: pytest.MonkeyPatch) -> None:
    """The newest tick waits in place of the one that waited."""
    genuine = firing._stand_aside

    def stand_aside(sending: Any, line: firing.Line, *given: Any) -> str | None:
        if line.overlap == "queue":
            line.hold(None)
        return genuine(sending, line, *given)

    patch.setattr(firing, "_stand_aside", stand_aside)


def believes_everything(patch: pytest.MonkeyPatch) -> None:
    """What was forgotten may be sent again."""
    patch.setattr(firing.Line, "has_forgotten", lambda self, at: False)


MISTAKES: dict[str, Plant] = {
    "a tick without a unique key": statement(
        firing, "ADD_TICK", "SELECT ?1, ?2,", "SELECT ?1, ?2 || '-' || coalesce(max(number), 0),"
    ),
    "next moved in another transaction": in_another_transaction,
    "no version check": statement(ticks, "AS_PLANNED", "version = ?", "? > 0"),
    "held not cleared": never_let_go,
    "released too early": impatient,
    "those that run are forgotten": forgets_those_that_run,
    "the newest waits": queues_all,
    "the forgotten is sent again": believes_everything,
    "what may still come is forgotten": statement(firing, "PRUNE", "AND at <= ?2", "AND ?2"),
    "finished runs block": statement(firing, "UNFINISHED", "AND job.phase <> 'done'", ""),
    "waiting jobs do not count": statement(
        firing, "UNFINISHED", "job.phase <> 'done'", "job.phase = 'leased'"
    ),
    "a pause keeps what waits": statement(
        entries, "PAUSE", "held_key = NULL, held_at = NULL, held_due = NULL,", ""
    ),
    "a paused entry is due": statement(ticks, "DUE", "entry.paused IS NULL AND", ""),
    "a resumed entry catches up": statement(
        entries, "RESUME", "next_at = ?", "next_at = coalesce(next_at, ?)"
    ),
    "what a clock put back is not planned anew": statement(
        ticks, "BEHIND", "planned > ?", "planned > ? + 20"
    ),
}


RARE = {"what may still come is forgotten"}
"""Mistakes that take seconds to be met with."""
MARKED = [pytest.param(name, marks=pytest.mark.slow) if name in RARE else name for name in MISTAKES]


@pytest.mark.parametrize("name", MARKED)
def test_the_machine_catches(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    MISTAKES[name](monkeypatch)
    assert any(map(catches, SEEDS)), "it was not seen"


def catches(number: int) -> bool:
    machine = seed(number)(type("Machine", (BeatMachine,), {}))
    try:
        run_state_machine_as_test(machine, settings=SEARCH)
    except (AssertionError, LiteQueueError):
        return True
    return False
