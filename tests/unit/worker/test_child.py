"""A child, as far as it goes without a worker: which app its jobs are of, how it leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import LiteQueue, current_app, signals
from litequeue.job import Errand, Failure
from litequeue.worker.channel import Channel
from litequeue.worker.pools.child import ChildSpec, serve
from litequeue.worker.slots import Slots
from tests.unit.bench import Bench, Heard, lease, raising

SPEC = ChildSpec(index=0, hostname="w", nonce="n", supervisor=os.getppid())


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    channel = Channel(str(tmp_path / "w"))
    yield channel
    channel.close()


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    slots = Slots(str(tmp_path / "w.slots"), capacity=1)
    slots.count = 1
    slots.assign(0, os.getpid(), 5)
    return slots


def run(bench: Bench, channel: Channel, slots: Slots, *work: Any) -> list[Any]:
    """Serve leases and errands to the last; return the outcomes."""
    for each in work:
        assert channel.send_errand(each) if isinstance(each, Errand) else channel.submit(each)
    channel.jobs_in.close()
    serve(bench.app, SPEC, channel, slots)
    return list(channel.poll())


def test_an_app_that_a_job_makes_is_not_the_next_ones(
    bench: Bench, channel: Channel, slots: Slots, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def work() -> None:
        seen.append(current_app._get_current_object())  # type: ignore[attr-defined]  # Celery's
        LiteQueue(tmp_path / "tenant.sqlite")
        seen.append(current_app._get_current_object())  # type: ignore[attr-defined]  # Celery's

    bench.task(work)
    outcomes = run(bench, channel, slots, lease(), lease(id="second"))
    assert [outcome.state for outcome in outcomes] == ["SUCCESS"] * 2
    assert seen == [bench.app] * 4
    last: Any = current_app
    assert last != bench.app, "outside it is the one made last"


def test_hooks_and_receivers_see_the_jobs_app_too(
    bench: Bench, channel: Channel, slots: Slots, tmp_path: Path
) -> None:
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
    for signal in watched:
        signal.connect(see)
    bench.task(lambda: None, on_success=see, on_failure=see)
    run(bench, channel, slots, lease(), Errand("task_failure", lease(), Failure("X", "lost")))
    assert seen == [True] * 7


def test_no_job_ends_the_loop(bench: Bench, channel: Channel, slots: Slots, heard: Heard) -> None:
    heard.listen(signals.worker_process_init, signals.worker_process_shutdown)
    bench.task(raising(SystemExit(3)))
    outcomes = run(bench, channel, slots, *(lease(id=id) for id in ("one", "two")))
    assert [outcome.state for outcome in outcomes] == ["FAILURE"] * 2
    assert heard.names == ["worker_process_init", "worker_process_shutdown"]
    assert slots.listens(0)
    assert slots.running(0) is None, "it runs nothing any more"
