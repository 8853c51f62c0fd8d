"""Children that are replaced: after so many jobs, when too large, when they hang, when they die."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.recycling import GROWTH, leaks
from tests.conftest import wait_until
from tests.integration.apps.limited import app, die, eat, hold, quick, whoami
from tests.integration.apps.record import Record
from tests.integration.processes import Site, Worker, is_alive

APP = "tests.integration.apps.limited:app"


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def many(task: object, count: int) -> list[int]:
    results = app.enqueue_many([(task, ())] * count)  # type: ignore[list-item]  # any task
    return [int(str(result.get(timeout=30))) for result in results]


def test_replacements_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m benchmarks.recycling` does it ten thousand times."""
    monkeypatch.setenv("LITEQUEUE_URL", "unbound.sqlite")  # or it stays as the measure sets it
    found = leaks(tmp_path, 200, warm=60)
    assert found.descriptors <= 0
    assert found.growth <= GROWTH
    assert found.zombies == 0


@pytest.mark.parametrize(("method", "jobs"), [("fork", 60), ("spawn", 25)])
def test_a_child_lives_for_so_many_jobs_and_no_longer(site: Site, method: str, jobs: int) -> None:
    site.worker("--max-tasks-per-child", "5", "--start-method", method, app=APP, children=2)
    pids = collections.Counter(many(whoami, jobs))
    assert max(pids.values()) <= 5
    assert len(pids) >= jobs / 5


def test_a_child_that_has_grown_too_large_is_replaced(site: Site) -> None:
    worker = site.worker("--max-memory-per-child", "150000", app=APP, children=1)
    first = whoami.delay().get(timeout=10)
    assert many(whoami, 5) == [first] * 5, "it is small enough"
    fat = eat.delay(200).get(timeout=20)
    assert fat == first
    slim = whoami.delay().get(timeout=10)
    assert slim != first
    wait_until(lambda: not is_alive(first))
    assert psutil.Process(worker.supervisor).memory_info().rss < 150_000 * 1024


def test_replacements_stand_ready_and_take_over_at_once(site: Site, facts: Record) -> None:
    """One job per child: the next child has been started while the last one still works."""
    worker = site.worker("--max-tasks-per-child", "1", app=APP, children=1)
    held = hold.delay("first")
    (begun,) = facts.wait_for("begun")
    spares = wait_until(lambda: set(all_children(worker)) - {begun["pid"]})
    site.open_gate("first")
    assert held.get(timeout=10) == "first"
    assert whoami.delay().get(timeout=10) in spares


def all_children(worker: Worker) -> list[int]:
    return [pid for pid, _ in worker.slots.all_children() if is_alive(pid)]


def test_running_jobs_survive_the_replacement_of_others(site: Site, facts: Record) -> None:
    site.worker("--max-tasks-per-child", "2", app=APP, children=2)
    held = hold.delay("long")
    facts.wait_for("begun")
    assert len(set(many(whoami, 40))) >= 20
    site.open_gate("long")
    assert held.get(timeout=10) == "long"
    assert len(facts.facts("begun")) == 1


HANGS_ONCE = """
import os, time
from litequeue.signals import worker_process_init
from tests.integration.apps.limited import app
from tests.integration.apps.record import record

@worker_process_init.connect
def hang(**kwargs):
    try:
        os.mkdir("hung")
    except FileExistsError:
        return
    record("hangs")
    time.sleep(300)
"""


def test_a_child_that_hangs_at_its_start_is_replaced(site: Site, facts: Record) -> None:
    site.write("hanging.py", HANGS_ONCE)
    worker = site.worker(
        app="hanging:app", children=1, ready=False, LITEQUEUE_WORKER_PROC_ALIVE_TIMEOUT="0.5"
    )
    (hung,) = facts.wait_for("hangs")
    worker.wait_until_said("did not start in")
    wait_until(lambda: not is_alive(hung["pid"]))
    worker.wait_until_ready()
    assert quick.delay(3).get(timeout=10) == 3


DIES_AT_START = """
import os
from pathlib import Path
from litequeue.signals import worker_process_init
from tests.integration.apps.limited import app
from tests.integration.apps.record import record

@worker_process_init.connect
def die(**kwargs):
    record("dies")
    if not Path("healed").exists():
        os._exit(7)
"""


def test_children_that_die_at_their_start_are_tried_ever_later(site: Site, facts: Record) -> None:
    site.write("dying.py", DIES_AT_START)
    worker = site.worker(app="dying:app", children=1, ready=False)
    worker.wait_until_said("the next try is in 2 s")
    pauses = re.findall(r"the next try is in (\S+) s", worker.said())
    assert pauses[:3] == ["0.5", "1", "2"]
    assert len(facts.facts("dies")) >= 3
    (site.folder / "healed").touch()
    worker.wait_until_ready()
    assert quick.delay(3).get(timeout=10) == 3


def test_a_series_of_crashes_raises_one_alarm(site: Site) -> None:
    worker = site.worker(app=APP, children=2)
    results = [die.delay() for _ in range(6)]
    for result in results:
        result.get(timeout=30, propagate=False)
    worker.wait_until_said("some task kills its process")
    assert worker.said().count("some task kills its process") == 1
    assert quick.delay(3).get(timeout=10) == 3
