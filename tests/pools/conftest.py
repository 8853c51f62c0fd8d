"""A shop for each pool: a site with one worker that all its tests share."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from litequeue.result import AsyncResult
from litequeue.task import Task
from tests.conftest import wait_until
from tests.integration.apps.record import Record
from tests.integration.processes import Site, Worker, is_alive
from tests.pools.app import app

APP = "tests.pools.app:app"
SIZE = 4


@dataclass(slots=True)
class Shop:
    """A worker with one pool, ``size`` jobs at once."""

    pool: str
    site: Site
    worker: Worker
    size: int

    @property
    def facts(self) -> Record:
        return Record(self.site.folder)

    def send(self, task: Task[..., Any], *args: Any, **options: Any) -> AsyncResult[Any]:
        return task.apply_async(args, **options)

    def begun(self, name: str, times: int = 1) -> None:
        """Wait until a job has begun so many times."""
        self.facts.wait_for("began", times, name=name)

    def query(self, statement: str, *parameters: Any) -> list[Any]:
        connection = sqlite3.connect(self.site.path)
        try:
            return connection.execute(statement, parameters).fetchall()
        finally:
            connection.close()

    def phases(self, handles: list[AsyncResult[Any]]) -> set[str]:
        marks = ",".join("?" * len(handles))
        ids = [handle.id for handle in handles]
        found = self.query(f"SELECT phase FROM litequeue_job WHERE id IN ({marks})", *ids)
        return {phase for (phase,) in found}

    def children(self) -> set[int]:
        return {pid for pid in self.worker.children() if is_alive(pid)}

    def hire(self, *options: str) -> Worker:
        """Start a worker for one test, on the same file."""
        return start(self.site, self.pool, *options)


def size_of(pool: str) -> int:
    return 1 if pool == "solo" else SIZE


def start(site: Site, pool: str, *options: str) -> Worker:
    return site.worker(
        "-P", pool, "-n", pool, *options, app=APP, children=size_of(pool),
        LITEQUEUE_URL=str(site.path),
    )  # fmt: skip


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shop]]:
    """The shops that are open; all of them close at the end."""
    open_shops: dict[str, Shop] = {}
    yield open_shops
    app.close()
    for shop in open_shops.values():
        shop.site.close()


@pytest.fixture
def shop(
    request: pytest.FixtureRequest,
    shops: dict[str, Shop],
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    """The shop of the pool that the test is about, idle."""
    pool = request.param
    if pool not in shops:
        site = Site(tmp_path_factory.mktemp(pool))
        shops[pool] = Shop(pool, site, start(site, pool), size_of(pool))
    found = shops[pool]
    app.rebind(found.site.path)
    return found


@pytest.fixture
def fresh(
    request: pytest.FixtureRequest, shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """A shop of the same pool for one test, which starts its worker by `Shop.hire`."""
    site = Site(tmp_path_factory.mktemp(f"fresh-{shop.pool}"))
    app.rebind(site.path)
    yield Shop(shop.pool, site, shop.worker, shop.size)
    app.close()
    site.close()
    app.rebind(shop.site.path)


def most_at_once(shop: Shop, name: str) -> int:
    """Return how many jobs of a name ran at once at most, by what they recorded."""
    moments = [(fact["at"], 1) for fact in shop.facts.facts("came", name=name)]
    moments += [(fact["at"], -1) for fact in shop.facts.facts("went", name=name)]
    most = here = 0
    for _, change in sorted(moments):
        here += change
        most = max(most, here)
    return most


def seconds_until_ended(handle: AsyncResult[Any], timeout: float = 15.0) -> float:
    began = time.monotonic()
    wait_until(handle.ready, timeout)
    return time.monotonic() - began
