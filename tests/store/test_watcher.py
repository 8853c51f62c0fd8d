"""Being told when jobs end: `await`, `then` and `iter_native`, and the thread behind them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import exceptions
from litequeue.config import Settings
from litequeue.context import current_request
from litequeue.result import EagerResult, ResultSet
from litequeue.store import Database, Store, result_bell, results, watcher
from litequeue.store.wakeup import CAPACITY, mark
from tests.conftest import wait_until
from tests.store.homes import handle
from tests.store.steps import claim, claim_one, failure, job, put, step, success

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(queue_path: Path) -> Iterator[Store]:
    store = Store(str(queue_path), Settings())
    yield store
    store.close(for_good=True)
    wait_until(lambda: not watchers())


@pytest.fixture
def only_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody look by himself: what is not rung is lost."""
    monkeypatch.setattr(result_bell, "NET", 30.0)
    monkeypatch.setattr(result_bell, "HEARSAY", 30.0)
    monkeypatch.setattr(watcher, "HEARSAY", 30.0)
    monkeypatch.setattr(watcher, "NET", 30.0)


def watchers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "litequeue-watcher"]


def ring(store: Store, *ids: str) -> None:
    with store._ringing:
        store._open_ringer().ring_waiters(ids)


def finish(store: Store, *ids: str, result: str = "1") -> None:
    """Have jobs end as SUCCESS, as a worker does it."""
    leases = claim(store.database, len(ids))
    step(store.database, *(success(lease, result) for lease in leases))
    ring(store, *ids)


def put_many(store: Store, count: int) -> list[str]:
    ids = [f"job {number}" for number in range(count)]
    store.enqueue_many([job(id) for id in ids])
    return ids


def watch(store: Store, *ids: str) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    store.watch(ids, lambda id, news: told.append((id, news)))
    return told


def names(told: Iterable[tuple[str, Any]]) -> list[str]:
    return [id for id, _ in told]


# The watcher


def test_what_has_ended_is_told_here_and_now(store: Store) -> None:
    put(store.database, "a")
    finish(store, "a")
    told: list[threading.Thread] = []
    store.watch(["a"], lambda id, news: told.append(threading.current_thread()))
    assert told == [threading.current_thread()]


@pytest.mark.usefixtures("only_rings")
def test_each_is_told_when_it_ends(store: Store) -> None:
    put(store.database, "a", "b", "c")
    told = watch(store, "a", "b", "c")
    assert told == []
    finish(store, "a")
    wait_until(lambda: names(told) == ["a"])
    assert told[0][1].result == "1"
    finish(store, "b", "c")
    wait_until(lambda: sorted(names(told)) == ["a", "b", "c"])


@pytest.mark.usefixtures("only_rings")
def test_many_watch_one_and_one_watches_many(store: Store) -> None:
    put(store.database, "a", "b")
    told = [watch(store, "a", "b"), watch(store, "b", "a"), watch(store, "a")]
    assert len(watchers()) == 1
    finish(store, "a")
    wait_until(lambda: [names(each) for each in told] == [["a"]] * 3)
    finish(store, "b")
    wait_until(lambda: [names(each) for each in told] == [["a", "b"], ["a", "b"], ["a"]])


@pytest.mark.usefixtures("only_rings")
def test_the_thread_serves_whoever_comes_next(store: Store) -> None:
    put(store.database, "a", "b")
    first = watch(store, "a")
    finish(store, "a")
    wait_until(lambda: names(first) == ["a"])
    (thread,) = watchers()
    second = watch(store, "b")
    finish(store, "b")
    wait_until(lambda: names(second) == ["b"])
    assert watchers() == [thread]


def after_the_look(
    monkeypatch: pytest.MonkeyPatch, number: int, happens: Callable[[], object]
) -> None:
    """Have something happen right after the ``number``-th look at the file has read it."""
    looks = iter(range(1, 1_000))
    fetch = results.fetch_ended

    def fetch_ended(database: Database, ids: Iterable[str]) -> Any:
        found = fetch(database, ids)
        if next(looks) == number:
            happens()
        return found

    monkeypatch.setattr(results, "fetch_ended", fetch_ended)


@pytest.mark.usefixtures("only_rings")
def test_what_ends_right_after_the_look_is_not_missed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store.database, "a")
    after_the_look(monkeypatch, 1, lambda: finish(store, "a"))
    told = watch(store, "a")
    wait_until(lambda: names(told) == ["a"])


@pytest.mark.usefixtures("only_rings")
def test_what_ends_right_after_the_watchers_look_is_not_missed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store.database, "a", "b")
    told = watch(store, "a", "b")
    after_the_look(monkeypatch, 1, lambda: finish(store, "b"))
    finish(store, "a")
    wait_until(lambda: sorted(names(told)) == ["a", "b"])


def test_a_writer_that_cannot_ring_is_noticed(store: Store) -> None:
    put(store.database, "a")
    told = watch(store, "a")
    step(store.database, success(claim_one(store.database)))
    wait_until(lambda: names(told) == ["a"])


def test_who_finds_it_first_tells_it_and_nobody_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store.database, "a", "b")
    watch(store, "b")  # the thread is there
    told: list[tuple[str, Any]] = []

    def until_the_thread_has_told() -> None:
        finish(store, "a")
        wait_until(lambda: names(told) == ["a"])

    fetch = results.fetch_ended

    def fetch_ended(database: Database, ids: Iterable[str]) -> Any:
        if threading.current_thread() is threading.main_thread():
            until_the_thread_has_told()
        return fetch(database, ids)

    monkeypatch.setattr(results, "fetch_ended", fetch_ended)
    store.watch(["a"], lambda id, news: told.append((id, news)))
    assert names(told) == ["a"]


def test_an_unknown_job_and_one_that_is_forgotten_are_told(store: Store) -> None:
    put(store.database, "a")
    assert watch(store, "nosuch") == [("nosuch", None)]
    told = watch(store, "a")
    with store.database.write(durable=False) as connection:
        connection.execute("DELETE FROM litequeue_job")
    wait_until(lambda: told == [("a", None)])


def test_a_file_that_is_replaced_is_told(store: Store, queue_path: Path) -> None:
    put(store.database, "a")
    told = watch(store, "a")
    queue_path.rename(queue_path.with_suffix(".old"))
    wait_until(lambda: [type(news) for _, news in told] == [exceptions.QueueFileReplaced])


def test_a_callback_that_raises_does_not_cost_the_others_theirs(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    put(store.database, "a", "b")

    def broken(id: str, news: object) -> None:
        raise SystemExit(id)

    store.watch(["a", "b"], broken)
    told = watch(store, "a", "b")
    finish(store, "a", "b")
    wait_until(lambda: sorted(names(told)) == ["a", "b"])
    assert sorted(str(record.exc_info[1]) for record in caplog.records if record.exc_info) == [
        "a",
        "b",
    ]


def test_the_thread_ends_when_nothing_is_watched(store: Store) -> None:
    put(store.database, "a", "b")
    told = watch(store, "a")
    other = store.watch(["b"], pytest.fail)
    finish(store, "a")
    wait_until(lambda: names(told) == ["a"])
    other.close()
    other.close()
    wait_until(lambda: not watchers())
    assert store._results._awaited == {}
    again = watch(store, "b")
    finish(store, "b")
    wait_until(lambda: names(again) == ["b"])


def test_who_lost_interest_is_told_nothing(store: Store) -> None:
    put(store.database, "a")
    store.watch(["a"], pytest.fail).close()
    told = watch(store, "a")
    finish(store, "a")
    wait_until(lambda: names(told) == ["a"])
    assert store._watcher._watched == {}


def test_what_is_watched_no_longer_rings_no_longer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_bell, "NET", 0.01)
    put(store.database, "a", "b", "c")
    told = watch(store, "a", "b")
    store.watch(["c"], pytest.fail).close()
    wait_until(lambda: mark("c") not in store._results._awaited)
    finish(store, "a")
    wait_until(lambda: mark("a") not in store._results._awaited)
    finish(store, "b")
    wait_until(lambda: names(told) == ["a", "b"])


def test_a_thread_that_cannot_start_is_an_error_and_no_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store.database, "a")

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            watch(store, "a")
    assert (store._watcher._watched, store._results._awaited) == ({}, {})
    told = watch(store, "a")
    finish(store, "a")
    wait_until(lambda: names(told) == ["a"])


def test_nothing_is_read_while_nothing_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store.database, "a")
    versions: list[object] = []
    looks: list[object] = []
    version, fetch = results.version, results.fetch_ended
    monkeypatch.setattr(
        results, "version", lambda database: versions.append(1) or version(database)
    )
    monkeypatch.setattr(
        results, "fetch_ended", lambda database, ids: looks.append(1) or fetch(database, ids)
    )
    monkeypatch.setattr(result_bell, "NET", 0.001)
    watching = store.watch(["a"], pytest.fail)
    wait_until(lambda: len(versions) > 20)
    assert len(looks) == 2, "the caller's, and the first of the thread"
    watching.close()


def test_a_busy_watcher_lets_another_thread_listen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_bell, "HEARSAY", 30.0)
    put(store.database, "a", "b")
    busy, done = threading.Event(), threading.Event()
    store.watch(["a"], lambda id, news: (busy.set(), done.wait(20)))
    wait_until(lambda: store._results._listening)
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(handle(store, "b").get(timeout=20)))
    thread.start()
    wait_until(lambda: mark("b") in store._results._awaited)
    finish(store, "a")
    assert busy.wait(10)
    finish(store, "b")
    wait_until(lambda: got == [1])
    done.set()
    thread.join(10)


def test_more_than_a_page_holds_can_be_watched(store: Store) -> None:
    ids = put_many(store, CAPACITY + 500)
    told = watch(store, *ids)
    finish(store, *ids)
    wait_until(lambda: len(told) == len(ids))
    assert set(names(told)) == set(ids)


def test_it_goes_on_after_the_store_is_closed(store: Store) -> None:
    put(store.database, "a")
    told = watch(store, "a")
    store.close()
    finish(store, "a")
    wait_until(lambda: names(told) == ["a"])


def test_a_store_that_is_closed_leaves_nothing_behind(store: Store) -> None:
    put(store.database, "a")
    told = watch(store, "a")
    finish(store, "a")
    wait_until(lambda: names(told) == ["a"])
    store.close()
    wait_until(lambda: not watchers())
    assert list(Path(f"{store.path}.bell").glob("waiter-*")) == []


def test_a_forked_child_watches_by_itself(store: Store) -> None:
    put(store.database, "a", "b")
    told = watch(store, "a")
    pid = os.fork()
    if not pid:
        code = 1
        try:
            mine = watch(store, "b")
            finish(store, "a", "b")
            wait_until(lambda: names(mine) == ["b"])
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    wait_until(lambda: names(told) == ["a"])


def test_a_program_ends_although_it_has_not_seen_every_result(
    store: Store, queue_path: Path
) -> None:
    put(store.database, "a")
    program = (
        "import sys\n"
        "from litequeue import LiteQueue\n"
        "app = LiteQueue(sys.argv[1])\n"
        "app.AsyncResult('a').then(print)\n"
        "print('the end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(queue_path)],
        capture_output=True,
        text=True,
        timeout=20,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n", "")
    assert list(Path(f"{queue_path}.bell").glob("waiter-*")) == []


# await


@pytest.mark.usefixtures("only_rings")
def test_a_result_can_be_awaited(store: Store) -> None:
    put(store.database, "a", "b")
    finish(store, "a")

    async def main() -> list[Any]:
        ready = await handle(store, "a")
        waiting = asyncio.create_task(handle(store, "b").aget(timeout=20))
        await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.to_thread(finish, store, "b", result="2")
        return [ready, await waiting, await handle(store, "b")]

    assert asyncio.run(main()) == [1, 2, 2]


def test_awaiting_a_failure_raises_it(store: Store) -> None:
    put(store.database, "a")
    step(store.database, failure(claim_one(store.database), "no"))

    async def main() -> None:
        with pytest.raises(ValueError, match="no"):
            await handle(store, "a")
        assert repr(await handle(store, "a").aget(propagate=False)) == "ValueError('no')"
        with pytest.raises(exceptions.JobNotFound):
            await handle(store, "nosuch")

    asyncio.run(main())


def test_an_await_ends_when_its_time_is_over(store: Store) -> None:
    put(store.database, "a")

    async def main() -> None:
        for timeout in (0, 0.01):
            with pytest.raises(exceptions.TimeoutError, match="job a has not ended"):
                await handle(store, "a").aget(timeout=timeout)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await handle(store, "a")

    asyncio.run(main())
    assert store._watcher._watched == {}


def test_no_time_at_all_is_enough_for_what_is_there(store: Store) -> None:
    put(store.database, "a")
    finish(store, "a")
    assert asyncio.run(handle(store, "a").aget(timeout=0)) == 1


def test_a_cancelled_await_leaves_nothing(store: Store) -> None:
    put(store.database, "a", "b")

    async def main() -> None:
        tasks = [asyncio.create_task(handle(store, id).aget()) for id in "aab"]
        await asyncio.sleep(0)
        assert set(store._watcher._watched) == {"a", "b"}
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert [len(each) for each in store._watcher._watched.values()] == [1]
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)

    asyncio.run(main())
    assert store._watcher._watched == {}
    wait_until(lambda: not watchers())
    assert store._results._awaited == {}


def test_an_await_may_be_cancelled_just_when_the_job_ends(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    put(store.database, "a")

    async def main() -> None:
        task = asyncio.create_task(handle(store, "a").aget())
        await asyncio.sleep(0)
        finish(store, "a")
        wait_until(lambda: store._watcher._watched == {})  # the loop stands still
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert caplog.records == []


def test_a_loop_that_is_closed_meanwhile_harms_nobody(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    put(store.database, "a", "b")

    async def main() -> asyncio.Task[Any]:
        task = asyncio.create_task(handle(store, "a").aget())
        await asyncio.sleep(0)
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(main())
    loop.close()
    told = watch(store, "a", "b")
    finish(store, "a")
    wait_until(lambda: names(told) == ["a"])
    finish(store, "b")
    wait_until(lambda: names(told) == ["a", "b"])
    assert caplog.records == []
    logging.getLogger("asyncio").disabled = True  # it tells that the task was never finished
    del task
    gc.collect()
    logging.getLogger("asyncio").disabled = False


def test_thousands_can_be_awaited_at_once(store: Store) -> None:
    ids = put_many(store, 2_000)

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(handle(store, id).aget(timeout=30)) for id in ids]
        await asyncio.sleep(0)
        assert len(watchers()) == 1
        await asyncio.to_thread(finish, store, *ids)
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [1] * 2_000
    assert store._watcher._watched == {}


def test_a_set_can_be_awaited(store: Store) -> None:
    put(store.database, "a", "b", "c")
    those = ResultSet([EagerResult("e", 0, "SUCCESS"), *(handle(store, id) for id in "bca")])
    finish(store, "a")

    async def main() -> None:
        with pytest.raises(exceptions.TimeoutError, match="2 jobs still run after 0 s"):
            await those.aget(timeout=0)
        waiting = asyncio.ensure_future(those)
        await asyncio.sleep(0)
        await asyncio.to_thread(finish, store, "b", result="2")
        step(store.database, failure(claim_one(store.database), "no"))
        ring(store, "c")
        with pytest.raises(ValueError, match="no"):
            await waiting
        zero, two, error, one = await those.aget(propagate=False)
        assert (zero, two, str(error), one) == (0, 2, "no", 1)

    asyncio.run(main())
    assert store._watcher._watched == {}


# then


def test_then_calls_back_once(store: Store) -> None:
    put(store.database, "a")
    told: list[tuple[str, object]] = []
    result = handle(store, "a")
    assert result.then(lambda each: told.append(("callback", each)), pytest.fail) is result
    finish(store, "a")
    wait_until(lambda: told == [("callback", result)])
    result.then(lambda each: told.append(("at once", each)))
    assert told[1:] == [("at once", result)]


def test_then_tells_of_a_failure_apart_if_asked_to(store: Store) -> None:
    put(store.database, "a")
    step(store.database, failure(claim_one(store.database), "no"))
    told: list[object] = []
    handle(store, "a").then(pytest.fail, lambda error: told.append(str(error)))
    handle(store, "a").then(told.append)
    assert told == ["no", handle(store, "a")]


def test_then_on_nothing_is_an_error(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    put(store.database, "a")
    told: list[object] = []
    handle(store, "nosuch").then(pytest.fail, told.append)
    assert [type(error) for error in told] == [exceptions.JobNotFound]
    handle(store, "nosuch").then(pytest.fail)
    assert "nosuch" in caplog.text


def test_a_callback_may_wait_for_other_jobs(store: Store) -> None:
    put(store.database, "a", "b")
    told: list[object] = []
    request = current_request.set(object())  # a task may not wait; the thread of callbacks may
    handle(store, "a").then(lambda each: told.append(handle(store, "b").get(timeout=20)))
    current_request.reset(request)
    finish(store, "a")
    wait_until(lambda: store._watcher._watched == {})
    finish(store, "b")
    wait_until(lambda: told == [1])


def test_then_of_a_set_waits_for_all(store: Store) -> None:
    put(store.database, "a", "b")
    those = ResultSet(handle(store, id) for id in "ab")
    told: list[object] = []
    assert those.then(told.append) is those
    finish(store, "a")
    wait_until(lambda: set(store._watcher._watched) == {"b"})
    assert told == []
    finish(store, "b")
    wait_until(lambda: told == [those])
    ResultSet([handle(store, "nosuch")]).then(pytest.fail, told.append)
    assert type(told[1]) is exceptions.JobNotFound


# As they end


@pytest.mark.usefixtures("only_rings")
def test_results_come_as_they_end(store: Store) -> None:
    put(store.database, "a", "b", "c")
    put(store.database, "child", parent="a", queue="other")
    those = ResultSet(handle(store, id) for id in "cba")
    messages: list[dict[str, Any]] = []
    coming = those.iter_native(timeout=20, on_message=messages.append)
    finish(store, "a")
    id, message = next(coming)
    assert id == "a"
    assert message == {
        "task_id": "a",
        "status": "SUCCESS",
        "result": 1,
        "traceback": None,
        "children": [handle(store, "child")],
    }
    step(store.database, failure(claim_one(store.database), "no"))
    ring(store, "b")
    id, message = next(coming)
    assert (id, message["status"], repr(message["result"])) == ("b", "FAILURE", "ValueError('no')")
    threading.Timer(0.05, finish, (store, "c")).start()
    assert [id for id, _ in coming] == ["c"]
    assert [each["task_id"] for each in messages] == ["a", "b", "c"]
    assert store._watcher._watched == {}


def test_who_stops_looking_leaves_nothing(store: Store) -> None:
    put(store.database, "a", "b")
    finish(store, "a")
    coming = ResultSet(handle(store, id) for id in "ab").iter_native()
    assert next(coming)[0] == "a"
    assert set(store._watcher._watched) == {"b"}
    coming.close()  # type: ignore[attr-defined]  # a generator
    assert store._watcher._watched == {}


def test_waiting_for_the_next_ends_when_the_time_is_over(store: Store) -> None:
    put(store.database, "a")
    calls: list[object] = []
    those = ResultSet([handle(store, "a")])
    with pytest.raises(exceptions.TimeoutError, match=r"1 jobs still run after 0\.05 s"):
        list(those.iter_native(timeout=0.05, interval=0.01, on_interval=lambda: calls.append(1)))
    assert calls
    with pytest.raises(exceptions.JobNotFound):
        list(ResultSet([handle(store, "nosuch")]).iter_native())
