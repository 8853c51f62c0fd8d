"""Beat in real workers: entries of the code, ticks sent once, runs that do not overlap."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import AsyncResult, ImproperlyConfigured, LiteQueue
from litequeue.entries import EntryInfo
from litequeue.worker.introduction import MESSAGE, in_parts
from tests.conftest import wait_until
from tests.integration import tasks
from tests.integration.processes import Site

HEAD = """
from litequeue import LiteQueue, signals
from tests.integration.apps.record import record

app = LiteQueue("jobs.sqlite")


@app.task(name="t", bind=True)
def t(self, *args):
    record("ran", entry=self.request.entry, tick=str(self.request.tick), args=args)


@signals.beat_embedded_init.connect
def told(sender, **_):
    record("beat_embedded_init")
"""


@pytest.fixture
def app(site: Site) -> Iterator[LiteQueue]:
    """An app of the site's file in this process, for looking and changing."""
    app = LiteQueue(site.path, set_as_current=False)
    yield app
    app.close()


def deploy(site: Site, code: str, *options: str, **more: Any) -> Any:
    """Write an app and start a worker of it."""
    site.write("shop.py", HEAD + code)
    return site.worker(*options, app="shop:app", **more)


def entry(app: LiteQueue, name: str) -> EntryInfo | None:
    return next((each for each in app.entries if each.name == name), None)


def sent(app: LiteQueue, name: str, least: int = 1) -> EntryInfo:
    """Wait until an entry has sent so many jobs."""

    def has_sent() -> EntryInfo | None:
        found = entry(app, name)
        return found if found is not None and found.count >= least else None

    return wait_until(has_sent)


def ticks_of_jobs(site: Site) -> Counter[tuple[str, float]]:
    """Return how many jobs there are for every (entry, tick)."""
    with sqlite3.connect(site.path) as connection:
        rows = connection.execute("SELECT options FROM litequeue_payload").fetchall()
    connection.close()
    found = [json.loads(text) for (text,) in rows if text]
    return Counter((each["entry"], each["tick"]) for each in found if "entry" in each)


class TestEntriesOfCode:
    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_a_worker_writes_them_and_sends_what_is_due(
        self, site: Site, app: LiteQueue, facts: Any, method: str
    ) -> None:
        worker = deploy(
            site, 'app.add_periodic_task(0.2, t, (1,), name="often")\n', "--start-method", method
        )
        found = sent(app, "often", 3)
        ran = facts.wait_for("ran", 3)
        assert {(fact["entry"], tuple(fact["args"])) for fact in ran} == {("often", (1,))}
        assert len({fact["tick"] for fact in ran}) == len(ran)
        assert found.owner == "shop:app"
        assert found.drift is not None
        assert 0 <= found.drift < 5
        (told,) = facts.facts("beat_embedded_init")
        assert told["pid"] == worker.supervisor

    def test_a_deployment_changes_what_code_owns_and_leaves_what_people_added(
        self, site: Site, app: LiteQueue
    ) -> None:
        worker = deploy(
            site,
            'app.add_periodic_task(1000, t, (1,), name="kept")\n'
            'app.add_periodic_task(1000, t, (2,), name="moved")\n'
            'app.add_periodic_task(1000, t, (3,), name="dropped")\n',
        )
        wait_until(lambda: entry(app, "dropped"))
        app.entries.add("ours", 1000, "t", (4,))
        app.entries.pause("kept")
        kept = app.entries.get("kept").record
        assert worker.stop() == 0
        worker = deploy(
            site,
            'app.add_periodic_task(1000, t, (1,), name="kept")\n'
            'app.add_periodic_task(2000, t, (5,), name="moved")\n'
            'app.add_periodic_task(1000, t, (6,), name="new")\n'
            'app.add_periodic_task(1000, t, (7,), name="ours")\n',
        )
        wait_until(lambda: entry(app, "new"))
        assert [each.name for each in app.entries] == ["kept", "moved", "new", "ours"]
        assert app.entries.get("kept").record == kept  # not even written
        moved = app.entries.get("moved")
        assert (str(moved.schedule), moved.args) == ("every 2000 s", [5])
        assert app.entries.get("ours").args == [4]
        worker.wait_until_said("the entry ours of the code is not used")

    def test_a_worker_without_beat_writes_and_sends_nothing(
        self, site: Site, app: LiteQueue
    ) -> None:
        app.entries.add("ours", 0.05, "t")
        worker = deploy(site, 'app.add_periodic_task(0.05, t, name="often")\n', "--no-beat")
        job = app.send_task("t")
        job.get(timeout=10)
        assert worker.stop() == 0
        assert [(each.name, each.count) for each in app.entries] == [("ours", 0)]

    def test_one_that_makes_no_sense_stops_the_worker_by_name(self, site: Site) -> None:
        site.write("shop.py", HEAD + 'app.add_periodic_task(5, t, (), name="e", grace="soon")\n')
        done = site.run("-m", "litequeue", "worker", "jobs.sqlite", "-A", "shop:app")
        assert done.returncode == 4
        assert "the entry 'e': grace is a number of seconds or a timedelta" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_schedule_that_makes_no_sense_is_told_with_its_place(self, site: Site) -> None:
        site.write("shop.py", HEAD + '\n\napp.add_periodic_task("30 99 * * *", t)\n')
        done = site.run("-m", "litequeue", "worker", "jobs.sqlite", "-A", "shop:app")
        line = HEAD.count("\n") + 3
        assert done.returncode == 4
        assert done.stderr.startswith("litequeue: hour '99' has 99, ")
        assert f"shop.py:{line})" in done.stderr

    def test_many_and_large_ones_travel_in_parts(self, site: Site, app: LiteQueue) -> None:
        code = (
            "for number in range(400):\n"
            '    app.add_periodic_task(9999, t, ("ü" * 60_000,) if number % 100 == 0 else (),'
            ' name=f"e{number}")\n'
        )
        deploy(site, code)
        wait_until(lambda: len(app.entries.list()) == 400)
        assert app.entries.get("e300").args == ["ü" * 60_000]

    def test_a_consumer_that_dies_leaves_nothing_out(self, site: Site, app: LiteQueue) -> None:
        worker = deploy(site, 'app.add_periodic_task(0.1, t, name="often")\n')
        for count in (3, 6, 9):
            sent(app, "often", count)
            os.kill(worker.consumer(), signal.SIGKILL)
        sent(app, "often", 12)
        assert worker.stop() == 0
        assert set(ticks_of_jobs(site).values()) == {1}

    def test_a_signed_template_is_read_by_every_run(
        self, site: Site, app: LiteQueue, facts: Any
    ) -> None:
        key = 'app.conf.update(security_key=("k" * 32,), task_serializer="signed", '
        key += 'accept_content=["signed"], result_serializer="signed")\n'
        deploy(site, f'{key}app.add_periodic_task(0.1, t, (1,), name="often")\n')
        facts.wait_for("ran", 2, entry="often")


def test_entries_in_parts_are_all_there_and_small_enough() -> None:
    app = LiteQueue("x.sqlite", set_as_current=False)
    for number in range(500):
        app.add_periodic_task(5, "t", ("x" * (number * 37 % 9000),), name=f"e{number}")
    from litequeue.periodic import entries_of

    entries = entries_of(app)
    parts = list(in_parts(entries))
    assert [is_last for _, is_last in parts] == [False] * (len(parts) - 1) + [True]
    assert [each["name"] for part, _ in parts for each in part] == [each.name for each in entries]
    assert all(sum(len(each["body"]) for each in part) <= MESSAGE for part, _ in parts)
    assert list(in_parts([])) == [([], True)]


def test_two_workers_send_a_tick_once(site: Site, app: LiteQueue) -> None:
    code = 'for n in range(20): app.add_periodic_task(0.1 + n / 100, t, name=f"e{n}")\n'
    workers = [deploy(site, code), deploy(site, code)]
    for number in range(20):
        sent(app, f"e{number}", 5)
    assert [worker.stop() for worker in workers] == [0, 0]
    found = ticks_of_jobs(site)
    assert len(found) >= 100
    assert set(found.values()) == {1}


class TestOverlap:
    """A run that holds on while its entry is due again and again."""

    @pytest.fixture
    def host(self, site: Site) -> LiteQueue:
        tasks.app.rebind(site.path)
        return tasks.app

    def first_job(self, host: LiteQueue, name: str) -> AsyncResult[Any]:
        job = sent(host, name).last_job
        assert job is not None
        return job

    def test_skip(self, site: Site, host: LiteQueue) -> None:
        site.worker()
        host.entries.add("e", 0.1, tasks.hold, ("a",), overlap="skip")
        site.journal.wait_for_start("a")
        wait_until(lambda: [row.note for row in host.entries.history("e")].count("overlap") >= 3)
        assert host.entries.get("e").count == 1
        site.open_gate("a")
        sent(host, "e", 2)

    def test_queue(self, site: Site, host: LiteQueue) -> None:
        site.worker()
        host.entries.add("e", 0.1, tasks.hold, ("a",), overlap="queue")
        site.journal.wait_for_start("a")
        wait_until(lambda: [row.note for row in host.entries.history("e")].count("overlap") >= 3)
        rows = host.entries.history("e")
        assert [row.note for row in rows].count("held") == 1
        assert host.entries.get("e").count == 1
        host.entries.edit("e", schedule=1000)  # nothing is due any more, but one waits
        site.open_gate("a")
        assert sent(host, "e", 2).last_job is not None
        site.journal.wait_for_start("a", 2)
        starts, ends = site.journal.starts("a"), site.journal.ends("a")
        assert starts[1].at >= ends[0].at

    def test_cancel(self, site: Site, host: LiteQueue) -> None:
        site.worker()
        host.entries.add("e", 0.5, tasks.hold, ("a",), overlap="cancel")
        first = self.first_job(host, "e")
        site.journal.wait_for_start("a")
        sent(host, "e", 2)
        wait_until(lambda: first.state == "REVOKED")
        host.entries.pause("e")
        site.open_gate("a")

    def test_runs_by_hand_count(self, site: Site, host: LiteQueue) -> None:
        site.worker()
        host.entries.add("e", 0.3, tasks.hold, ("a",), overlap="skip", paused=True)
        host.entries.run_now("e")
        site.journal.wait_for_start("a")
        host.entries.resume("e")
        wait_until(lambda: "overlap" in [row.note for row in host.entries.history("e")])
        site.open_gate("a")
        sent(host, "e", 2)


class TestEmbedded:
    def test_it_is_a_beat_unless_told_otherwise(self, tmp_path: Path) -> None:
        app = LiteQueue(tmp_path / "jobs.sqlite")
        ran: list[str] = []

        @app.periodic(0.1, name="often")
        @app.task(name="t")
        def t() -> None:
            ran.append("t")

        with app.worker(beat=False):
            t.delay().get(timeout=10)
            assert app.entries.list() == []
        with app.worker():
            sent(app, "often", 2)
            wait_until(lambda: len(ran) >= 3)
        assert app.entries.get("often").owner == f"({Path.cwd()})"
        app.close()

    def test_what_makes_no_sense_is_said_by_start(self, tmp_path: Path) -> None:
        app = LiteQueue(tmp_path / "jobs.sqlite")
        app.conf.beat_schedule = {"e": {"task": "t", "schedule": "never"}}
        with pytest.raises(ImproperlyConfigured, match="the entry 'e'"):
            app.worker().start()
        app.close()
