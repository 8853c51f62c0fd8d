from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from litequeue import fork_gate


class Handle:
    """Something to close before a fork."""

    def __init__(self, answer: bool | Exception = True) -> None:
        self.answer = answer
        self.told: list[object] = []

    def close_for_fork(self, patience: float) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def resume_in_parent(self) -> None:
        self.told.append("resumed")

    def resume_in_child(self, clean: bool) -> None:
        self.told.append(clean)


@pytest.fixture(autouse=True)
def _other_handles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fork_gate, "_handles", weakref.WeakSet())
    monkeypatch.setattr(fork_gate, "_lock", threading.RLock())
    yield
    fork_gate._forking.__dict__.clear()


def in_another_thread(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def guarded(*answers: bool | Exception) -> list[Handle]:
    handles = [Handle(answer) for answer in answers]
    for handle in handles:
        fork_gate.guard(handle)
    return handles


def test_only_what_was_closed_is_resumed_in_the_parent() -> None:
    clean, busy = guarded(True, False)
    fork_gate._before()
    fork_gate._parent()
    assert (clean.told, busy.told) == (["resumed"], [])


def test_the_child_hears_which_closings_were_clean() -> None:
    clean, busy = guarded(True, False)
    fork_gate._before()
    fork_gate._child()
    assert (clean.told, busy.told) == ([True], [False])


def test_what_a_failing_hook_left_open_is_not_clean() -> None:
    handles = guarded(*[RuntimeError("no")] * 3)
    with pytest.raises(RuntimeError, match="no"):
        fork_gate._before()
    fork_gate._child()
    assert [handle.told for handle in handles] == [[False]] * 3


def test_a_failing_hook_does_not_shut_the_gate_in_the_parent() -> None:
    handles = guarded(RuntimeError("no"))
    with pytest.raises(RuntimeError, match="no"):
        fork_gate._before()
    fork_gate._parent()
    late = Handle()
    in_another_thread(lambda: fork_gate.guard(late)).join(10)
    assert late in fork_gate._handles
    assert [handle.told for handle in handles] == [[]]


def test_a_handle_that_is_made_during_a_fork_is_made_after_it() -> None:
    late = Handle()
    fork_gate._before()
    thread = in_another_thread(lambda: fork_gate.guard(late))
    thread.join(0.05)
    assert late not in fork_gate._handles
    fork_gate._parent()
    thread.join(10)
    assert late in fork_gate._handles


def test_a_child_does_not_wait_for_threads_it_does_not_have() -> None:
    fork_gate._before()
    inherited = fork_gate._lock
    fork_gate._child()
    late = Handle()
    thread = in_another_thread(lambda: fork_gate.guard(late))
    thread.join(10)
    made = late in fork_gate._handles
    inherited.release()
    thread.join(10)
    assert made


def test_a_fork_waits_for_a_first_use_in_another_thread() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def use() -> None:
        with fork_gate.first_use():
            inside.set()
            go_on.wait(10)

    def fork() -> None:
        fork_gate._before()
        fork_gate._parent()

    using = in_another_thread(use)
    assert inside.wait(10)
    forking = in_another_thread(fork)
    forking.join(0.05)
    assert forking.is_alive()
    go_on.set()
    for thread in (using, forking):
        thread.join(10)
        assert not thread.is_alive()
