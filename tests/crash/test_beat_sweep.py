"""SIGKILL before every SQL statement of beat's verbs: no tick is lost, none has two jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from litequeue.store import Database, entries
from tests.crash import beat_sweep, sweep
from tests.crash.beat_sweep import NEW, OLD, OWNER, SCENARIOS, WORKER
from tests.store.beat_steps import beat, release
from tests.store.steps import NOW, claim, enlist, problems, rows, step, success

pytestmark = pytest.mark.crash

MOST = 400
MOMENTS = (10, 20, 30, 40)
"""Seconds after NOW at which every entry of the beginning is due, until all is looked at."""


def check(path: Path, scenario: str, told: list[str]) -> None:
    """Hold the file against what was acknowledged, then have the beat go on."""
    assert problems(path) == []
    ticked_or_not(path)
    stored = {id for (id,) in rows(path, "SELECT id FROM litequeue_job")}
    for _, _, _, id in (line.split() for line in told if line.startswith("sent ")):
        assert id in stored, "a job that was told of is lost"
    if scenario == "reconcile":
        all_or_nothing(path, told)
        return
    go_on(path)
    ticked_or_not(path)
    every_tick_is_there(path)


def ticked_or_not(path: Path) -> None:
    """A tick and its job are there, or neither is; the next one passes none that is not."""
    ghosts = rows(
        path,
        """
        SELECT tick.entry, tick.key, tick.job FROM litequeue_tick AS tick
        WHERE (tick.job IS NULL) <> (tick.note IS 'overlap' OR tick.note IS 'held' AND tick.key IN
                  (SELECT held_key FROM litequeue_entry WHERE id = tick.entry))
           OR tick.job NOT IN (SELECT id FROM litequeue_job)
        """,
    )
    assert ghosts == [], "a tick without its job"
    jobs = {id for (id,) in rows(path, "SELECT id FROM litequeue_job")}
    ticked = [id for (id,) in rows(path, "SELECT job FROM litequeue_tick WHERE job IS NOT NULL")]
    assert sorted(jobs) == sorted(ticked), "a job without its tick, or a tick with two"


def all_or_nothing(path: Path, told: list[str]) -> None:
    database = Database(path)
    found = [r.entry for r in entries.listed(database) if r.owner == OWNER]
    assert found in (OLD, NEW), "half a deploy"
    assert found == NEW or "reconciled" not in told
    entries.reconcile(database, OWNER, NEW, NOW + 5)
    assert [r.entry for r in entries.listed(database) if r.owner == OWNER] == NEW
    database.close()


def go_on(path: Path) -> None:
    """Run another beat and a worker, which takes back what the dead one had."""
    database = Database(path)
    enlist(database, WORKER)
    with database.write(durable=False) as connection:
        connection.execute(
            "UPDATE litequeue_job SET phase = 'ready', state = 'PENDING', owner = NULL,"
            " token = NULL WHERE phase = 'leased'"
        )
    for seconds in MOMENTS:
        finish(database, NOW + seconds)
        release(database, NOW + seconds)
        finish(database, NOW + seconds)
        beat(database, NOW + seconds, most=9)
    database.close()


def finish(database: Database, now: float) -> None:
    leases = claim(database, 99, owner=WORKER, now=now)
    step(database, *(success(lease) for lease in leases), now=now)


def every_tick_is_there(path: Path) -> None:
    found = Counter(
        rows(
            path,
            """
            SELECT entry.name, tick.at FROM litequeue_tick AS tick
            JOIN litequeue_entry AS entry ON entry.id = tick.entry WHERE tick.note IS NOT 'manual'
            """,
        )
    )
    wanted = {("a", NOW + seconds) for seconds in MOMENTS}
    assert {tick for tick in found if tick[0] == "a"} == wanted, "a tick was passed over"
    assert set(found.values()) == {1}


def sweep_over(
    tmp_path: Path, scenario: str, plant: Callable[[], None] | None = None, *, every: int = 1
) -> int:
    """Kill before one statement after the other; return at which the victim got through."""
    original = tmp_path / "original.sqlite"
    beat_sweep.prepare(str(original))
    worker = Database(original)
    enlist(worker, WORKER)
    worker.close()
    content = original.read_bytes()
    for number in sweep.moments(MOST, every):
        path = tmp_path / str(number) / "jobs.sqlite"
        path.parent.mkdir()
        path.write_bytes(content)
        told = sweep.run_victim(beat_sweep.Victim, path, scenario, number, plant)
        assert not [line for line in told if line.startswith("error")], told
        check(path, scenario, told)
        if "finished" in told:
            return number - 1
    pytest.fail(f"{scenario} did not end within {MOST} statements")


@pytest.mark.parametrize("every", sweep.EVERY)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_before_any_statement_neither_loses_nor_doubles(
    tmp_path: Path, scenario: str, every: int
) -> None:
    assert sweep_over(tmp_path, scenario, every=every) > 12


@pytest.mark.parametrize(
    ("plant", "scenario"),
    [
        (beat_sweep.job_in_another_transaction, "fire"),
        (beat_sweep.next_before_the_ticks, "fire"),
        (beat_sweep.job_in_another_transaction, "release_held"),
        (beat_sweep.tick_in_another_transaction, "run_now"),
        (beat_sweep.deploy_in_two_transactions, "reconcile"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_sweep_catches(tmp_path: Path, plant: Any, scenario: str) -> None:
    with pytest.raises(AssertionError):
        sweep_over(tmp_path, scenario, plant)
