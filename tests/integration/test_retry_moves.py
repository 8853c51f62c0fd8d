"""A retry that moves its job: to another queue, priority, expiry; seen through real workers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from litequeue import TaskRevokedError
from tests.conftest import wait_until
from tests.integration.apps.record import Record
from tests.integration.apps.telling import app, moves, moves_later
from tests.integration.processes import Site

APP = "tests.integration.apps.telling:app"


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def test_a_retry_moves_to_the_worker_of_another_queue(site: Site) -> None:
    fast = site.worker("-Q", "default", app=APP, children=1)
    slow = site.worker("-Q", "slow", app=APP, children=1)
    result = moves.delay("job", queue="slow", priority=7)
    assert result.get(timeout=10) == ["slow", 7, None, ["job"]]
    first, second = Record(site.folder).facts("moved")
    assert (first["queue"], first["priority"], first["pid"]) == ("default", 0, *fast.children())
    assert (second["queue"], second["priority"], second["pid"]) == ("slow", 7, *slow.children())


def test_a_retry_can_move_to_a_queue_that_nobody_knew(site: Site) -> None:
    site.worker(app=APP, children=1)
    result = moves.delay("job", queue="brand-new")
    assert result.get(timeout=10)[0] == "brand-new", "a worker of all queues finds it"
    # One that says nothing stays where it was.
    result = moves.apply_async(("job",), queue="mine", priority=3, expires=300)
    queue, priority, expires, _ = result.get(timeout=10)
    assert (queue, priority) == ("mine", 3)
    assert expires is not None


def test_a_retry_with_an_expiry_is_revoked_when_it_comes_too_late(site: Site) -> None:
    site.worker(app=APP, children=1)
    result = moves_later.delay(60.0, 0.1)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)


def test_a_higher_priority_overtakes(site: Site) -> None:
    """All wait in one line when the worker starts; the moved one goes first in its second try."""
    first = moves.delay("first", priority=9)
    others = [moves.delay(f"other-{number}") for number in range(3)]
    worker = site.worker(app=APP, children=1)
    for each in (first, *others):
        each.get(timeout=10)
    names = [fact["name"] for fact in Record(site.folder).facts("moved", priority=9)]
    assert names == ["first"]
    with closing(sqlite3.connect(f"file:{site.path}?mode=ro", uri=True)) as file:
        query = "SELECT priority FROM litequeue_job WHERE id = ?"
        assert file.execute(query, (first.id,)).fetchone() == (9,)
    wait_until(lambda: not worker.running())
