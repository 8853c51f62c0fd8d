from __future__ import annotations

from dataclasses import replace

import pytest

from litequeue.store import Database, workers
from litequeue.store.workers import Identity
from tests.store.steps import NOW, claim_one, put, step, success

WORKER = Identity(
    name="w", nonce="a1", boot="b", namespace="pid:[1]", pid=2**31, start_time=2**40,
    directory="",
)  # fmt: skip


def test_a_worker_is_found_again_by_its_nonce(database: Database) -> None:
    owner = workers.register(database, WORKER, NOW)
    assert workers.register(database, WORKER, NOW + 5) == owner
    other = workers.register(database, replace(WORKER, nonce="a2"), NOW)
    assert other != owner
    first, second = workers.owners(database)
    assert (first.id, first.identity, first.started, first.heartbeat) == (
        owner,
        replace(WORKER, directory=database.path + ".bell"),
        NOW,
        NOW + 5,
    )
    assert second.identity.nonce == "a2"


def test_renewing_is_seen_by_others_without_a_clock(database: Database) -> None:
    owner = workers.register(database, WORKER, NOW)
    (before,) = workers.owners(database)
    assert workers.renew(database, owner, "a1", NOW - 99_999)
    (after,) = workers.owners(database)
    assert after.beats == before.beats + 1


@pytest.mark.parametrize(("owner", "nonce"), [(0, "0f"), (1, "a1")])
def test_who_was_declared_dead_cannot_renew(database: Database, owner: int, nonce: str) -> None:
    id = workers.register(database, WORKER, NOW)
    assert not workers.renew(database, id + owner, nonce, NOW)
    assert workers.unregister(database, id)
    assert not workers.renew(database, id, "a1", NOW)


def test_a_worker_goes_only_when_it_holds_nothing(database: Database) -> None:
    owner = workers.register(database, WORKER, NOW)
    put(database, "a")
    lease = claim_one(database, owner=owner)
    assert not workers.unregister(database, owner)
    step(database, success(lease))
    assert workers.unregister(database, owner)
    assert not workers.unregister(database, owner)
    assert workers.owners(database) == []
