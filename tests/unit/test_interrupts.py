"""Where a soft time limit strikes: in user code, once, and never inside the library's sections."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from litequeue import interrupts
from litequeue.exceptions import SoftTimeLimitExceeded
from litequeue.interrupts import (
    Guard,
    SignalGuard,
    TaskGuard,
    ThreadGuard,
    critical,
    drive,
    is_guarded,
)
from litequeue.interrupts.guards import way_out

TOKEN = 7


def in_another_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def strike(guard: Guard) -> None:
    """Interrupt as the enforcer of this guard's pool does."""
    if isinstance(guard, ThreadGuard):
        in_another_thread(lambda: guard.interrupt(TOKEN))
    else:
        guard.interrupt(TOKEN)


@pytest.fixture(params=[SignalGuard, ThreadGuard])
def guard(request: pytest.FixtureRequest) -> Iterator[Guard]:
    guard: Guard = request.param()
    yield guard
    guard.end()


class TestUserCode:
    def test_is_interrupted(self, guard: Guard) -> None:
        guard.begin(TOKEN)
        with pytest.raises(SoftTimeLimitExceeded):
            strike(guard)
        assert guard.has_raised

    def test_once(self, guard: Guard) -> None:
        guard.begin(TOKEN)
        with pytest.raises(SoftTimeLimitExceeded):
            strike(guard)
        strike(guard)
        assert guard.interrupt(TOKEN) is False

    def test_once_per_attempt(self, guard: Guard) -> None:
        for token in (6, TOKEN):
            guard.begin(token)
            if token == TOKEN:
                with pytest.raises(SoftTimeLimitExceeded):
                    strike(guard)
            guard.end()

    def test_of_another_attempt_is_left_alone(self, guard: Guard) -> None:
        guard.begin(TOKEN + 1)
        strike(guard)
        assert guard.interrupt(TOKEN) is False

    @pytest.mark.parametrize("begun", [False, True])
    def test_outside_of_it_nothing_is_raised(self, guard: Guard, begun: bool) -> None:
        if begun:
            guard.begin(TOKEN)
            guard.end()
        strike(guard)
        assert not is_guarded()

    def test_knows_that_it_is_guarded(self, guard: Guard) -> None:
        guard.begin(TOKEN)
        assert is_guarded()
        seen: list[bool] = []
        in_another_thread(lambda: seen.append(is_guarded()))
        assert seen == [False]
        guard.end()
        assert not is_guarded()


class TestCriticalSections:
    def test_are_finished_first(self, guard: Guard) -> None:
        done: list[str] = []

        def work() -> None:
            with critical():
                with critical():
                    strike(guard)
                    done.append("inner")
                done.append("outer")
            done.append("after")

        guard.begin(TOKEN)
        with pytest.raises(SoftTimeLimitExceeded):
            work()
        assert done == ["inner", "outer"]
        with critical():
            pass  # it is not raised again

    def test_an_error_inside_is_the_context_of_the_limit(self, guard: Guard) -> None:
        def work() -> None:
            with critical():
                strike(guard)
                raise KeyError("mine")

        guard.begin(TOKEN)
        with pytest.raises(SoftTimeLimitExceeded) as caught:
            work()
        assert isinstance(caught.value.__context__, KeyError)

    def test_what_came_too_late_is_dropped(self, guard: Guard) -> None:
        guard.begin(TOKEN)
        section = interrupts.hold()
        strike(guard)
        guard.end()
        guard.begin(TOKEN + 1)
        with critical():
            pass
        assert section is guard
        assert not guard.has_raised

    def test_that_only_wait_can_be_left(self, guard: Guard) -> None:
        guard.begin(TOKEN)
        interrupts.hold()
        interrupts.relieve()
        strike(guard)
        with pytest.raises(SoftTimeLimitExceeded):
            interrupts.relieve()
        guard.let_go()

    def test_inside_of_others_they_cannot(self, guard: Guard) -> None:
        reached: list[bool] = []

        def work() -> None:
            with critical():
                strike(guard)
                with critical():
                    interrupts.relieve()
                reached.append(True)

        guard.begin(TOKEN)
        with pytest.raises(SoftTimeLimitExceeded):
            work()
        assert reached

    def test_without_a_guard_they_are_nothing(self) -> None:
        assert interrupts.hold() is None
        interrupts.relieve()
        with critical():
            pass


class Sending(ThreadGuard):
    """Has its exception arrive while a section begins: it was sent before."""

    def send_late(self) -> None:
        self._sent = True
        self._raised = True
        self._send()


class TestThreads:
    def test_what_was_sent_before_a_section_strikes_before_it(self) -> None:
        """CPython delivers between two bytecodes: here the next ones are those of `hold`."""
        guard = Sending()
        reached: list[str] = []

        def work() -> None:
            guard.send_late()
            with critical():
                reached.append("too far")

        guard.begin(TOKEN)
        with pytest.raises(SoftTimeLimitExceeded):
            work()
        with critical():
            reached.append("after")
        assert reached == ["after"]
        guard.end()

    def test_a_section_waits_for_who_is_sending(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever sends has looked at the depth already, and the thread does not know."""
        guard = ThreadGuard()
        guard.begin(TOKEN)
        guard._sending.acquire()
        guard._sent = True
        waits = threading.Event()
        monkeypatch.setattr(
            interrupts.guards, "SYSTEM", SimpleNamespace(sleep=lambda _: waits.set())
        )

        def send() -> None:
            assert waits.wait(10)
            guard._send()
            guard._sending.release()

        thread = threading.Thread(target=send)
        thread.start()
        entered = False
        with pytest.raises(SoftTimeLimitExceeded), critical():
            entered = True
        thread.join()
        assert not entered
        guard.end()

    def test_what_is_sent_at_the_end_is_swallowed_there(self) -> None:
        guard = Sending()
        guard.begin(TOKEN)
        try:
            guard.send_late()
            guard.end()
        except SoftTimeLimitExceeded:  # as the executor does
            guard.end()
        for _ in range(3):
            pass
        assert not guard._sent

    def test_a_thread_that_is_gone_is_told_nothing(self) -> None:
        guard = ThreadGuard()
        in_another_thread(lambda: guard.begin(TOKEN))
        assert guard.interrupt(TOKEN)  # it was running, as far as anybody knows
        assert guard.interrupt(TOKEN) is False


class TestDelicateMoments:
    def frame_in(self, module: str, name: str = "function") -> types.FrameType:
        """Return a frame of a function of ``module`` that was called from here."""
        space: dict[str, Any] = {"__name__": module, "sys": sys}
        exec(f"def {name}(): return sys._getframe()", space)
        frame: types.FrameType = space[name]()
        return frame

    @pytest.mark.parametrize(
        ("module", "name", "expected"),
        [
            ("mine", "function", False),
            ("logging", "emit", True),
            ("logging.handlers", "emit", True),
            ("loggingx", "emit", False),
            ("importlib._bootstrap", "_load", True),
            ("mine", "__del__", True),
            ("litequeue.store", "enqueue", True),
            ("litequeue.serialization.codec", "_read", True),
            ("litequeue.task", "__call__", False),
            ("litequeue.store.wakeup", "wait", False),
            ("threading", "wait", False),
        ],
    )
    def test_are_known_by_where_the_thread_is(self, module: str, name: str, expected: bool) -> None:
        assert (way_out(self.frame_in(module, name)) is not None) is expected

    def test_user_code_that_is_called_in_one_is_one(self) -> None:
        seen: list[bool] = []
        space: dict[str, Any] = {"__name__": "litequeue.signals"}
        exec("def send(receiver): receiver()", space)
        space["send"](lambda: seen.append(way_out(sys._getframe()) is not None))
        assert seen == [True]

    def test_a_job_that_runs_inside_of_another_is_judged_alone(self) -> None:
        seen: list[bool] = []
        outer: dict[str, Any] = {"__name__": "litequeue.signals"}
        inner: dict[str, Any] = {"__name__": "litequeue.worker.executor"}
        for space in (outer, inner):
            exec("def call(function): function()", space)
        outer["call"](
            lambda: inner["call"](lambda: seen.append(way_out(sys._getframe()) is not None))
        )
        assert seen == [False]

    def test_what_it_comes_back_to_is_struck(self) -> None:
        guard = SignalGuard()
        reached: list[str] = []

        class Struck(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                assert guard.interrupt(TOKEN, sys._getframe())
                reached.append(record.getMessage())

        logger = logging.getLogger("tests.interrupts")
        handler = Struck()
        logger.addHandler(handler)

        def work() -> None:
            logger.warning("whole")
            reached.append("too far")

        guard.begin(TOKEN)
        with pytest.raises(SoftTimeLimitExceeded):
            work()
        guard.end()
        logger.removeHandler(handler)
        assert reached == ["whole"]
        assert sys.gettrace() is None

    def test_a_job_that_ends_in_one_is_left_alone(self) -> None:
        guard = SignalGuard()
        guard.begin(TOKEN)
        assert guard.interrupt(TOKEN, self.frame_in("logging"))
        guard.end()
        assert sys.gettrace() is None

    @pytest.fixture
    def _traced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have a debugger in the process."""
        monkeypatch.setattr(sys, "gettrace", lambda: print)
        monkeypatch.setattr(signal, "getsignal", lambda number: strike)

    @pytest.mark.usefixtures("_traced")
    def test_a_signal_comes_again_when_it_is_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        guard = SignalGuard()
        again = threading.Event()
        monkeypatch.setattr(interrupts.guards, "_signal_soon", lambda thread: again.set())
        guard.begin(TOKEN)
        assert guard.interrupt(TOKEN, self.frame_in("logging"))
        assert again.wait(10)
        with pytest.raises(SoftTimeLimitExceeded):
            guard.interrupt(TOKEN, sys._getframe())
        guard.end()

    @pytest.mark.usefixtures("_traced")
    def test_nobody_can_hide_in_one_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interrupts.guards, "_signal_soon", lambda thread: None)
        guard = SignalGuard()
        guard.begin(TOKEN)
        for _ in range(interrupts.guards._TRIES):
            guard.interrupt(TOKEN, self.frame_in("logging"))
        with pytest.raises(SoftTimeLimitExceeded):
            guard.interrupt(TOKEN, self.frame_in("logging"))
        guard.end()

    def test_a_thread_is_left_alone_while_it_logs(self) -> None:
        guard = ThreadGuard()
        logged: list[str] = []
        inside, leave = threading.Event(), threading.Event()

        class Slow(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                inside.set()
                leave.wait(10)
                logged.append(record.getMessage())

        logger = logging.getLogger("tests.interrupts")
        handler = Slow()
        logger.addHandler(handler)
        told: list[bool | None] = []

        def enforce() -> None:
            inside.wait(10)
            told.append(guard.interrupt(TOKEN))
            leave.set()
            while told[-1] is None:
                time.sleep(interrupts.guards.SOON)
                told.append(guard.interrupt(TOKEN))

        enforcer = threading.Thread(target=enforce)

        def work() -> None:
            enforcer.start()
            logger.warning("whole")
            enforcer.join()

        guard.begin(TOKEN)
        with pytest.raises(SoftTimeLimitExceeded):
            work()
        guard.end()
        logger.removeHandler(handler)
        assert (logged, told[0], told[-1]) == (["whole"], None, True)


# Coroutines


def run(
    function: Callable[[Callable[[], object]], Coroutine[Any, Any, Any]], kind: type[Guard]
) -> tuple[Any, BaseException | None]:
    """Drive ``function(strike)`` on a loop of its own."""
    guard = kind()

    async def main() -> tuple[Any, BaseException | None]:
        guard.begin(TOKEN, awaits=True)
        try:
            result = await drive(function(lambda: guard.interrupt(TOKEN)), guard)
        finally:
            guard.end()
        await asyncio.sleep(0)  # what came too late would strike here
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert len(asyncio.all_tasks()) == 1, "what it started is over, too"
        return result

    return asyncio.run(main())


@pytest.fixture(params=[SignalGuard, TaskGuard, ThreadGuard])
def kind(request: pytest.FixtureRequest) -> type[Guard]:
    kind: type[Guard] = request.param
    return kind


Strike = Callable[[], object]


class TestCoroutines:
    def test_returns_and_raises_as_await_does(self, kind: type[Guard]) -> None:
        async def returns(_: Strike) -> int:
            await asyncio.sleep(0)
            return 1

        async def fails(_: Strike) -> None:
            await asyncio.sleep(0)
            raise KeyError("mine")

        assert run(returns, kind) == (1, None)
        assert isinstance(run(fails, kind)[1], KeyError)

    def test_what_it_awaits_may_raise_and_be_caught(self, kind: type[Guard]) -> None:
        async def fails() -> None:
            await asyncio.sleep(0)
            raise KeyError("mine")

        async def catches(_: Strike) -> str:
            try:
                await asyncio.create_task(fails())
            except KeyError:
                return "caught"
            return ""

        assert run(catches, kind) == ("caught", None)

    def test_is_interrupted_where_it_awaits(self, kind: type[Guard]) -> None:
        async def cleans_up(strike: Strike) -> str:
            strike()
            try:
                await asyncio.sleep(3600)
            except SoftTimeLimitExceeded as error:
                async with asyncio.timeout(3600):
                    await asyncio.sleep(0)
                return type(error).__name__
            return ""

        assert run(cleans_up, kind) == ("SoftTimeLimitExceeded", None)

    def test_once(self, kind: type[Guard]) -> None:
        async def cleans_up(strike: Strike) -> str:
            strike()
            try:
                await asyncio.sleep(3600)
            except SoftTimeLimitExceeded:
                strike()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return "clean"

        assert run(cleans_up, kind) == ("clean", None)

    def test_what_escapes_is_the_plain_exception(self, kind: type[Guard]) -> None:
        async def escapes(strike: Strike) -> None:
            strike()
            await asyncio.sleep(3600)

        _, error = run(escapes, kind)
        assert type(error) is SoftTimeLimitExceeded
        assert not isinstance(error, asyncio.CancelledError)
        assert error.__traceback__ is not None

    def test_a_task_group_ends_its_tasks(self, kind: type[Guard]) -> None:
        ended: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                ended.append("child")
                raise

        async def waits_for_its_end(strike: Strike) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await asyncio.sleep(0)
                strike()

        async def awaits_inside(strike: Strike) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await asyncio.sleep(0)
                strike()
                await asyncio.sleep(3600)

        async def catches(strike: Strike) -> str:
            try:
                await awaits_inside(strike)
            except* SoftTimeLimitExceeded:
                ended.append("caught")
            return "clean"

        for function in (waits_for_its_end, awaits_inside):
            assert type(run(function, kind)[1]) is SoftTimeLimitExceeded
        assert run(catches, kind) == ("clean", None)
        assert ended == ["child", "child", "child", "caught"]

    def test_what_else_went_wrong_in_a_group_is_kept(self, kind: type[Guard]) -> None:
        async def fails() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                raise KeyError("mine")

        async def groups(strike: Strike) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await asyncio.sleep(0)
                strike()
                await asyncio.sleep(3600)

        _, error = run(groups, kind)
        assert isinstance(error, ExceptionGroup)
        assert error.subgroup(KeyError) is not None

    def test_gather_ends_its_tasks(self, kind: type[Guard]) -> None:
        ended: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append("child")

        async def gathers(strike: Strike) -> None:
            asyncio.get_running_loop().call_later(0, strike)
            await asyncio.gather(child(), child())

        assert type(run(gathers, kind)[1]) is SoftTimeLimitExceeded
        assert ended == ["child", "child"]

    def test_a_timeout_around_it_does_not_claim_it(self, kind: type[Guard]) -> None:
        async def hurries(strike: Strike) -> str:
            try:
                async with asyncio.timeout(3600):
                    strike()
                    await asyncio.sleep(3600)
            except TimeoutError:
                return "timeout"
            except SoftTimeLimitExceeded:
                return "limit"
            return ""

        assert run(hurries, kind) == ("limit", None)

    def test_timeouts_of_its_own_go_on_working(self, kind: type[Guard]) -> None:
        async def hurries(_: Strike) -> str:
            try:
                async with asyncio.timeout(0):
                    await asyncio.sleep(3600)
            except TimeoutError:
                return "timeout"
            return ""

        assert run(hurries, kind) == ("timeout", None)

    def test_a_cancellation_that_was_swallowed_leaves_no_trace(self, kind: type[Guard]) -> None:
        async def swallows() -> str:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return "never mind"
            return ""

        async def awaits(strike: Strike) -> str:
            asyncio.get_running_loop().call_later(0, strike)
            return await asyncio.create_task(swallows())

        assert run(awaits, kind) == ("never mind", None)

    @pytest.mark.parametrize("kind", [SignalGuard, ThreadGuard])
    def test_what_came_before_it_began_strikes_at_its_first_await(self, kind: type[Guard]) -> None:
        guard = kind()

        async def sleeps() -> None:
            await asyncio.sleep(3600)

        guard.begin(TOKEN, awaits=True)
        strike(guard)
        _, error = asyncio.run(drive(sleeps(), guard))
        guard.end()
        assert type(error) is SoftTimeLimitExceeded

    def test_what_comes_after_its_end_is_dropped(self, kind: type[Guard]) -> None:
        guard = kind()

        async def returns() -> int:
            return 1

        guard.begin(TOKEN, awaits=True)
        assert asyncio.run(drive(returns(), guard)) == (1, None)
        strike(guard)
        guard.end()
        assert not guard.has_raised

    def test_one_that_ends_before_its_loop_could_tell_it(self, kind: type[Guard]) -> None:
        async def returns(strike: Strike) -> int:
            strike()
            return 1

        assert run(returns, kind) == (1, None)

    def test_somebody_elses_cancellation_is_passed_on(self, kind: type[Guard]) -> None:
        guard = kind()

        async def sleeps() -> None:
            await asyncio.sleep(3600)

        async def main() -> None:
            guard.begin(TOKEN, awaits=True)
            task = asyncio.create_task(drive(sleeps(), guard))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            guard.end()

        asyncio.run(main())

    def test_its_own_cancelled_error_is_what_it_raised(self, kind: type[Guard]) -> None:
        async def raises(_: Strike) -> None:
            raise asyncio.CancelledError

        assert type(run(raises, kind)[1]) is asyncio.CancelledError

    def test_one_that_does_not_listen_is_struck_by_the_second_signal(self) -> None:
        async def computes(strike: Strike) -> None:
            strike()  # its loop would tell it, but it does not await
            strike()

        _, error = run(computes, SignalGuard)
        assert type(error) is SoftTimeLimitExceeded

    def test_and_is_not_told_again_by_its_loop(self) -> None:
        async def computes(strike: Strike) -> str:
            strike()
            try:
                strike()
            except SoftTimeLimitExceeded:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return "clean"

        assert run(computes, SignalGuard) == ("clean", None)

    def test_of_a_line_may_run_in_a_thread_meanwhile(self) -> None:
        guard = TaskGuard()
        guard.thread.begin(TOKEN)
        with pytest.raises(SoftTimeLimitExceeded):
            in_another_thread(lambda: guard.interrupt(TOKEN))
        guard.thread.end()
        assert guard.interrupt(TOKEN) is False
