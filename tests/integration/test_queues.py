"""Which queues a worker reads, in which order, and what stops it at once; the pool's size, too."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.conftest import wait_until
from tests.integration.apps.limited import app, hold, nap, quick, tell
from tests.integration.apps.record import Record
from tests.integration.processes import Site, Worker, is_alive

APP = "tests.integration.apps.limited:app"


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def send(queues: Sequence[str], count: int, **options: int) -> None:
    """Send ``count`` jobs to each queue, in one go each."""
    for queue in queues:
        calls = [(tell, (f"{queue}-{number}",)) for number in range(count)]
        app.enqueue_many(calls, queue=queue, **options)


def drain(site: Site, *options: str, children: int = 1) -> None:
    worker = site.worker("--burst", *options, app=APP, children=children, ready=False)
    assert worker.wait(60) == 0


def order(facts: Record) -> list[str]:
    """Return the queues of the jobs in the order in which they ran."""
    return [fact["queue"] for fact in facts.facts("ran")]


def test_patterns_say_what_is_read_and_what_is_not(site: Site, facts: Record) -> None:
    send(["mail.in", "mail.out", "mail", "images", "mail.out.slow"], 3)
    drain(site, "-Q", "mail.*", "-X", "*.slow")
    assert collections.Counter(order(facts)) == {"mail.in": 3, "mail.out": 3}
    drain(site, "-X", "images")
    assert collections.Counter(order(facts)) == {
        "mail.in": 3, "mail.out": 3, "mail": 3, "mail.out.slow": 3,
    }  # fmt: skip


def test_by_priority_all_queues_are_one(site: Site, facts: Record) -> None:
    send(["low"], 5, priority=1)
    send(["high"], 5, priority=5)
    send(["low"], 5, priority=9)
    drain(site, "-Q", "low,high")
    assert order(facts) == ["low"] * 5 + ["high"] * 5 + ["low"] * 5


def test_strictly_none_is_read_while_an_earlier_one_holds_a_job(site: Site, facts: Record) -> None:
    send(["third"], 20, priority=9)
    send(["second.a", "second.b"], 20, priority=5)
    send(["first"], 20)
    drain(site, "-Q", "first,second.*,third", "--queue-order", "strict")
    ran = order(facts)
    assert ran[:20] == ["first"] * 20
    assert set(ran[20:60]) == {"second.a", "second.b"}
    assert ran[60:] == ["third"] * 20


def test_what_comes_first_is_taken_next(site: Site, facts: Record) -> None:
    worker = site.worker(
        "-Q", "urgent,slow", "--queue-order", "strict", app=APP, children=1
    )  # fmt: skip
    hold.apply_async(("gate",), queue="slow")
    facts.wait_for("begun")
    send(["slow"], 20)
    urgent = tell.apply_async(("now",), queue="urgent")
    site.open_gate("gate")
    assert urgent.get(timeout=10) == "now"
    worker.stop()
    assert order(facts).index("urgent") <= 1, "one may have been read already"


@pytest.mark.parametrize(("weights", "shares"), [("a=3,b=1", (3, 1)), ("a=1,b=2,c=5", (1, 2, 5))])
def test_weighted_queues_have_their_share(
    site: Site, facts: Record, weights: str, shares: tuple[int, ...]
) -> None:
    """Counted until the first of them runs dry."""
    names = [part[0] for part in weights.split(",")]
    count = 350
    for name in names:
        app.enqueue_many([(tell, (name, 0.004))] * count, queue=name)
    drain(site, "-Q", weights, children=2)
    seen: collections.Counter[str] = collections.Counter()
    for queue in order(facts):
        seen[queue] += 1
        if seen[queue] == count:
            break
    for name, share in zip(names, shares, strict=True):
        assert seen[name] / seen.total() == pytest.approx(share / sum(shares), abs=0.12)


def test_a_weighted_queue_alone_gets_everything(site: Site, facts: Record) -> None:
    send(["b"], 50)
    drain(site, "-Q", "a=100,b=1")
    assert order(facts) == ["b"] * 50


def test_a_pause_in_the_file_is_obeyed_at_once(site: Site, facts: Record) -> None:
    site.worker(app=APP, children=1)
    assert quick.apply_async((1,), queue="q").get(timeout=10) == 1
    app.control.pause("q")
    held = [quick.apply_async((number,), queue="q") for number in range(5)]
    other = quick.apply_async((9,), queue="other")
    assert other.get(timeout=10) == 9
    assert [each.state for each in held] == ["PENDING"] * 5
    app.control.resume("q")
    assert [each.get(timeout=10) for each in held] == list(range(5))


def test_a_pause_stops_a_busy_worker_after_what_it_runs(site: Site, facts: Record) -> None:
    site.worker(app=APP, children=1)
    for _ in range(50):
        nap.apply_async((0.1,), queue="q")
    facts.wait_for("napped", 2)
    app.control.pause("q")
    assert quick.apply_async((1,), queue="other").get(timeout=10) == 1
    paused = len(facts.facts("napped"))
    assert paused < 50
    until = time.monotonic() + 0.6
    wait_until(lambda: time.monotonic() > until)
    assert len(facts.facts("napped")) == paused


# The size of the pool


def size(worker: Worker) -> int:
    return worker.slots.count


def living(worker: Worker) -> list[int]:
    """Return the processes of the pool."""
    return [pid for pid, _ in worker.slots.all_children() if is_alive(pid)]


def scaled(site: Site, most: int, least: int) -> Worker:
    return site.worker(
        "--autoscale", f"{most},{least}", app=APP, children=1,
        LITEQUEUE_WORKER_AUTOSCALE_KEEPALIVE="1.0",
    )  # fmt: skip


def test_the_pool_grows_with_what_waits_and_shrinks_when_it_is_idle(
    site: Site, facts: Record
) -> None:
    worker = scaled(site, 6, 1)
    assert size(worker) == 1
    names = [f"job-{number}" for number in range(12)]
    for name in names:
        hold.delay(name)
    facts.wait_for("begun", 6)
    assert size(worker) == len(facts.facts("begun")) == 6
    for name in names:
        site.open_gate(name)
    wait_until(lambda: size(worker) == 1, 15)
    assert len(facts.facts("begun")) == 12
    wait_until(lambda: len(living(worker)) == 1)
    assert quick.delay(1).get(timeout=10) == 1


def test_one_old_job_is_worth_another_child(site: Site, facts: Record) -> None:
    worker = scaled(site, 3, 1)
    old = hold.delay("old")
    facts.wait_for("begun")
    assert quick.delay(1).get(timeout=10) == 1
    assert size(worker) == 2
    assert not old.ready()
    site.open_gate("old")


def test_busy_children_are_not_taken_away(site: Site, facts: Record) -> None:
    worker = scaled(site, 4, 1)
    results = [nap.delay(2.5) for _ in range(4)]
    facts.wait_for("napped", 4)
    assert [each.get(timeout=20) for each in results] == [None] * 4
    assert len(facts.facts("napped")) == 4
    wait_until(lambda: size(worker) == 1, 15)


def test_remote_control_grows_and_shrinks_the_pool(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1)
    (reply,) = app.control.pool_grow(2, reply=True, timeout=10)
    assert "ok" in next(iter(reply.values()))
    wait_until(lambda: size(worker) == 3)
    for number in range(3):
        hold.delay(f"job-{number}")
    facts.wait_for("begun", 3)
    for number in range(3):
        site.open_gate(f"job-{number}")
    app.control.pool_shrink(2, reply=True, timeout=10)
    wait_until(lambda: size(worker) == 1 and len(living(worker)) == 1, 10)
    assert quick.delay(1).get(timeout=10) == 1


def test_remote_control_sets_new_bounds(site: Site, facts: Record) -> None:
    worker = scaled(site, 2, 1)
    (reply,) = app.control.autoscale(5, 3, reply=True, timeout=10)
    assert "ok" in next(iter(reply.values()))
    wait_until(lambda: size(worker) == 3, 5)
