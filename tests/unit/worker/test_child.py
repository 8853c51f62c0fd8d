"""A child, as far as it goes without a worker: which app its jobs are of, how it leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue, current_app, signals
from litequeue.job import NUDGE, Errand, Failure
from litequeue.worker.channel import Channel
from litequeue.worker.child import ChildSpec, Ties, serve
from litequeue.worker.pools import Recycling
from litequeue.worker.slots import Slots, Stage
from litequeue.worker.time_limits import Alarm
from tests.unit.bench import Bench, Heard, lease, raising

SPEC = ChildSpec(index=0, hostname="w", nonce="n", supervisor=os.getppid())


@pytest.fixture
def ties(tmp_path: Path) -> Iterator[Ties]:
    slots = Slots.create(str(tmp_path / "w.slots"), children=1)
    slots.count = 1
    slots.assign(0, os.getpid(), 5)
    channel, alarm, baton = Channel(str(tmp_path / "w")), Alarm(), os.pipe()
    os.write(baton[1], b"+")
    before = signal.getsignal(signal.SIGUSR1)
    yield Ties(channel=channel, slots=slots, alarm=alarm, baton=baton)
    signal.signal(signal.SIGUSR1, before)
    channel.close()
    alarm.close()
    for end in baton:
        os.close(end)


def run(bench: Bench, ties: Ties, *work: Any, spec: ChildSpec = SPEC) -> list[Any]:
    """Serve leases and errands to the last; return the outcomes."""
    channel = ties.channel
    for each in work:
        assert channel.send_errand(each) if isinstance(each, Errand) else channel.submit(each)
    channel.jobs_in.close()
    serve(bench.app, spec, ties)
    return list(channel.poll())


def test_an_app_that_a_job_makes_is_not_the_next_ones(
    bench: Bench, ties: Ties, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def work() -> None:
        seen.append(current_app._get_current_object())  # type: ignore[attr-defined]  # Celery's
        LiteQueue(tmp_path / "tenant.sqlite")
        seen.append(current_app._get_current_object())  # type: ignore[attr-defined]  # Celery's

    bench.task(work)
    outcomes = run(bench, ties, lease(), lease(id="second"))
    assert [outcome.state for outcome in outcomes] == ["SUCCESS"] * 2
    assert seen == [bench.app] * 4
    last: Any = current_app
    assert last != bench.app, "outside it is the one made last"


def test_hooks_and_receivers_see_the_jobs_app_too(bench: Bench, ties: Ties, tmp_path: Path) -> None:
    seen: list[Any] = []

    def see(*_: Any, **__: Any) -> None:
        seen.append(current_app == bench.app)
        LiteQueue(tmp_path / "tenant.sqlite")

    LiteQueue(tmp_path / "last.sqlite")
    watched = (
        signals.worker_process_init,
        signals.task_prerun,
        signals.task_postrun,
        signals.task_failure,
        signals.worker_process_shutdown,
    )
    for each in watched:
        each.connect(see)
    bench.task(lambda: None, on_success=see, on_failure=see)
    run(bench, ties, lease(), Errand("task_failure", lease(), Failure("X", "lost")))
    assert seen == [True] * 7


def test_no_job_ends_the_loop(bench: Bench, ties: Ties, heard: Heard) -> None:
    heard.listen(signals.worker_process_init, signals.worker_process_shutdown)
    bench.task(raising(SystemExit(3)))
    outcomes = run(bench, ties, *(lease(id=id) for id in ("one", "two")))
    assert [outcome.state for outcome in outcomes] == ["FAILURE"] * 2
    assert heard.names == ["worker_process_init", "worker_process_shutdown"]
    assert ties.slots.stage(0) is Stage.LEAVING
    assert ties.slots.running(0) is None, "it runs nothing any more"


def test_who_has_done_its_part_hands_the_baton_on(bench: Bench, ties: Ties) -> None:
    bench.task(lambda: None)
    spec = replace(SPEC, recycling=Recycling(tasks=2))
    outcomes = run(bench, ties, *(lease(id=id) for id in ("one", "two", "three")), spec=spec)
    assert len(outcomes) == 2
    assert os.read(ties.baton[0], 9) == b"+"
    assert [each.id for each in ties.channel.take_back()] == ["three"]


def test_who_is_dismissed_leaves_without_the_baton(bench: Bench, ties: Ties) -> None:
    bench.task(lambda: ties.slots.dismiss(0))
    outcomes = run(bench, ties, *(lease(id=id) for id in ("one", "two")))
    assert len(outcomes) == 1
    os.set_blocking(ties.baton[0], False)
    with pytest.raises(BlockingIOError):
        os.read(ties.baton[0], 9)


def test_who_is_idle_and_dismissed_leaves_when_nudged(bench: Bench, ties: Ties) -> None:
    bench.task(lambda: None)
    ties.channel.nudge(1)  # without a dismissal it says nothing
    ties.channel.submit(lease(id="one"))
    ties.slots.dismiss(0)
    ties.channel.nudge(1)
    assert run(bench, ties, lease(id="two")) == []
    assert [each.id for each in ties.channel.take_back() if each is not NUDGE] == ["one", "two"]
