"""What a task asks for while it runs: a replacement, members of its chord, durable steps.

Real file, real executor, no processes: `tests.drive`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from litequeue import (
    ChordError,
    Ignore,
    LiteQueue,
    RemoteError,
    SecurityError,
    chain,
    chord,
    group,
)
from litequeue.exceptions import ResultTooLarge
from tests.conftest import FakeClock
from tests.drive import Drive, driving


class Shop:
    """An app with tasks that write down their calls, and a worker for it."""

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        self.app = drive.app
        self.calls: list[Any] = []
        self.add = self.task(lambda *values: sum(values), "add")
        self.total = self.task(sum, "total")
        self.note = self.task(lambda *values: self.calls.append(values), "note")

    def task(self, function: Any, name: str, **options: Any) -> Any:
        made = self.app.task(name=name, **options)(function)
        self.drive.tasks = frozenset(self.app.tasks)
        return made

    def bound(self, function: Any) -> Any:
        return self.task(function, function.__name__, bind=True)

    def value(self, sig: Any) -> Any:
        """Send a workflow, run all there is, and return its value."""
        result = sig.apply_async()
        self.drive.run()
        assert result.ready(), "it waits for ever"
        return result.get()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    app = LiteQueue(tmp_path / "jobs.sqlite", clock=FakeClock(), durability="process")
    with driving(app) as drive:
        yield Shop(drive)


class TestReplace:
    def replaced_by(self, shop: Shop, make: Any) -> Any:
        def replaced(self: Any, *args: Any) -> Any:
            return self.replace(make(*args))

        return shop.bound(replaced)

    def test_by_a_call(self, shop: Shop) -> None:
        replaced = self.replaced_by(shop, lambda x: shop.add.s(x, 1))
        assert shop.value(replaced.s(5)) == 6

    def test_by_a_chain_which_keeps_the_id(self, shop: Shop) -> None:
        replaced = self.replaced_by(shop, lambda x: shop.add.s(x, 1) | shop.add.s(10))
        result = replaced.delay(5)
        shop.drive.run()
        assert shop.app.AsyncResult(result.id).get() == 16

    @pytest.mark.parametrize("size", [0, 1, 3])
    def test_by_a_group_which_is_a_list(self, shop: Shop, size: int) -> None:
        replaced = self.replaced_by(shop, lambda: group([shop.add.s(n) for n in range(size)]))
        assert shop.value(replaced.s()) == [*range(size)]

    def test_by_what_ends_in_a_group(self, shop: Shop) -> None:
        ends = group(shop.add.s(1), shop.add.s(2))
        for make in (
            lambda: shop.add.s(10) | ends,
            lambda: chord([shop.add.s(4), shop.add.s(6)], chain(shop.total.s(), ends)),
        ):
            assert shop.value(self.replaced_by(shop, make).s()) == [11, 12]
            del shop.app.tasks["replaced"]

    def test_in_the_middle_of_a_chain(self, shop: Shop) -> None:
        replaced = self.replaced_by(shop, lambda x: group(shop.add.s(x), shop.add.s(1)))
        assert shop.value(shop.add.s(2) | replaced.s() | shop.total.s() | shop.add.s(10)) == 13

    def test_in_a_header(self, shop: Shop) -> None:
        replaced = self.replaced_by(shop, lambda x: chain(shop.add.s(x), shop.add.s(1)))
        sig = chord([replaced.s(1), shop.add.s(5), replaced.s(2)], shop.note.s())
        assert shop.value(sig) is None
        assert shop.calls == [([2, 5, 3],)]

    def test_again_and_again(self, shop: Shop) -> None:
        levels: list[int] = []

        def down(self: Any, depth: int) -> Any:
            levels.append(self.request.replaced_task_nesting)
            return depth if depth == 0 else self.replace(self.s(depth - 1))

        assert shop.value(shop.bound(down).s(3)) == 0
        assert levels == [0, 1, 2, 3]

    def test_callbacks_stay_and_are_called_once(self, shop: Shop) -> None:
        replaced = self.replaced_by(shop, lambda: shop.add.s(1) | shop.add.s(2))
        sig = replaced.s()
        sig.link(shop.note.s("done"))
        sig.link_error(shop.note.s("failed"))
        assert shop.value(sig) == 3
        assert shop.calls == [(3, "done")]

    def test_errbacks_stay(self, shop: Shop) -> None:
        fail = shop.task(lambda: 1 / 0, "fail")
        sig = self.replaced_by(shop, fail.s).s()
        sig.link_error(shop.note.si("failed"))
        with pytest.raises(ZeroDivisionError):
            shop.value(sig)
        assert shop.calls == [("failed",)]

    def test_stamps_stay(self, shop: Shop) -> None:
        seen: list[Any] = []

        def stamped(self: Any) -> None:
            seen.append(self.request.stamps)

        sig = self.replaced_by(shop, shop.bound(stamped).s).s()
        sig.stamp(tenant="ann")
        shop.value(sig)
        assert seen == [{"tenant": "ann"}]

    def test_a_generator(self, shop: Shop) -> None:
        replaced = self.replaced_by(
            shop, lambda: group(shop.add.s(n) for n in range(3)) | shop.total.s()
        )
        assert shop.value(replaced.s()) == 3

    def test_chunks_in_a_chain(self, shop: Shop) -> None:
        sig = shop.add.chunks([(1, 2), (3,), ()], 2)
        for each in (sig.clone(), sig | shop.task(lambda parts: parts, "same").s()):
            assert shop.value(each) == [[3, 3], [0]]
        assert shop.value(sig) == [[3, 3], [0]]

    def test_refused(self, shop: Shop) -> None:
        for sig in (chain(), shop.add.s().set(chord=shop.total.s())):
            replaced = self.replaced_by(shop, lambda sig=sig: sig)
            with pytest.raises(RemoteError, match=r"ImproperlyConfigured: .*replace"):
                shop.value(replaced.s())
            del shop.app.tasks["replaced"]

    def test_not_if_the_attempt_fails(self, shop: Shop) -> None:
        def undecided(self: Any) -> Any:
            try:
                self.replace(shop.note.s("no"))
            except Ignore:
                raise ValueError("after all") from None

        with pytest.raises(ValueError, match="after all"):
            shop.value(shop.bound(undecided).s())
        assert shop.calls == []

    def test_here_and_now(self, shop: Shop) -> None:
        replaced = self.replaced_by(
            shop, lambda x: group(shop.add.s(x), shop.add.s(1)) | shop.total.s()
        )
        assert (replaced.s(5) | shop.add.s(10)).apply().get() == 16
        fail = shop.task(lambda: 1 / 0, "fail")
        del shop.app.tasks["replaced"]
        assert self.replaced_by(shop, fail.s).apply().state == "FAILURE"

    def test_outside_a_job(self, shop: Shop) -> None:
        replaced = self.replaced_by(shop, shop.note.s)
        with pytest.raises(Ignore):
            replaced(5)
        shop.drive.run()
        assert shop.calls == [(5,)]


class TestEntries:
    """A workflow of beat begins in the commit of the job that the tick sent, and is that job."""

    def test_once_per_tick(self, shop: Shop) -> None:
        for name, sig in (
            ("chain", shop.add.s(1) | shop.add.s(2)),
            ("group", group(shop.add.s(1), shop.add.s(2))),
            ("chord", chord([shop.add.s(1), shop.add.s(2)], shop.total.s())),
            ("linked", shop.add.s(1).on_error(shop.note.s())),
        ):
            shop.app.entries.add(name, 60, sig)
            first, second = shop.app.entries.run_now(name), shop.app.entries.run_now(name)
            shop.drive.run()
            assert first.id != second.id
            expected = {"chain": 3, "group": [1, 2], "chord": 3, "linked": 1}[name]
            assert first.get() == second.get() == expected
        assert shop.calls == []

    def test_arguments_of_the_entry_are_for_what_comes_first(self, shop: Shop) -> None:
        members = [shop.add.s(1), shop.add.si(2)]
        for sig, value in (
            (shop.add.s(1) | shop.add.s(2), 8),
            (group(members), [6, 2]),
            (chord(members, shop.total.s()), 8),
        ):
            shop.app.entries.add(sig.subtask_type, 60, sig, args=(5,))
            result = shop.app.entries.run_now(sig.subtask_type)
            shop.drive.run()
            assert result.get() == value


class TestAddToChord:
    def test_the_body_gets_its_result_last(self, shop: Shop) -> None:
        def growing(self: Any, depth: int) -> int:
            if depth:
                self.add_to_chord(self.s(depth - 1))
            return depth

        sig = chord([shop.bound(growing).s(2), shop.add.s(10)], shop.note.s())
        shop.value(sig)
        assert shop.calls == [([2, 10, 1, 0],)]

    def test_its_handle(self, shop: Shop) -> None:
        handles: list[Any] = []

        def growing(self: Any) -> None:
            handles.append(self.add_to_chord(shop.add.s(1) | shop.add.s(2)))

        shop.value(chord([shop.bound(growing).s()], shop.note.s()))
        assert handles[0].get(timeout=1) == 3
        assert shop.calls == [([None, 3],)]

    def test_lazily(self, shop: Shop) -> None:
        def growing(self: Any, sends: bool) -> str:
            sig = shop.add.s(1)
            assert self.add_to_chord(sig, lazy=True) is sig
            if sends:
                sig.delay(5)
            return "grown"

        growing_task = shop.bound(growing)
        shop.value(chord([growing_task.s(True)], shop.note.s()))
        shop.value(chord([growing_task.s(False)], shop.note.s()))
        assert shop.calls == [(["grown", 6],), (["grown"],)]

    def test_nothing_of_a_failed_attempt(self, shop: Shop) -> None:
        def growing(self: Any) -> int:
            self.add_to_chord(shop.add.s(self.request.retries))
            if not self.request.retries:
                raise self.retry(countdown=1)
            return 0

        shop.value(chord([shop.bound(growing).s()], shop.note.s()))
        assert shop.calls == [([0, 1],)]

    def test_a_member_that_fails(self, shop: Shop) -> None:
        fail = shop.task(lambda: 1 / 0, "fail")

        def growing(self: Any) -> None:
            self.add_to_chord(fail.s())

        with pytest.raises(ChordError, match="ZeroDivisionError"):
            shop.value(chord([shop.bound(growing).s()], shop.note.s()))

    def test_where_there_is_none(self, shop: Shop) -> None:
        def growing(self: Any) -> None:
            self.add_to_chord(shop.add.s())

        task = shop.bound(growing)
        for act in (
            task,
            lambda: task.apply(throw=True),
            lambda: shop.value(task.s()),
            lambda: shop.value(group(task.s(), task.s())),
        ):
            with pytest.raises(ValueError, match="not member of any chord"):
                act()


@pytest.mark.parametrize("on_header", [False, True])
def test_errbacks_of_a_chord(shop: Shop, on_header: bool) -> None:
    shop.app.conf.task_allow_error_cb_on_chord_header = on_header
    fail = shop.task(lambda: 1 / 0, "fail")
    sig = chord([fail.s(), shop.add.s(1), fail.s()], shop.total.s())
    with pytest.raises(ChordError):
        shop.value(sig.on_error(shop.note.si("failed")).clone())
    assert shop.calls == [("failed",)] * (3 if on_header else 1)


class TestStep:
    """Every job here fails in its first attempt, after its steps, and runs again."""

    def again(self, shop: Shop, work: Any, *, fails: int = 1, **options: Any) -> Any:
        """Return a task that does ``work(self)``; its first attempts raise at the end."""

        def stepping(self: Any) -> Any:
            value = work(self)
            if self.request.retries < fails:
                raise self.retry(countdown=0)
            return value

        return shop.task(stepping, "stepping", bind=True, **options)

    def test_what_was_done_is_not_done_again(self, shop: Shop) -> None:
        def work(task: Any) -> Any:
            first = task.step("first", lambda x: [shop.calls.append(x), x * 2][1], 5)
            return first, task.step("second", dict, a=(1, 2))

        assert shop.value(self.again(shop, work, fails=2).s()) == (10, {"a": (1, 2)})
        assert shop.calls == [5]

    def test_it_is_the_same_value_the_first_time(self, shop: Shop) -> None:
        basket = ["apple"]

        def work(task: Any) -> Any:
            seen = task.step("basket", lambda: basket)
            basket.append("pear")
            shop.calls.append(seen)

        shop.value(self.again(shop, work).s())
        assert shop.calls == [["apple"], ["apple"]]

    def test_what_failed_is_done_again(self, shop: Shop) -> None:
        def charge() -> str:
            shop.calls.append("charge")
            if len(shop.calls) < 3:
                raise OSError("no net")
            return "paid"

        def work(task: Any) -> Any:
            try:
                return task.step("charge", charge)
            except OSError:
                return task.step("charge", charge)

        assert shop.value(self.again(shop, work, autoretry_for=(OSError,)).s()) == "paid"
        assert shop.calls == ["charge"] * 3

    def test_none_is_remembered(self, shop: Shop) -> None:
        shop.value(self.again(shop, lambda task: task.step("n", shop.calls.append, 1)).s())
        assert shop.calls == [1]

    def test_a_name_is_there_once(self, shop: Shop) -> None:
        def work(task: Any) -> Any:
            for _ in range(2):
                task.step("charge", int)

        with pytest.raises(ValueError, match="step 'charge' is there twice"):
            shop.value(self.again(shop, work).s())
        for name in ("", 5):
            with pytest.raises(ValueError, match="known by its name"):
                shop.value(self.again(shop, lambda task, name=name: task.step(name, int)).s())
            del shop.app.tasks["stepping"]

    def test_each_job_has_its_own(self, shop: Shop) -> None:
        task = self.again(shop, lambda task: task.step("id", lambda: task.request.id))
        results = [task.delay(), task.delay()]
        shop.drive.run()
        assert [each.get() for each in results] == [each.id for each in results]

    def test_a_replacement_has_its_own(self, shop: Shop) -> None:
        task = self.again(shop, lambda task: task.step("s", lambda: "second"))

        def begins(self: Any) -> Any:
            self.step("s", lambda: "first")
            return self.replace(task.s())

        assert shop.value(shop.bound(begins).s()) == "second"

    def test_an_async_one(self, shop: Shop) -> None:
        async def fetch(x: int) -> int:
            await asyncio.sleep(0)
            shop.calls.append(x)
            return x + 1

        async def stepping(self: Any) -> Any:
            pair = await asyncio.gather(self.step("a", fetch, 1), self.step("b", fetch, 2))
            pair.append(await self.step("c", lambda: fetch(3)))
            if not self.request.retries:
                raise self.retry(countdown=0)
            return pair

        assert shop.value(shop.bound(stepping).s()) == [2, 3, 4]
        assert sorted(shop.calls) == [1, 2, 3]

    def test_an_async_one_that_failed(self, shop: Shop) -> None:
        async def fetch() -> str:
            shop.calls.append(1)
            if len(shop.calls) == 1:
                raise OSError("no net")
            return "here"

        async def stepping(self: Any) -> Any:
            return await self.step("a", fetch)

        task = shop.task(
            stepping, "stepping", bind=True, autoretry_for=(OSError,), retry_kwargs={"countdown": 0}
        )
        assert shop.value(task.s()) == "here"

    def test_one_that_is_too_large(self, shop: Shop) -> None:
        shop.app.conf.result_max_size = 100
        with pytest.raises(ResultTooLarge, match="step 'big' returned 202 bytes"):
            shop.value(self.again(shop, lambda task: task.step("big", lambda: "x" * 200)).s())

    def test_a_signed_one_cannot_be_swapped(self, shop: Shop) -> None:
        shop.app.conf.update(
            task_serializer="signed", result_serializer="signed", accept_content=["signed"],
            security_key="k" * 32,
        )  # fmt: skip
        task = self.again(shop, lambda task: [task.step("a", lambda: 1), task.step("b", int)])
        shop.drive = Drive(shop.app)  # with a codec that signs
        result = task.delay()
        shop.drive.run(attempts=1)
        with closing(sqlite3.connect(shop.app.path)) as file, file:
            (texts,) = file.execute(
                "SELECT json_group_array(result) FROM litequeue_step"
            ).fetchone()
            file.execute(
                "UPDATE litequeue_step SET result = (SELECT result FROM litequeue_step AS other "
                "WHERE other.name = 'b') WHERE name = 'a'"
            )
        assert texts.count('"!') == 2
        shop.drive.run()
        with pytest.raises(SecurityError):
            result.get()

    def test_a_zombie_remembers_nothing(self, shop: Shop) -> None:
        def work(task: Any) -> Any:
            with closing(sqlite3.connect(shop.app.path)) as file, file:
                file.execute("UPDATE litequeue_job SET token = token + 1")
            return task.step("a", shop.calls.append, 1)

        result = self.again(shop, work).delay()
        shop.drive.run(attempts=1)
        assert shop.calls == [1]
        assert shop.app.store.steps_of(result.id) == {}

    def test_here_and_now(self, shop: Shop) -> None:
        task = self.again(shop, lambda task: task.step("a", lambda: [shop.calls.append(1), 5][1]))
        assert task.apply().get() == 5
        assert shop.calls == [1]

    def test_outside_a_job(self, shop: Shop) -> None:
        def stepping(self: Any) -> Any:
            return [self.step("a", lambda: 1), self.step("a", lambda: 2)]

        assert shop.bound(stepping)() == [1, 2]


class TestProgress:
    def test_it_is_shown(self, shop: Shop) -> None:
        def work(self: Any) -> None:
            result = shop.app.AsyncResult(self.request.id)
            for told in ({"current": 5, "total": 40}, {"current": 7}, {"current": 0, "total": 0}):
                self.set_progress(**told, file="a.csv")
                shop.calls.append((result.state, result.info))

        shop.value(shop.bound(work).s())
        assert [state for state, _ in shop.calls] == ["PROGRESS"] * 3
        assert [info for _, info in shop.calls] == [
            {"current": 5, "total": 40, "percent": 12.5, "file": "a.csv"},
            {"current": 7, "total": None, "percent": None, "file": "a.csv"},
            {"current": 0, "total": 0, "percent": None, "file": "a.csv"},
        ]

    def test_outside_a_job(self, shop: Shop) -> None:
        task = shop.task(lambda self: self.set_progress(1, 2), "work", bind=True)
        assert task() is None
