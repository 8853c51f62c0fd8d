"""Children that are forked by a program of their own: as good as those of the supervisor."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.exceptions import TimeLimitExceeded
from tests.conftest import wait_until
from tests.integration.apps.limited import app, die, hang, hold, quick, refuse, whoami
from tests.integration.apps.record import Record
from tests.integration.processes import Site, Worker, children_of, is_alive, kill

APP = "tests.integration.apps.limited:app"
COUNTED = """
from tests.integration.apps.limited import app
from tests.integration.apps.record import record

record("imported")
"""


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def forking(site: Site, *options: str, program: str = APP, children: int = 2) -> Worker:
    return site.worker("--start-method", "forkserver", *options, app=program, children=children)


def parent_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def server_of(worker: Worker) -> int:
    """Return the fork server: neither the consumer nor a child."""
    children = [pid for pid, _ in worker.slots.all_children()]
    (server,) = set(children_of(worker.supervisor)) - {worker.consumer(), *children}
    return server


def test_the_supervisor_has_children_that_another_forked(site: Site, facts: Record) -> None:
    site.write("counted.py", COUNTED)
    worker = forking(site, program="counted:app", children=4)
    pids = {whoami.delay().get(timeout=10) for _ in range(40)}
    assert pids <= {pid for pid, _ in worker.slots.all_children()}
    assert {parent_of(pid) for pid in pids} == {worker.supervisor}
    assert len(facts.facts("imported")) == 2, "by the supervisor and the server, not by children"
    everybody = worker.processes()
    assert worker.stop() == 0
    assert not any(map(is_alive, everybody))


def test_limits_deaths_and_recycling_are_as_ever(site: Site, facts: Record) -> None:
    worker = forking(site, "--max-tasks-per-child", "3")
    late = hang.apply_async(time_limit=0.4)
    assert isinstance(late.get(timeout=10, propagate=False), TimeLimitExceeded)
    dead = die.delay()
    assert type(dead.get(timeout=10, propagate=False)).__name__ == "WorkerLostError"
    assert "killed by SIGKILL" in worker.said()
    assert len({whoami.delay().get(timeout=10) for _ in range(30)}) >= 10
    assert worker.stop() == 0
    site.wait_until_empty()


def test_what_a_job_leaves_behind_is_reaped(site: Site, facts: Record) -> None:
    """Orphans come to the supervisor, which is not to collect their corpses."""
    worker = forking(site, children=1)
    late = refuse.apply_async(time_limit=0.5)
    (begun,) = facts.wait_for("begun")
    assert isinstance(late.get(timeout=10, propagate=False), TimeLimitExceeded)
    for pid in begun["started"]:
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
    assert quick.delay(1).get(timeout=10) == 1
    assert worker.stop() == 0


def test_a_dead_server_is_replaced(site: Site, facts: Record) -> None:
    worker = forking(site, children=1)
    first = whoami.delay().get(timeout=10)
    kill(server_of(worker))
    held = hold.delay("running")
    facts.wait_for("begun")
    site.open_gate("running")
    assert held.get(timeout=10) == "running", "its children live on"
    kill(first)
    assert whoami.delay().get(timeout=20) != first
    assert worker.stop() == 0
    site.wait_until_empty()


def test_nobody_outlives_the_supervisor(site: Site) -> None:
    worker = forking(site)
    assert quick.delay(1).get(timeout=10) == 1
    os.kill(worker.supervisor, signal.SIGKILL)
    worker.process.wait()
    site.wait_until_empty()
