"""Which queues a worker claims from: chosen, excluded, in order, paused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from litequeue.store import Database, listing, queues
from litequeue.store.claim import has_parked
from tests.store.steps import NOW, claim, phases, put, rows, step


def fill(database: Database, *names: str, **more: Any) -> None:
    for name in names:
        put(database, f"in {name}", queue=name, **more)


def claimed(database: Database, **more: Any) -> list[str]:
    return [lease.queue for lease in claim(database, 99, **more)]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["mail"], ["mail"]),
        (["mail*"], ["mail", "mail.slow", "mail.fast"]),
        (["mail.?ast", "x"], ["mail.fast"]),
        (["[ab]*"], ["a1", "b1"]),
        (["[^m]*"], ["a1", "b1", "[ab]*"]),
        (["*"], ["mail", "mail.slow", "mail.fast", "a1", "b1", "[ab]*"]),
        (["nobody"], []),
        ([], []),
    ],
    ids=str,
)
def test_queues_are_chosen_by_patterns(
    database: Database, patterns: list[str], found: list[str]
) -> None:
    fill(database, "mail", "mail.slow", "mail.fast", "a1", "b1", "[ab]*")
    expected = [*found, "[ab]*"] if patterns == ["[ab]*"] else found
    assert claimed(database, queues=json.dumps(patterns)) == expected


def test_excluded_queues_are_left_alone(database: Database) -> None:
    fill(database, "mail", "mail.slow", "pictures", "[x]")
    assert claimed(database, excluded='["mail*", "[x]"]') == ["pictures"]
    assert claimed(database, queues='["mail*"]', excluded='["*.slow"]') == ["mail"]
    assert claimed(database) == ["mail.slow", "[x]"]


def test_queues_can_be_tried_in_order(database: Database) -> None:
    put(database, "low", queue="low", priority=9)
    put(database, "high", "high 2", queue="high")
    put(database, "high 3", queue="high", priority=1)
    put(database, "other", queue="other", priority=5)
    order = ('["high"]', '["l*"]')
    assert [lease.id for lease in claim(database, 2, in_order=order)] == ["high 3", "high"]
    assert [lease.id for lease in claim(database, 2, in_order=order)] == ["high 2", "low"]
    assert claim(database, 2, in_order=order) == []
    assert claimed(database, in_order=order, excluded="[]", queues=None) == []
    assert claimed(database, in_order=(*order, '["*"]')) == ["other"]


def test_parked_jobs_come_from_the_chosen_queues_in_order(database: Database) -> None:
    fill(database, "a", "b", "c", "d", task="u")
    step(database, limit=9)
    assert set(phases(database.path).values()) == {"parked"}
    knows = {"tasks": frozenset({"u"}), "parked": True}
    assert claimed(database, in_order=('["c"]', '["a"]'), excluded='["a"]', **knows) == ["c"]
    queues.pause(database, "b", NOW)
    assert has_parked(database, ["u"], None, '["d"]')
    assert claimed(database, excluded='["d"]', **knows) == ["a"]
    assert not has_parked(database, ["u"], None, '["d"]')
    assert not has_parked(database, ["u"], '["b"]')
    assert claimed(database, queues='["b", "d"]', **knows) == ["d"]
    queues.resume(database, "b")
    assert claimed(database, **knows) == ["b"]


def test_nobody_claims_from_a_paused_queue(database: Database) -> None:
    fill(database, "mail", "pictures")
    assert queues.pause(database, "mail", NOW)
    assert not queues.pause(database, "mail", NOW + 1), "it was before"
    assert rows(database.path, "SELECT paused FROM litequeue_queue WHERE name = 'mail'") == [(NOW,)]
    assert queues.paused(database) == ["mail"]
    assert claimed(database, queues='["mail"]') == []
    assert claimed(database, in_order=('["mail"]', '["pic*"]')) == ["pictures"]
    put(database, "sent meanwhile", queue="mail")
    assert claimed(database) == []
    assert queues.resume(database, "mail")
    assert not queues.resume(database, "mail")
    assert queues.paused(database) == []
    assert claimed(database) == ["mail", "mail"]


def test_a_queue_can_be_paused_before_its_first_job(database: Database) -> None:
    assert queues.pause(database, "new", NOW)
    fill(database, "new")
    assert claimed(database) == []
    assert [(each.name, each.ready, each.paused) for each in listing.queues(database)] == [
        ("new", 1, NOW)
    ]
    queues.resume(database, "new")
    assert claimed(database) == ["new"]
    assert not queues.resume(database, "never heard of")


def test_what_is_due_in_a_paused_queue_waits_with_the_others(database: Database) -> None:
    put(database, "due", queue="mail", eta=NOW + 1)
    queues.pause(database, "mail", NOW)
    settled = step(database, limit=5, now=NOW + 2)
    assert (settled.leases, settled.more, settled.next_due) == ([], False, None)
    assert phases(database.path) == {"due": "ready"}
    queues.resume(database, "mail")
    assert [lease.id for lease in claim(database, 5, now=NOW + 2)] == ["due"]


def test_an_unreadable_row_in_another_queue_stops_nobody(database: Database) -> None:
    """Only what the claim may take is looked at, else the row behind it is never reached."""
    put(database, "held", "held 2", queue="held", priority=9)
    put(database, "bad", queue="mail")
    put(database, "good", queue="mail")
    with database.write(durable=False) as connection:
        connection.execute("UPDATE litequeue_job SET parent = CAST(x'ff' AS TEXT) WHERE id = 'bad'")
    queues.pause(database, "held", NOW)
    assert step(database, limit=1).ended == ["(row 3)"]
    assert [lease.id for lease in claim(database, 1)] == ["good"]
