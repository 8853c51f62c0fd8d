"""Every promise, kept by every pool, or broken for a reason that the table gives."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from typing import Any

import pytest

from litequeue import states
from litequeue.exceptions import (
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
    WorkerLostError,
)
from tests.conftest import wait_until
from tests.integration.processes import kill
from tests.pools import app as tasks
from tests.pools.conftest import Shop, most_at_once
from tests.pools.promises import promise

ONE = "it runs one job at a time"
LATER = "only when the sleep returns: what waits in C code is not in Python's hands"
KEEPS_GIL = "the code keeps every other thread of its process from running, those with a clock too"
KEEPS_LOOP = "it keeps the event loop, and all that run on it, from going on"
KEEPS_HUB = "greenlets change places only where one of them waits"

names = (f"n{number}" for number in itertools.count())


def both(task: Any) -> tuple[Any, Any]:
    """Return a task in its two forms: a plain function, and a coroutine function."""
    return task, getattr(tasks, task.__name__ + "_async")


def works(shop: Shop) -> bool:
    """Tell whether every line of the shop still runs jobs."""
    handles = [shop.send(tasks.echo, number) for number in range(2 * shop.size)]
    return [each.get(timeout=10) for each in handles] == list(range(2 * shop.size))


class TestResults:
    @promise("results come back, of plain functions and of coroutine functions")
    def test_results(self, shop: Shop) -> None:
        for task in both(tasks.echo):
            assert shop.send(task, {"a": [1, None]}).get(timeout=10) == {"a": [1, None]}

    @promise("exceptions come back")
    def test_exceptions(self, shop: Shop) -> None:
        for task in both(tasks.fail):
            with pytest.raises(ValueError, match="no such luck"):
                shop.send(task, "no such luck").get(timeout=10)

    @promise("large arguments and results pass")
    def test_large(self, shop: Shop) -> None:
        large = "x" * 900_000
        for task in both(tasks.echo):
            assert shop.send(task, large).get(timeout=20) == large

    @promise("none of many is lost on the way")
    def test_many(self, shop: Shop) -> None:
        calls = [(task, (number,)) for number in range(300) for task in both(tasks.echo)]
        handles = tasks.app.enqueue_many(calls)
        assert [each.get(timeout=20) for each in handles] == [number for _, (number,) in calls]

    @promise("a failed job is retried")
    def test_retries(self, shop: Shop) -> None:
        for task in both(tasks.third_time):
            assert shop.send(task).get(timeout=10) == [2, 3]


class TestBelonging:
    @promise("each job sees its own request, whatever runs beside it")
    def test_requests(self, shop: Shop) -> None:
        for task in both(tasks.whoami):
            handles = [shop.send(task, number) for number in range(3 * shop.size)]
            for number, handle in enumerate(handles):
                assert handle.get(timeout=10) == [handle.id, number, {}, 0]

    @promise("context variables begin anew with every job")
    def test_contexts(self, shop: Shop) -> None:
        for task in both(tasks.leave_a_trace):
            handles = [shop.send(task) for _ in range(3 * shop.size)]
            for handle in handles:
                assert handle.get(timeout=10) == ["nothing", handle.id]

    @promise("captured output is that of its job")
    def test_output(self, shop: Shop) -> None:
        for task in both(tasks.speak):
            handles = {word: shop.send(task, word, 5) for word in "abcdef"[: 2 * shop.size]}
            for word, handle in handles.items():
                handle.get(timeout=10)
                ((text,),) = shop.query(
                    "SELECT text FROM litequeue_log JOIN litequeue_job ON job = seq WHERE id = ?",
                    handle.id,
                )
                assert text.splitlines() == [f"{word} {number}" for number in range(5)]

    @promise("hooks and signals are called, in the order of Celery's")
    def test_hooks(self, shop: Shop) -> None:
        for task in both(tasks.tell):
            good, bad = shop.send(task, False), shop.send(task, True)
            good.get(timeout=10)
            with pytest.raises(ValueError, match="as told"):
                bad.get(timeout=10)
            before = ["task_prerun", "before_start"]
            assert told(shop, good.id) == [
                *before, "on_success", "after_return SUCCESS", "task_postrun",
            ]  # fmt: skip
            assert told(shop, bad.id) == [
                *before, "on_failure ValueError", "after_return FAILURE", "task_postrun",
            ]  # fmt: skip

    @promise("hooks are called for a job that its hard time limit ended")
    def test_hooks_of_the_late(self, shop: Shop) -> None:
        for task in both(tasks.tell_late):
            handle = shop.send(task, time_limit=0.3)
            with pytest.raises(TimeLimitExceeded):
                handle.get(timeout=10)
            wait_until(lambda: "after_return FAILURE" in told(shop, handle.id))  # noqa: B023 - now
            assert told(shop, handle.id)[-2:] == [
                "on_failure TimeLimitExceeded", "after_return FAILURE",
            ]  # fmt: skip


def told(shop: Shop, id: str) -> list[str]:
    facts = shop.facts.facts("told", id=id)
    assert {fact["here"] for fact in facts} <= {id}
    return [fact["what"] for fact in facts]


class TestAtOnce:
    @promise("as many jobs run at once as -c says", solo=ONE)
    def test_concurrency(self, shop: Shop) -> None:
        for task in both(tasks.meet):
            name = next(names)
            patience = 10.0 if shop.size > 1 else 0.1
            handles = [shop.send(task, name, 4, patience) for _ in range(4)]
            assert [handle.get(timeout=20) for handle in handles] == [4] * 4

    @promise("never more than that")
    def test_no_more(self, shop: Shop) -> None:
        name = next(names)
        handles = [
            shop.send(task, name) for _ in range(2 * shop.size) for task in both(tasks.come_and_go)
        ]
        for handle in handles:
            handle.get(timeout=20)
        assert 0 < most_at_once(shop, name) <= shop.size

    @promise("what matters more goes first")
    def test_priorities(self, shop: Shop) -> None:
        gate = next(names)
        held = [shop.send(tasks.hold, gate) for _ in range(shop.size)]
        shop.begun(gate, shop.size)
        low, high = [next(names) for _ in range(4)], [next(names) for _ in range(4)]
        waiting = [shop.send(tasks.come_and_go, name, priority=0) for name in low]
        # What a child might have read ahead is given back while all are busy.
        wait_until(lambda: shop.phases(waiting) == {"ready"})
        waiting += [shop.send(tasks.come_and_go, name, priority=9) for name in high]
        wait_until(lambda: shop.phases(waiting) == {"ready"})
        shop.site.open_gate(gate)
        for handle in (*held, *waiting):
            handle.get(timeout=20)
        came = [fact["name"] for fact in shop.facts.facts("came") if fact["name"] in low + high]
        assert set(came[:4]) == set(high)

    @promise("a job may wait for another one", solo=ONE)
    def test_a_job_that_waits(self, shop: Shop) -> None:
        for task in both(tasks.ask):
            handle = shop.send(task, "answer", 10.0 if shop.size > 1 else 0.2)
            assert handle.get(timeout=20) == "answer"

    @promise("the pool grows and shrinks by remote control", solo=ONE)
    def test_resizing(self, shop: Shop) -> None:
        (reply,) = tasks.app.control.pool_grow(2, reply=True, timeout=5.0) or []
        assert "ok" in reply[shop.pool]
        name = next(names)
        handles = [shop.send(tasks.meet, name, 6, 10.0) for _ in range(6)]
        assert [handle.get(timeout=20) for handle in handles] == [6] * 6
        tasks.app.control.pool_shrink(2)
        wait_until(lambda: shop.worker.slots.count == shop.size)
        name = next(names)
        handles = [shop.send(tasks.come_and_go, name) for _ in range(4 * shop.size)]
        for handle in handles:
            handle.get(timeout=20)
        assert most_at_once(shop, name) <= shop.size


class TestSoftLimits:
    @promise("a soft time limit can be caught")
    def test_caught(self, shop: Shop) -> None:
        for task in both(tasks.catch):
            assert shop.send(task, soft_time_limit=0.2).get(timeout=8) == "caught"

    @promise("if it is not, the job fails with it")
    def test_not_caught(self, shop: Shop) -> None:
        for task in both(tasks.late):
            handle = shop.send(task, soft_time_limit=0.2)
            with pytest.raises(SoftTimeLimitExceeded):
                handle.get(timeout=8)
            assert handle.state == states.FAILURE

    @promise("it is raised once, even if it is swallowed")
    def test_swallowed(self, shop: Shop) -> None:
        handles = [shop.send(task, 1.3, soft_time_limit=0.1) for task in both(tasks.swallow)]
        assert [handle.get(timeout=10) for handle in handles] == [1, 1]

    @promise("it interrupts `time.sleep` at once", threads=LATER, aio=LATER)
    def test_in_a_sleep(self, shop: Shop) -> None:
        began = time.monotonic()
        with pytest.raises(SoftTimeLimitExceeded):
            shop.send(tasks.sleep_in_c, 2.5, soft_time_limit=0.2).get(timeout=8)
        assert time.monotonic() - began < 2.2


class TestHardLimits:
    @promise("a hard time limit ends a job that sleeps")
    def test_asleep(self, shop: Shop) -> None:
        for task in (tasks.sleep_in_c, tasks.sleep_async):
            began = time.monotonic()
            handle = shop.send(task, 3, time_limit=0.3)
            with pytest.raises(TimeLimitExceeded):
                handle.get(timeout=8)
            assert time.monotonic() - began < 2.7
        assert works(shop)

    @promise("it ends a job that swallows everything")
    def test_stubborn(self, shop: Shop) -> None:
        for task in both(tasks.swallow):
            began = time.monotonic()
            handle = shop.send(task, 3, soft_time_limit=0.1, time_limit=0.4)
            with pytest.raises(TimeLimitExceeded):
                handle.get(timeout=8)
            assert time.monotonic() - began < 2.7
        assert works(shop)

    @promise(
        "it ends C code that keeps the GIL", threads=KEEPS_GIL, aio=KEEPS_GIL, gevent=KEEPS_HUB
    )
    def test_in_c(self, shop: Shop) -> None:
        began = time.monotonic()
        handle = shop.send(tasks.keep_the_gil, 2.6, time_limit=0.4)
        with pytest.raises(TimeLimitExceeded):
            handle.get(timeout=20)
        assert time.monotonic() - began < 2.3

    @promise("it ends a coroutine that never awaits", aio=KEEPS_LOOP)
    def test_a_busy_loop(self, shop: Shop) -> None:
        began = time.monotonic()
        handle = shop.send(tasks.keep_the_loop, 2.6, time_limit=0.4)
        with pytest.raises(TimeLimitExceeded):
            handle.get(timeout=8)
        assert time.monotonic() - began < 2.3


class TestRevoking:
    @promise("the signal of a terminated job says by what")
    def test_signal(self, shop: Shop) -> None:
        handle = shop.send(tasks.tell_late)
        wait_until(lambda: told(shop, handle.id))
        handle.revoke(terminate=True, signal="SIGKILL")
        (fact,) = shop.facts.wait_for("revoked", id=handle.id)
        assert (fact["terminated"], fact["signum"]) == (True, signal.SIGKILL)

    @promise("a waiting job can be revoked")
    def test_waiting(self, shop: Shop) -> None:
        gate, name = next(names), next(names)
        held = [shop.send(tasks.hold, gate) for _ in range(shop.size)]
        shop.begun(gate, shop.size)
        handle = shop.send(tasks.come_and_go, name)
        handle.revoke()
        shop.site.open_gate(gate)
        for each in held:
            each.get(timeout=10)
        with pytest.raises(TaskRevokedError):
            handle.get(timeout=10)
        assert not shop.facts.facts("came", name=name)

    @promise("a running job can be terminated")
    def test_running(self, shop: Shop) -> None:
        for task in both(tasks.hold):
            name = next(names)
            handle = shop.send(task, name)
            shop.begun(name)
            handle.revoke(terminate=True)
            with pytest.raises(TaskRevokedError, match="SIGTERM"):
                handle.get(timeout=10)
        assert works(shop)


class TestDeaths:
    @promise("after `kill -9` of a child its jobs run again")
    def test_kill(self, shop: Shop) -> None:
        wait_until(lambda: len(shop.children()) > 0)
        gates = [next(names) for _ in range(shop.size)]
        pairs = zip(gates, itertools.cycle(both(tasks.hold)))
        handles = [shop.send(task, gate) for gate, task in pairs]
        for gate in gates:
            shop.begun(gate)
        for pid in {fact["pid"] for gate in gates for fact in shop.facts.facts("began", name=gate)}:
            kill(pid)
        for gate in gates:
            shop.begun(gate, 2)
            shop.site.open_gate(gate)
        assert [handle.get(timeout=10) for handle in handles] == gates

    @promise("but not what was acknowledged early")
    def test_early_ack(self, shop: Shop) -> None:
        name = next(names)
        handle = shop.send(tasks.hold_once, name)
        shop.begun(name)
        kill(shop.facts.facts("began", name=name)[0]["pid"])
        with pytest.raises(WorkerLostError):
            handle.get(timeout=10)
        assert works(shop)
        assert len(shop.facts.facts("began", name=name)) == 1


class TestChanges:
    @promise("`pool_restart` replaces the processes, and waits for what runs in them")
    def test_restart(self, shop: Shop) -> None:
        names_held = [next(names), next(names)][: shop.size]
        handles = [shop.send(tasks.hold, name) for name in names_held]
        for name in names_held:
            shop.begun(name)
        before = shop.children()
        tasks.app.control.pool_restart()
        for name, handle in zip(names_held, handles, strict=True):
            shop.site.open_gate(name)
            assert handle.get(timeout=10) == name
        wait_until(lambda: shop.children() and not shop.children() & before, 20.0)
        assert shop.send(tasks.where).get(timeout=10) not in before

    @promise("meanwhile other jobs run in the new ones", solo=ONE)
    def test_no_stall(self, shop: Shop) -> None:
        gate = next(names)
        handle = shop.send(tasks.hold, gate)
        shop.begun(gate)
        before = shop.children()
        tasks.app.control.pool_restart()
        name = next(names)
        try:
            patience = 10.0 if shop.size > 1 else 0.5
            wait_until(lambda: shop.send(tasks.where).get(timeout=patience) not in before)
            others = [shop.send(tasks.come_and_go, name) for _ in range(3 * shop.size)]
            for other in others:
                other.get(timeout=10)
        finally:
            shop.site.open_gate(gate)
        assert handle.get(timeout=10) == gate
        assert most_at_once(shop, name) <= shop.size - 1

    @promise("a process is replaced after --max-tasks-per-child jobs")
    def test_recycling(self, fresh: Shop, shop: Shop) -> None:
        worker = fresh.hire("--max-tasks-per-child", "5")
        handles = [fresh.send(tasks.where) for _ in range(5 * fresh.size + 1)]
        ran = Counter(handle.get(timeout=20) for handle in handles)
        assert max(ran.values()) <= 5
        assert worker.stop() == 0


class TestStopping:
    @promise("a warm stop waits for what runs")
    def test_warm(self, fresh: Shop, shop: Shop) -> None:
        worker = fresh.hire()
        held = {next(names): task for task in both(tasks.hold)[: fresh.size]}
        handles = [fresh.send(task, name) for name, task in held.items()]
        for name in held:
            fresh.begun(name)
        worker.send(signal.SIGTERM)
        worker.wait_until_said("stopping")
        later = fresh.send(tasks.come_and_go, "later")
        for name in held:
            fresh.site.open_gate(name)
        assert worker.wait() == 0
        assert [handle.state for handle in handles] == ["SUCCESS"] * len(held)
        assert later.state == "PENDING"

    @promise("a cold stop gives back what runs")
    def test_cold(self, fresh: Shop, shop: Shop) -> None:
        worker = fresh.hire()
        held = {next(names): task for task in both(tasks.hold)[: fresh.size]}
        handles = [fresh.send(task, name) for name, task in held.items()]
        for name in held:
            fresh.begun(name)
        worker.send(signal.SIGQUIT)
        worker.wait()
        assert fresh.phases(handles) == {"ready"}
        assert fresh.query("SELECT deaths FROM litequeue_job") == [(0,)] * len(held)
