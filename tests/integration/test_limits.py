"""Hard limits end whatever runs, in time, with everything that it started; soft ones are told."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.limits import deaths, measure, write_lock
from litequeue import Task
from litequeue.exceptions import TaskRevokedError, TimeLimitExceeded
from tests.conftest import wait_until
from tests.integration.apps.limited import (
    app,
    compute,
    hang,
    keep_the_interpreter,
    limited,
    quick,
    refuse,
    spin,
    stubborn,
    tidy,
)
from tests.integration.apps.record import Record
from tests.integration.processes import Site, is_alive

APP = "tests.integration.apps.limited:app"


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def ended_late(result: Any) -> bool:
    return isinstance(result.get(timeout=20, propagate=False), TimeLimitExceeded)


def test_many_limits_at_once_are_all_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m benchmarks.limits` measures more of them."""
    for name in ("LITEQUEUE_URL", "JOURNAL"):
        monkeypatch.setenv(name, "unbound.sqlite")  # or they stay as the measure sets them

    def are_in_time(name: str) -> bool:
        folder = tmp_path / name
        folder.mkdir()
        ends = measure(folder, "sleep", jobs=12, limit=1.0, lock=0.0)
        assert min(ends.late) >= -0.01
        return statistics.median(ends.late) < 0.25 and max(ends.late) < 1.0

    assert any(are_in_time(name) for name in "abc"), "once in three times, whoever has the machine"


@pytest.mark.parametrize(
    "task", [hang, compute, keep_the_interpreter, refuse], ids=lambda task: task.__name__
)
def test_nothing_outlives_its_limit(site: Site, facts: Record, task: Task[..., Any]) -> None:
    worker = site.worker(app=APP, children=1)
    late = task.apply_async(time_limit=0.5)
    (begun,) = facts.wait_for("begun")
    died = deaths(iter([begun["pid"]]))[begun["pid"]]
    assert 0.45 < died - begun["at"] < 5
    for pid in begun.get("started", ()):
        wait_until(lambda pid=pid: not is_alive(pid))
    assert ended_late(late)
    assert late.state == "FAILURE"
    assert quick.delay(7).get(timeout=10) == 7
    assert [fact["pid"] for fact in facts.facts("begun")] == [begun["pid"]], "it ran once"
    assert "longer than its time limit of 0.5 s" in worker.said()


def test_a_limit_holds_while_others_lock_the_file(site: Site, facts: Record) -> None:
    site.worker(app=APP, children=2)
    late = hang.apply_async(time_limit=0.7)
    (begun,) = facts.wait_for("begun")
    with write_lock(site.path):
        died = deaths(iter([begun["pid"]]))[begun["pid"]]
        assert died - begun["at"] < 5
        assert late.state != "FAILURE", "nothing can be written yet"
        wait_until(lambda: time.monotonic() > begun["at"] + 3.0)
    free = time.monotonic()
    assert ended_late(late)
    assert time.monotonic() - free < 5


def test_a_limit_strikes_nobody_else(site: Site, facts: Record) -> None:
    """Jobs that end just before, at, and after their limit; each verdict is about its own job."""
    site.worker(app=APP, children=4)
    seconds = [0.01] * 4 + [0.28 + number / 1000 for number in range(36)] + [0.6] * 4
    near = [limited.delay(f"near-{number}", each) for number, each in enumerate(seconds)]
    others = [quick.delay(number) for number in range(200)]
    assert [other.get(timeout=30) for other in others] == list(range(200))
    for number, each in enumerate(near):
        value = each.get(timeout=30, propagate=False)
        assert value == f"near-{number}" or isinstance(value, TimeLimitExceeded)
    begun = [fact["name"] for fact in facts.facts("begun")]
    finished = [each.result for each in near if each.state == "SUCCESS"]
    assert sorted(set(begun)) == sorted(f"near-{number}" for number in range(44))
    for name in finished:
        assert begun.count(name) >= 1
    assert {each.state for each in near} == {"SUCCESS", "FAILURE"}


def test_a_soft_limit_is_an_exception_in_the_task(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1)
    pids = worker.children()
    assert tidy.delay().get(timeout=10) == "in time"
    assert len(facts.facts("tidied")) == 1
    assert worker.children() == pids


def test_a_job_that_swallows_its_soft_limit_is_ended_by_the_hard_one(
    site: Site, facts: Record
) -> None:
    site.worker(app=APP, children=1)
    assert ended_late(stubborn.delay())
    assert facts.facts("told")


def test_the_call_says_first_then_the_task_then_the_worker(site: Site) -> None:
    site.worker("--time-limit", "0.6", app=APP, children=2)
    assert limited.apply_async(("call", 0.6), time_limit=20).get(timeout=10) == "call"
    assert ended_late(limited.delay("task", 60))
    assert ended_late(hang.delay("worker"))


def test_remote_control_changes_a_limit_of_a_running_worker(site: Site) -> None:
    site.worker(app=APP, children=1)
    (reply,) = app.control.time_limit(limited.name, hard=5, reply=True, timeout=10)
    assert "ok" in next(iter(reply.values()))
    assert limited.delay("longer", 0.6).get(timeout=10) == "longer"
    app.control.time_limit(limited.name, hard=0.1, reply=True, timeout=10)
    assert ended_late(limited.delay("shorter", 0.6))


WORKER_THAT_LOOKS_OFTEN = """
import litequeue.worker.children as children
import litequeue.worker.endings as endings
import litequeue.worker.supervisor as supervisor
from litequeue.cli import main

children.LOOK_EVERY = endings.STUCK = 0.5
supervisor.LOOK_AROUND = 0.25
main()
"""


@pytest.mark.parametrize("how", ["limit", "revoke"])
def test_a_process_of_many_jobs_that_one_has_stopped_is_ended(site: Site, how: str) -> None:
    """Code that lets nobody else run stops the clock of its process, too."""
    program = site.write("worker_that_looks_often.py", WORKER_THAT_LOOKS_OFTEN)
    worker = site.worker("-P", "aio", "-c", "4", app=APP, program=[str(program)])
    (before,) = worker.children()
    if how == "limit":
        stuck = spin.apply_async((60.0,), time_limit=0.3)
    else:
        stuck = spin.delay(60.0)
        wait_until(lambda: stuck.state == "STARTED")
        stuck.revoke(terminate=True)
    other = quick.delay()
    with pytest.raises(TimeLimitExceeded if how == "limit" else TaskRevokedError):
        stuck.get(timeout=20)
    other.get(timeout=20)
    assert not is_alive(before)
