"""What beat does in its loop takes as many steps among ten thousand entries as among a hundred."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from litequeue.store import Database, entries, firing, ticks
from litequeue.store.firing import Fired
from tests.store.beat_steps import beat, line, plan_all, release
from tests.store.steps import KEEP, NOW
from tests.store.test_query_plans import _measure

FEW, MANY = 100, 10_000
DUE, WAITING = 32, 8
"""Entries that are due, and those whose tick may be sent now, in either file."""
LATER = NOW + 1_000


def fill(path: Path, count: int) -> None:
    """Write entries with a history: some are due, the same number of others wait for a run."""
    database = Database(path, create=True, durability="process")
    entries.reconcile(
        database, "app", [line(f"e{n:05}", overlap="queue") for n in range(count)], NOW
    )
    database.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(f"""
            BEGIN;
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20)
            INSERT INTO litequeue_tick
            SELECT entry.id, 'tick-' || i, i, {NOW} - 60 + i, {NOW} - 60 + i, {NOW} - 60 + i,
                   'run-' || entry.id || '-' || i, NULL
            FROM n, litequeue_entry AS entry;
            INSERT INTO litequeue_job
                (id, task, queue, phase, state, created, finished, keep_until)
            SELECT job, 't', 'default', 'done', 'SUCCESS', {NOW}, {NOW}, {NOW} + 1e9
            FROM litequeue_tick;
            UPDATE litequeue_entry SET last_job = 'run-' || id || '-20', next_at = {LATER} + id,
                next_due = {LATER} + id, next_key = 'next', owner = NULL;
            UPDATE litequeue_entry SET held_key = 'tick-20', held_at = {NOW}, held_due = {NOW} + id
            WHERE id > {count} - {2 * WAITING};
            UPDATE litequeue_job SET phase = 'ready', state = 'PENDING', finished = NULL,
                keep_until = NULL
            WHERE id IN (SELECT last_job FROM litequeue_entry WHERE id > {count} - {WAITING});
            INSERT INTO litequeue_payload (seq, body) SELECT seq, '[[],{{}}]' FROM litequeue_job;
            COMMIT;
        """)


def fire(database: Database) -> None:
    assert len(beat(database, LATER + DUE).jobs) == DUE


def overtaken(database: Database) -> None:
    old = [replace(firing, version=0) for firing in plan_all(database, LATER + DUE)]
    assert ticks.fire(database, old, LATER + DUE, keep=KEEP) == Fired()


def release_them(database: Database) -> None:
    assert len(release(database, LATER).jobs) == WAITING


def change(database: Database) -> None:
    entries.change(database, "e00007", {"priority": 5, "end": LATER}, NOW)


ACTIONS: dict[str, Callable[[Database], Any]] = {
    "next_due": ticks.next_due,
    "due": lambda d: ticks.due(d, LATER + 1_000_000, DUE),
    "fire": fire,
    "fire what was fired": overtaken,
    "held": ticks.held,
    "release_held": release_them,
    "get": lambda d: entries.get(d, "e00007"),
    "history": lambda d: entries.history(d, "e00007", 10),
    "pause": lambda d: entries.pause(d, "e00007", NOW),
    "run_now": lambda d: entries.run_now(d, "e00007", "mine", NOW),
    "change": change,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    made = {}
    for count in (FEW, MANY):
        made[count] = tmp_path_factory.mktemp("entries") / f"{count}.sqlite"
        fill(made[count], count)
    return made


@pytest.mark.parametrize("name", ACTIONS)
def test_the_loop_is_flat(files: dict[int, Path], name: str) -> None:
    few, many = (_measure(files[count], ACTIONS[name]) for count in (FEW, MANY))
    assert many <= few * 1.02 + 20, f"{few} steps among {FEW} entries, {many} among {MANY}"


@pytest.mark.parametrize(
    ("name", "where", "statement", "found", "instead"),
    [
        ("due", ticks, "DUE", "ORDER BY entry.next_due", "ORDER BY entry.next_due + 0"),
        ("fire", ticks, "AS_PLANNED", "WHERE id =", "WHERE +id ="),
        pytest.param(
            *("fire", firing, "UNFINISHED", "WHERE tick.entry =", "WHERE +tick.entry ="),
            marks=pytest.mark.slow,
        ),
        ("release_held", ticks, "FREE", "entry.held_due IS", "+entry.held_due IS"),
        ("next_due", ticks, "NEXT_DUE", "ORDER BY next_due", "ORDER BY next_due + 0"),
    ],
)
def test_what_is_not_flat_would_be_seen(
    files: dict[int, Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    where: Any,
    statement: str,
    found: str,
    instead: str,
) -> None:
    text = getattr(where, statement)
    assert found in text
    monkeypatch.setattr(where, statement, text.replace(found, instead))
    few, many = (_measure(files[count], ACTIONS[name]) for count in (FEW, MANY))
    assert many > 5 * few
