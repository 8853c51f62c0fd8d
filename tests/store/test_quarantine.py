"""One row that cannot be read must never stop the others."""

from __future__ import annotations

import sqlite3

import pytest

from litequeue.store import Database, opening, results
from tests.store.steps import KEEP, NOW, claim, put, row_of, rows, step, success

LIMIT = 100_000


@pytest.fixture(autouse=True)
def _short_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long to read should not take long to write."""
    monkeypatch.setattr(opening, "LENGTH_LIMIT", LIMIT)


BAD_TEXT = "CAST(x'5b22ff225d' AS TEXT)"
SPOILS = {
    "body": f"UPDATE litequeue_payload SET body = {BAD_TEXT} WHERE seq = :seq",
    "options": f"UPDATE litequeue_payload SET options = {BAD_TEXT} WHERE seq = :seq",
    "task": f"UPDATE litequeue_job SET task = {BAD_TEXT} WHERE seq = :seq",
    "queue": f"UPDATE litequeue_job SET queue = {BAD_TEXT} WHERE seq = :seq",
    "parent": f"UPDATE litequeue_job SET parent = {BAD_TEXT} WHERE seq = :seq",
    "id": "UPDATE litequeue_job SET id = CAST(x'62ff' || seq AS TEXT) WHERE seq = :seq",
    "too long": f"UPDATE litequeue_payload SET body = hex(zeroblob({LIMIT})) WHERE seq = :seq",
}


def spoil(foreign: sqlite3.Connection, what: str, *ids: str) -> list[int]:
    """Make rows unreadable; return their seqs."""
    found = [
        foreign.execute("SELECT seq FROM litequeue_job WHERE id = ?", (id,)).fetchone()[0]
        for id in ids
    ]
    for seq in found:
        foreign.execute(SPOILS[what], {"seq": seq})
        if what == "queue":
            foreign.execute(f"INSERT OR IGNORE INTO litequeue_queue (name) VALUES ({BAD_TEXT})")
    return found


def drain(database: Database, **more: object) -> list[str]:
    """Run everything as a worker would; return the ids in order."""
    ran: list[str] = []
    for _ in range(50):
        settled = step(database, limit=2, now=NOW + 10, **more)  # type: ignore[arg-type]  # passed on
        ran += [lease.id for lease in settled.leases]
        step(database, *(success(lease) for lease in settled.leases), now=NOW + 10)
        if not settled.more:
            return ran
    pytest.fail("the claim never came to an end")


@pytest.mark.parametrize("what", SPOILS)
def test_an_unreadable_row_fails_and_the_others_run(
    database: Database, foreign: sqlite3.Connection, what: str
) -> None:
    put(database, "good1", "bad", "good2")
    (seq,) = spoil(foreign, what, "bad")
    assert drain(database) == ["good1", "good2"]
    assert rows(database.path, "SELECT phase, state FROM litequeue_job WHERE seq = ?", seq) == [
        ("done", "FAILURE")
    ]
    ((message,),) = rows(database.path, "SELECT message FROM litequeue_error WHERE job = ?", seq)
    assert message.startswith("the row cannot be read")


@pytest.mark.parametrize("bad", [1, 2, 3, 7])
@pytest.mark.parametrize("good", [0, 1, 5])
def test_many_of_them_in_front_stop_nobody(
    database: Database, foreign: sqlite3.Connection, bad: int, good: int
) -> None:
    put(database, *(f"bad{n}" for n in range(bad)), priority=5)
    put(database, *(f"good{n}" for n in range(good)))
    seqs = spoil(foreign, "body", *(f"bad{n}" for n in range(bad)))
    assert drain(database) == [f"good{n}" for n in range(good)]
    failed = rows(database.path, "SELECT seq FROM litequeue_job WHERE state = 'FAILURE'")
    assert [row[0] for row in failed] == seqs


def test_one_that_becomes_due_is_found_in_the_same_claim(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "bad", eta=NOW + 5)
    put(database, "good")
    (seq,) = spoil(foreign, "body", "bad")
    foreign.execute("UPDATE litequeue_job SET priority = 9 WHERE seq = ?", (seq,))
    assert drain(database) == ["good"]


def test_with_named_queues_only_theirs_are_looked_at(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "bad-here", "good", queue="here")
    put(database, "bad-there", queue="there", priority=9)
    spoil(foreign, "body", "bad-here", "bad-there")
    assert drain(database, queues='["here"]') == ["good"]
    assert row_of(database.path, "bad-there")["phase"] == "ready"


def test_outcomes_that_came_along_are_settled_all_the_same(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "first")
    (lease,) = claim(database)
    put(database, "bad", "good")
    spoil(foreign, "body", "bad")
    settled = step(database, success(lease, "1"), limit=2)
    assert settled.zombies == []
    assert row_of(database.path, "first")["state"] == "SUCCESS"
    assert drain(database) == ["good"]


def test_a_job_without_its_payload_is_handed_out_to_fail(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "bare", "good")
    foreign.execute("DELETE FROM litequeue_payload WHERE seq = 1")
    leases = claim(database, 9)
    assert [(lease.id, lease.body) for lease in leases] == [("bare", None), ("good", "[[],{}]")]
    foreign.execute("INSERT INTO litequeue_payload (seq, body) VALUES (1, '')")


def test_a_quarantined_job_can_be_read_about_and_is_kept_for_a_while(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "bad")
    spoil(foreign, "body", "bad")
    assert drain(database) == []
    record = results.fetch(database, "bad")
    assert record is not None
    assert record.failure is not None
    assert (record.state, record.failure.type) == ("FAILURE", "ValueError")
    assert row_of(database.path, "bad")["keep_until"] == NOW + 10 + KEEP.failure


def test_an_error_of_the_file_itself_is_not_taken_for_a_bad_row(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "a")
    foreign.execute("ALTER TABLE litequeue_payload RENAME TO elsewhere")
    with pytest.raises(Exception, match="no such table"):
        claim(database)
    foreign.execute("ALTER TABLE elsewhere RENAME TO litequeue_payload")
    assert [lease.id for lease in claim(database)] == ["a"]
