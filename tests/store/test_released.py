"""A step that is alone in the file is taken in the commit that releases it."""

from __future__ import annotations

from litequeue.job import Outcome
from litequeue.store import Database
from litequeue.store.claim import Settled
from tests.store.flows import chain, insert
from tests.store.steps import claim_one, job, put, step, success


def settle(database: Database, *outcomes: Outcome, limit: int = 9) -> Settled:
    return step(database, *outcomes, limit=limit, only_released=True)


def test_it_is_taken(database: Database) -> None:
    insert(database, chain("a", "b"))
    settled = settle(database, success(claim_one(database)))
    assert [lease.id for lease in settled.leases] == ["b"]
    assert (settled.claimed, settled.ready) == (True, False), "nobody else is to be told"


def test_without_anything_released_nothing_is_looked_for(database: Database) -> None:
    put(database, "a", "b")
    settled = settle(database, success(claim_one(database)))
    assert (settled.leases, settled.claimed, settled.ready) == ([], False, False)


def test_what_is_left_is_told(database: Database) -> None:
    insert(database, chain("a", ["b", "c"]))
    settled = settle(database, success(claim_one(database)), limit=1)
    assert len(settled.leases) == 1
    assert settled.ready


def test_what_is_for_others_is_told(database: Database) -> None:
    insert(database, chain("a", job("b", task="of another worker")))
    settled = settle(database, success(claim_one(database)))
    assert settled.leases == []
    assert settled.ready
