"""How often an idle consumer wakes, and looks at the file: that is what an idle worker costs.

The clock is false, and moves on while the consumer sleeps.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from litequeue import LiteQueue
from litequeue.store import Database
from litequeue.worker import link as messages
from litequeue.worker.channel import Channel
from litequeue.worker.consumer import Consumer, ConsumerOptions
from litequeue.worker.duties import TIDY_EVERY
from litequeue.worker.ears import CALM
from litequeue.worker.introduction import about_app
from litequeue.worker.link import link_pair
from litequeue.worker.liveness import own_identity, worker_directory
from litequeue.worker.manifest import manifest_of
from litequeue.worker.pool_plan import facts_of, plan_pool
from litequeue.worker.slots import Slots
from litequeue.worker.time_limits import Alarm
from tests.conftest import FakeClock

WARM = 60.0
"""Seconds in which it opens, introduces the app, and tidies."""
IDLE = 120.0


class Sleeps:
    """A `select.poll` in which only the clock moves; ``moments`` are when it was left."""

    def __init__(self, clock: FakeClock) -> None:
        self.moments: list[float] = []
        self._clock = clock
        self._poll = select.poll()
        self.register, self.unregister = self._poll.register, self._poll.unregister

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        ready = self._poll.poll(0)
        if not ready:
            self._clock.advance(milliseconds / 1000)
        if milliseconds:
            self.moments.append(self._clock.monotonic())
        return ready


@pytest.fixture
def idle(
    app: LiteQueue, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[list[float], list[float]]]:
    """When a consumer woke and when it looked at the file, in `IDLE` seconds without a job."""
    sleeps, looks = Sleeps(clock), list[float]()
    simulated = SimpleNamespace(poll=lambda: sleeps, POLLIN=select.POLLIN)
    monkeypatch.setattr("litequeue.worker.consumer.select", simulated)
    version_of = Database.data_version

    def look(database: Database) -> int:
        looks.append(clock.monotonic())
        if clock.monotonic() > end and not told:
            told.append(ours.send(messages.EXIT))
        return version_of(database)

    monkeypatch.setattr(Database, "data_version", look)
    ours, theirs = link_pair()
    channel, alarm = Channel(str(tmp_path / "w")), Alarm()
    slots = Slots.create(str(tmp_path / "w.slots"), children=2)
    slots.count = 2
    identity = own_identity(worker_directory(app.path), "w")
    pool = plan_pool(app.conf, None).pool
    facts = facts_of(pool, app.conf, started=clock.now(), autoscale=None)
    for message in about_app(manifest_of(app, facts), app.facts()):
        ours.send(*message)
    began, told = clock.monotonic() + WARM, list[bool]()
    end = began + IDLE
    options = ConsumerOptions(path=app.path, settings=app.conf, identity=identity)
    Consumer(options, theirs, channel, slots, alarm, clock).run()
    yield (
        [moment for moment in sleeps.moments if began <= moment < end],
        [moment for moment in looks if began <= moment < end],
    )
    for each in (ours, theirs, channel, alarm):
        each.close()


def test_an_idle_consumer_wakes_once_in_four_seconds_and_to_renew_its_leases(
    idle: tuple[list[float], list[float]],
) -> None:
    woke, _ = idle
    # What it writes then wakes it no more: that would be five more looks each time.
    assert len(woke) <= IDLE / CALM + IDLE / 15


def test_it_looks_once_when_it_wakes(idle: tuple[list[float], list[float]]) -> None:
    woke, looked = idle
    assert len(looked) <= len(woke) + IDLE / TIDY_EVERY
