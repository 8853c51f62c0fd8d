"""SIGKILL before every SQL statement of every verb, and then: is all of it there, and once?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from litequeue.store import Database, jobs, leases, results
from litequeue.store.claim import Claim
from litequeue.store.leases import Lost
from tests.crash import sweep
from tests.crash.sweep import EVERY, KEEP, NOW, OWNER, SCENARIOS, TASKS
from tests.store.steps import enlist, job, problems, rows

pytestmark = pytest.mark.crash

MOST = 400
BEFORE = [f"old-{number}" for number in range(5)]


def prepare(path: Path) -> None:
    """Make a queue with a few jobs, one of them due later."""
    database = Database(path, create=True)
    enlist(database, OWNER, OWNER + 1)
    jobs.enqueue_many(database, [job(id) for id in BEFORE[:4]], NOW)
    jobs.enqueue(database, job(BEFORE[4], eta=NOW + 5), NOW)
    database.close()


def recover(path: Path) -> dict[str, int]:
    """Take the leases of the dead back, run all that is left; return results per job."""
    database = Database(path, create=True)
    enlist(database, OWNER + 1)
    done: dict[str, int] = {}
    try:
        dead = [
            Lost(lease=lease, ran=False, reason="killed")
            for lease in leases.leases_of(database, OWNER)
        ]
        if dead:
            leases.reap(database, dead, now=NOW, keep=KEEP, max_deliveries=3)
        assert leases.leases_of(database, OWNER) == []
        for _ in range(20):
            wanted = Claim(owner=OWNER + 1, limit=5, tasks=TASKS)
            held = jobs.settle_and_claim(database, now=NOW + 99, keep=KEEP, claim=wanted).leases
            outcomes = [
                jobs.Outcome(lease.seq, lease.token, lease.claim, "SUCCESS", f'"{lease.id}"')
                for lease in held
            ]
            settled = jobs.settle_and_claim(database, now=NOW + 99, keep=KEEP, outcomes=outcomes)
            assert settled.zombies == []
            for lease in held:
                done[lease.id] = done.get(lease.id, 0) + 1
                record = results.fetch(database, lease.id)
                assert record is not None
                assert record.result == f'"{lease.id}"'
            if not held:
                break
    finally:
        database.close()
    return done


def check(path: Path, scenario: str, told: list[str]) -> None:
    """Hold the file against what was acknowledged."""
    assert problems(path) == []
    accepted = {line.split()[1] for line in told if line.startswith("accepted ")}
    settled = {line.split()[1]: line.split()[2] for line in told if line.startswith("settled ")}
    stored = dict(rows(path, "SELECT id, seq FROM litequeue_job"))
    assert set(BEFORE) | accepted <= set(stored), "an accepted job is lost"
    for seq, state in settled.items():
        ((now,),) = rows(path, "SELECT state FROM litequeue_job WHERE seq = ?", int(seq))
        assert now in (state, "RECEIVED") if state == "RETRY" else now == state
    if scenario == "enqueue_many":
        for batch in ("a-", "b-"):
            assert len([id for id in stored if id.startswith(batch)]) in (0, 4), "half a batch"
    changed = rows(
        path,
        "SELECT retries, body FROM litequeue_job JOIN litequeue_payload USING (seq) WHERE id = ?",
        BEFORE[2],
    )
    assert changed in ([(0, "[[],{}]")], [(1, '[["changed"],{}]' if scenario == "settle" else "")])
    ended = {row[0] for row in rows(path, "SELECT id FROM litequeue_job WHERE phase = 'done'")}
    done = recover(path)
    assert problems(path) == []
    assert ended.isdisjoint(done), "a job ran again after its verdict"
    assert set(done) | ended == set(stored)
    assert set(done.values()) <= {1}, "a job ran twice in one go"
    assert rows(path, "SELECT count(*) FROM litequeue_job WHERE phase <> 'done'") == [(0,)]


def sweep_over(
    tmp_path: Path, scenario: str, plant: Callable[[], None] | None = None, *, every: int = 1
) -> int:
    """Kill before one statement after the other; return at which the victim got through."""
    original = tmp_path / "original.sqlite"
    prepare(original)
    content = original.read_bytes()
    for number in sweep.moments(MOST, every):
        path = tmp_path / str(number) / "jobs.sqlite"
        path.parent.mkdir()
        path.write_bytes(content)
        told = sweep.run_victim(sweep.Victim, path, scenario, number, plant)
        assert not [line for line in told if line.startswith("error")], told
        check(path, scenario, told)
        if "finished" in told:
            return number - 1
    pytest.fail(f"{scenario} did not end within {MOST} statements")


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_before_any_statement_loses_nothing(
    tmp_path: Path, scenario: str, every: int
) -> None:
    assert sweep_over(tmp_path, scenario, every=every) > 12


@pytest.mark.parametrize("every", EVERY)
def test_a_kill_before_any_statement_of_the_first_opening(tmp_path: Path, every: int) -> None:
    """The file does not exist yet: whatever is left of it, the next one makes a queue of it."""
    for number in sweep.moments(MOST, every):
        path = tmp_path / str(number) / "jobs.sqlite"
        path.parent.mkdir()
        told = sweep.run_victim(sweep.Victim, path, "enqueue", number, None)
        database = Database(path, create=True)
        jobs.enqueue(database, job("after"), NOW)
        database.close()
        assert problems(path) == []
        accepted = {line.split()[1] for line in told if line.startswith("accepted ")}
        stored = {row[0] for row in rows(path, "SELECT id FROM litequeue_job")}
        assert accepted | {"after"} <= stored
        assert set(recover(path)) == stored
        if "finished" in told:
            assert number > 40
            return
    pytest.fail("it did not end")


@pytest.mark.parametrize(
    ("plant", "scenario"),
    [
        (sweep.payload_in_a_second_transaction, "enqueue"),
        (sweep.batch_in_two_transactions, "enqueue_many"),
        (sweep.retry_in_two_transactions, "settle"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_sweep_catches(tmp_path: Path, plant: Callable[[], None], scenario: str) -> None:
    with pytest.raises(AssertionError):
        sweep_over(tmp_path, scenario, plant)
