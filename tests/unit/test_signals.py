from __future__ import annotations

import functools
import gc
import logging
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from litequeue import signals
from litequeue.signals import Signal, UnsentSignal, connected
from tests.conftest import FakeClock
from tests.docs.pages import reference

_CELERYS = (
    "before_task_publish after_task_publish task_sent task_received task_prerun task_postrun "
    "task_success task_retry task_failure task_internal_error task_revoked task_rejected "
    "task_unknown celeryd_init celeryd_after_setup import_modules worker_init "
    "worker_before_create_process worker_process_init worker_process_shutdown worker_ready "
    "worker_shutdown worker_shutting_down heartbeat_sent setup_logging after_setup_logger "
    "after_setup_task_logger beat_init beat_embedded_init user_preload_options "
    "eventlet_pool_started eventlet_pool_preshutdown eventlet_pool_postshutdown eventlet_pool_apply"
)
_UNSENT = (
    "task_sent user_preload_options "
    "eventlet_pool_started eventlet_pool_preshutdown eventlet_pool_postshutdown eventlet_pool_apply"
)
CELERYS, UNSENT = _CELERYS.split(), _UNSENT.split()


@pytest.fixture
def signal() -> Signal:
    return Signal("something", ["a", "b"])


class Recorder:
    """A receiver that remembers; ``heard`` is also a bound method to connect."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def heard(self, **named: Any) -> str:
        self.calls.append(named)
        return "heard"


class TestConnecting:
    def test_a_receiver_gets_the_signal_the_sender_and_the_arguments(self, signal: Signal) -> None:
        recorder = Recorder()
        signal.connect(recorder.heard)
        assert signal.send("somebody", a=1, b=2) == [(recorder.heard, "heard")]
        assert recorder.calls == [{"signal": signal, "sender": "somebody", "a": 1, "b": 2}]

    def test_as_a_decorator_with_and_without_arguments(self, signal: Signal) -> None:
        heard = []

        @signal.connect
        def bare(a: int, **_: Any) -> None:
            heard.append(("bare", a))

        @signal.connect()
        def called(a: int, **_: Any) -> None:
            heard.append(("called", a))

        @signal.connect(sender="me", weak=False)
        def narrowed(a: int, **_: Any) -> None:
            heard.append(("narrowed", a))

        signal.send("me", a=1)
        signal.send(sender="you", a=2)
        assert heard == [("bare", 1), ("called", 1), ("narrowed", 1), ("bare", 2), ("called", 2)]
        bare(3)  # the decorated name is still the function
        assert heard[-1] == ("bare", 3)

    def test_the_same_receiver_connects_once_for_a_sender(self, signal: Signal) -> None:
        recorder = Recorder()
        for _ in range(2):
            signal.connect(recorder.heard)
            signal.connect(recorder.heard, sender="me")
        assert len(signal.send("you")) == 1
        assert len(signal.send("me")) == 2

    def test_a_dispatch_uid_connects_once_what_comes_as_several_objects(
        self, signal: Signal
    ) -> None:
        first, second = Recorder(), Recorder()
        signal.connect(first.heard, dispatch_uid="it")
        signal.connect(second.heard, dispatch_uid="it")
        signal.send(None)
        assert (len(first.calls), len(second.calls)) == (1, 0)
        assert signal.disconnect(dispatch_uid="it")
        assert not signal.receivers

    def test_methods_of_two_objects_are_two_receivers(self, signal: Signal) -> None:
        first, second = Recorder(), Recorder()
        signal.connect(first.heard)
        signal.connect(second.heard)
        assert signal.disconnect(first.heard)
        signal.send(None)
        assert (len(first.calls), len(second.calls)) == (0, 1)

    def test_disconnecting_says_whether_there_was_one(self, signal: Signal) -> None:
        recorder = Recorder()
        signal.connect(recorder.heard, sender="me")
        assert not signal.disconnect(recorder.heard)
        assert not signal.disconnect(recorder.heard, sender="you")
        assert signal.disconnect(recorder.heard, sender="me")
        assert not signal.disconnect(recorder.heard, sender="me")
        assert signal.send("me") == []

    @pytest.mark.parametrize(
        "receiver",
        [lambda: None, lambda a: None, lambda *a: None, functools.partial(lambda a: None)],
        ids=["nothing", "one", "args", "partial"],
    )
    def test_a_receiver_without_kwargs_is_refused(
        self, signal: Signal, receiver: Callable[..., Any]
    ) -> None:
        with pytest.raises(ValueError, match=r"must take \*\*kwargs"):
            signal.connect(receiver, weak=False)
        assert not signal.receivers

    def test_what_cannot_be_called_is_refused(self, signal: Signal) -> None:
        with pytest.raises(TypeError, match="not 'task'"):
            signal.connect("task")  # type: ignore[call-overload]  # that is the point

    @pytest.mark.parametrize("kind", ["partial", "object"])
    def test_anything_that_takes_kwargs_may_be_called(self, signal: Signal, kind: str) -> None:
        recorder = Recorder()

        class Callee:
            def __call__(self, **named: Any) -> None:
                recorder.heard(**named)

        receiver = functools.partial(recorder.heard) if kind == "partial" else Callee()
        signal.connect(receiver)
        signal.send(None)
        assert len(recorder.calls) == 1


class TestSenders:
    def test_none_hears_all(self, signal: Signal) -> None:
        recorder = Recorder()
        signal.connect(recorder.heard)
        for sender in ("tasks.add", object(), None):
            signal.send(sender)
        assert len(recorder.calls) == 3

    def test_by_identity_and_by_equality(self, signal: Signal) -> None:
        recorder, task = Recorder(), object()
        signal.connect(recorder.heard, sender=task)
        signal.connect(recorder.heard, sender="tasks.add")
        signal.send(object())
        signal.send("tasks.mul")
        signal.send(None)
        assert recorder.calls == []
        signal.send(task)
        signal.send("".join(["tasks", ".add"]))
        assert [call["sender"] for call in recorder.calls] == [task, "tasks.add"]

    def test_an_object_that_equals_nothing_is_still_itself(self, signal: Signal) -> None:
        sender, recorder = float("nan"), Recorder()
        signal.connect(recorder.heard, sender=sender)
        signal.connect(recorder.heard, sender=sender)
        assert len(signal.send(sender)) == 1

    def test_listeners_are_those_whom_a_send_would_call(self, signal: Signal) -> None:
        recorder = Recorder()
        assert not signal.has_listeners("me")
        signal.connect(recorder.heard, sender="me")
        assert signal.has_listeners("me")
        assert not signal.has_listeners("you")
        assert not signal.has_listeners()


class TestReferences:
    def test_a_dead_function_is_no_receiver(self, signal: Signal) -> None:
        def receiver(**_: Any) -> None: ...

        signal.connect(receiver)
        assert signal.receivers
        del receiver
        gc.collect()
        assert not signal.receivers
        assert signal.send(None) == []

    def test_a_bound_method_lives_as_long_as_its_object(self, signal: Signal) -> None:
        recorder = Recorder()
        signal.connect(recorder.heard)
        gc.collect()
        assert len(signal.send(None)) == 1
        del recorder
        gc.collect()
        assert not signal.receivers

    def test_a_strong_reference_keeps_it(self, signal: Signal) -> None:
        heard = []
        signal.connect(lambda **_: heard.append(1), weak=False)
        gc.collect()
        signal.send(None)
        assert heard == [1]

    def test_a_receiver_that_dies_while_others_run_is_left_out(self, signal: Signal) -> None:
        recorders = [Recorder(), Recorder()]

        @signal.connect
        def first(**_: Any) -> None:
            recorders.pop()
            gc.collect()

        signal.connect(recorders[0].heard)
        signal.connect(recorders[1].heard)
        assert [receiver for receiver, _ in signal.send(None)] == [first, recorders[0].heard]


class TestErrors:
    def test_an_error_is_logged_with_its_traceback_and_stops_nobody(
        self, signal: Signal, caplog: pytest.LogCaptureFixture
    ) -> None:
        error, recorder = RuntimeError("no"), Recorder()

        @signal.connect
        def broken(**_: Any) -> None:
            raise error

        signal.connect(recorder.heard)
        assert signal.send_robust("me") == [(broken, error), (recorder.heard, "heard")]
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert "something" in record.getMessage()
        assert "broken" in record.getMessage()
        assert record.exc_info
        assert record.exc_info[1] is error

    def test_an_interrupt_is_no_error_of_a_receiver(self, signal: Signal) -> None:
        @signal.connect
        def interrupted(**_: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            signal.send(None)

    def test_retry_calls_again_until_it_works(
        self, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        signal = Signal("something", clock=clock)
        calls = []

        def stubborn(a: int, **_: Any) -> str:
            calls.append(a)
            if len(calls) < 20:
                raise ConnectionError("not yet")
            return "at last"

        signal.connect(stubborn, retry=True)
        [(_, response)] = signal.send(None, a=7)
        assert response == "at last"
        assert calls == [7] * 20
        assert clock.slept == [*range(2, 33, 2), 32, 32, 32]
        assert len(caplog.records) == 19
        assert signal.disconnect(stubborn)  # found by the function that was connected

    def test_a_retried_receiver_is_kept(self, signal: Signal) -> None:
        signal.connect(lambda **_: None, retry=True)
        gc.collect()
        assert len(signal.send(None)) == 1


class NoticingLock:
    """A lock that tells when somebody has to wait for it."""

    def __init__(self, waited_for: threading.Event) -> None:
        self._lock = threading.RLock()
        self._waited_for = waited_for

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._waited_for.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("step", ["Connection", "_same"], ids=["connect", "disconnect"])
def test_what_two_threads_change_at_once_is_not_lost(
    signal: Signal, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of one change another thread begins, and ends or waits for the first."""
    first, second, third = Recorder(), Recorder(), Recorder()
    signal.connect(first.heard)
    came_so_far = threading.Event()
    signal._lock = NoticingLock(came_so_far)  # type: ignore[assignment]  # as good as an RLock

    def connect_another() -> None:
        signal.connect(second.heard)
        came_so_far.set()

    thread, real_step = threading.Thread(target=connect_another), getattr(signals, step)

    def interrupted(*args: Any) -> Any:
        if thread.ident is None:
            thread.start()
            assert came_so_far.wait(timeout=10)
        return real_step(*args)

    monkeypatch.setattr(signals, step, interrupted)
    if step == "Connection":
        signal.connect(third.heard)
    else:
        signal.disconnect(first.heard)
    thread.join()
    assert signal.disconnect(second.heard)
    assert len(signal.receivers) == (2 if step == "Connection" else 0)


class TestNames:
    def test_all_of_celerys_are_there(self) -> None:
        assert {signal.name for signal in signals.ALL} == set(CELERYS)
        assert all(getattr(signals, name).name == name for name in CELERYS)

    @pytest.mark.parametrize("name", UNSENT)
    def test_nobody_can_wait_for_one_that_is_never_sent(self, name: str) -> None:
        recorder = Recorder()
        for connect in (getattr(signals, name).connect, getattr(signals, name).connect(sender=1)):
            with pytest.raises(NotImplementedError, match=rf"does not send {name}: "):
                connect(recorder.heard)
        assert name not in connected()

    def test_the_rest_can_be_connected(self) -> None:
        unsent = {signal.name for signal in signals.ALL if isinstance(signal, UnsentSignal)}
        assert unsent == set(UNSENT)

    def test_connected_names_the_signals_with_receivers(self) -> None:
        before, recorder = connected(), Recorder()
        signals.task_success.connect(recorder.heard)
        signals.worker_ready.connect(recorder.heard)
        assert connected() == before | {"task_success", "worker_ready"}
        del recorder
        gc.collect()
        assert connected() == before

    def test_the_reference_has_a_row_with_the_arguments_of_each(self) -> None:
        page = reference("signals").text
        rows = dict(
            re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \| [^|]* \| [^|]* \|$", page, re.M)
        )
        sent = {signal.name: signal for signal in signals.ALL if signal.name not in UNSENT}
        assert rows.keys() == sent.keys()
        for name, signal in sent.items():
            assert set(re.findall(r"`(\w+)`", rows[name])) == signal.providing_args
        assert all(f"`{name}`" in page for name in UNSENT)

    def test_a_signal_shows_its_name_and_arguments(self, signal: Signal) -> None:
        assert repr(signal) == "<Signal something(a, b)>"
