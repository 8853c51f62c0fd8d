"""Workers that end by themselves: nothing left to do, so many jobs done, so much time gone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.integration.apps.limited import (
    app,
    die_once,
    hold,
    nap,
    quick,
    retried,
    spread,
    tell,
)
from tests.integration.apps.record import Record
from tests.integration.processes import Site

APP = "tests.integration.apps.limited:app"


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def burst(site: Site, *options: str) -> float:
    """Run a worker to its end; return the seconds that it took."""
    worker = site.worker("--burst", *options, app=APP, children=2, ready=False)
    began = time.monotonic()
    assert worker.wait(30) == 0
    return time.monotonic() - began


def test_a_burst_runs_all_that_is_there_and_ends(site: Site) -> None:
    results = [quick.delay(number) for number in range(500)]
    burst(site)
    assert [each.result for each in results] == list(range(500))


def test_a_burst_with_nothing_to_do_ends(site: Site) -> None:
    assert burst(site) < 10


def test_a_burst_runs_what_its_jobs_send(site: Site, facts: Record) -> None:
    spread.delay(5)
    burst(site)
    assert len(facts.facts("spread")) == 2**6 - 1


def test_a_burst_waits_for_no_moment(site: Site, facts: Record) -> None:
    """Not for what is scheduled, nor for a retry that is to come later; a retry at once is run."""
    later = quick.apply_async((1,), countdown=3600)
    at_once, in_an_hour = retried.delay("at once", 0), retried.delay("in an hour", 3600)
    burst(site)
    assert at_once.result == 1
    assert (later.state, in_an_hour.state) == ("PENDING", "RETRY")
    assert len(facts.facts("tried", name="in an hour")) == 1


def test_a_burst_repeats_what_died(site: Site) -> None:
    result = die_once.delay()
    burst(site)
    assert result.result == 2


def test_a_burst_leaves_other_queues_alone(site: Site) -> None:
    mine = tell.apply_async(("mine",), queue="mine")
    other = tell.apply_async(("other",), queue="other")
    burst(site, "-Q", "mine")
    assert (mine.state, other.state) == ("SUCCESS", "PENDING")


def test_several_bursts_share_the_work(site: Site) -> None:
    results = [quick.delay(number) for number in range(1000)]
    workers = [site.worker("--burst", app=APP, children=2, ready=False) for _ in range(3)]
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    assert [each.result for each in results] == list(range(1000))


def test_a_burst_does_not_wait_for_the_jobs_of_others(site: Site, facts: Record) -> None:
    site.worker(app=APP, children=1)
    held = hold.delay("long")
    facts.wait_for("begun")
    assert burst(site) < 10
    site.open_gate("long")
    assert held.get(timeout=10) == "long"


@pytest.mark.parametrize("most", [1, 3, 50])
def test_a_worker_ends_after_so_many_jobs(site: Site, facts: Record, most: int) -> None:
    results = [tell.delay(str(number)) for number in range(100)]
    worker = site.worker("--max-jobs", str(most), app=APP, children=2, ready=False)
    assert worker.wait(30) == 0
    assert len(facts.facts("ran")) == most
    assert sum(each.state == "SUCCESS" for each in results) == most
    assert sum(each.state == "PENDING" for each in results) == 100 - most


def test_so_many_jobs_may_come_one_by_one(site: Site) -> None:
    worker = site.worker("--max-jobs", "2", app=APP, children=2)
    assert quick.delay(1).get(timeout=10) == 1
    assert worker.process.poll() is None
    assert quick.delay(2).get(timeout=10) == 2
    assert worker.wait() == 0


def test_jobs_that_came_back_unread_do_not_count(site: Site, facts: Record) -> None:
    """A busy worker gives back what it holds ahead, and takes others instead."""
    worker = site.worker("--max-jobs", "6", app=APP, children=1)
    for number in range(3):
        assert quick.delay(number).get(timeout=10) == number
    nap.delay(0.5)
    facts.wait_for("napped")
    rest = [tell.delay(str(number)) for number in range(10)]
    assert worker.wait(20) == 0
    assert len(facts.facts("ran")) == 2
    assert sum(each.state == "SUCCESS" for each in rest) == 2


def test_a_worker_ends_after_so_much_time_and_finishes_what_runs(site: Site, facts: Record) -> None:
    worker = site.worker("--max-time", "1.5", app=APP, children=2)
    held = hold.delay("long")
    facts.wait_for("begun")
    worker.wait_until_said("stopping")
    assert time.monotonic() - worker.began >= 1.4
    late = quick.delay(1)
    site.open_gate("long")
    assert worker.wait() == 0
    assert held.state == "SUCCESS"
    assert late.state == "PENDING"
