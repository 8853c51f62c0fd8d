"""Soft time limits: an exception raised in user code from outside, and in nothing else.

Each line has a guard, which knows when user code runs on it.  The library's own critical sections
hold the guard, so that no transaction stays open and no lock stays taken; what comes meanwhile is
raised when the outermost section is left.  When to interrupt is decided elsewhere.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Coroutine, Generator
from types import FrameType, TracebackType, coroutine
from typing import TYPE_CHECKING, Any, Final

from litequeue.clock import SYSTEM
from litequeue.exceptions import SoftTimeLimitExceeded

if TYPE_CHECKING:
    import asyncio

_NOBODY: Final = 0


class _Here(threading.local):
    guard: Guard | None = None


_here: Final = _Here()


def hold() -> Guard | None:
    """Begin a critical section of the library's; whoever calls says `Guard.let_go` at its end.

    What was sent before is raised here.  Without a guard in this thread it costs next to nothing.
    """
    guard = _here.guard
    if guard is not None:
        guard.hold()
    return guard


def relieve() -> None:
    """Raise what came since this thread's critical section began; it only waits as yet."""
    guard = _here.guard
    if guard is not None:
        guard.relieve()


def is_guarded() -> bool:
    """Tell whether user code that may be interrupted runs in this thread."""
    return _here.guard is not None


class critical:
    """A block that no soft limit interrupts; one that came meanwhile is raised at its end."""

    __slots__ = ("_guard",)

    def __enter__(self) -> None:
        """Hold this thread's guard, if it has one."""
        self._guard = hold()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let it go."""
        if self._guard is not None:
            self._guard.let_go()


class Guard:
    """Knows whether user code runs on one line, and interrupts it: at most once per run.

    ``begin(token)`` and ``end()`` enclose user code, in its own thread; `interrupt` is for whoever
    enforces limits.  Subclasses say how an exception gets there.
    """

    def __init__(self) -> None:
        self._token = _NOBODY
        self._depth = 1  # of critical sections; outside user code it never gets to 0
        self._asked: list[bool] = []  # at most one; that pop() is atomic decides who takes it
        self._sent = False
        self._raised = False
        self._sending = threading.Lock()
        self._driven: Driven | None = None

    def begin(self, token: int, *, awaits: bool = False) -> None:
        """Say that user code of the attempt ``token`` runs in this thread from now on.

        ``awaits``: once a coroutine has begun, see `drive`.
        """
        if self._asked:
            self._asked.clear()
        self._raised = False
        self._depth = 1 if awaits else 0
        _here.guard = self
        self._token = token

    def end(self) -> None:
        """Say that it has ended; what came too late is dropped.

        It can be struck itself, from another thread: whoever calls it catches
        `SoftTimeLimitExceeded`, and calls it again.
        """
        self._token = _NOBODY
        self._depth = 1
        self._driven = None
        _here.guard = None
        if self._asked:
            self._asked.clear()
        if self._sent:
            try:
                self._receive()
            except SoftTimeLimitExceeded:
                self._sent = False

    def interrupt(self, token: int, frame: FrameType | None = None) -> bool:
        """Raise `SoftTimeLimitExceeded` in the attempt ``token``; False when it is too late.

        Twice in one attempt it is not, unless the first one could not get there.
        """
        raise NotImplementedError

    # Critical sections, in the thread of the user code

    def hold(self) -> None:
        """Begin a section."""
        if self._depth:
            self._depth += 1
            return
        # From here on nothing is sent.  Whoever sends says so first and looks at the depth then:
        # one of the two sees the other (Dekker's way; attributes are sequentially consistent).
        self._depth = 1
        if self._sent:
            try:
                self._receive()
            except BaseException:
                self._depth = 0
                raise

    def let_go(self) -> None:
        """End a section; at the end of the outermost raise what came meanwhile."""
        self._depth -= 1
        if self._asked and not self._depth:
            self._deliver_asked()

    def relieve(self) -> None:
        """Raise what came since the outermost section began, if this is it, and it only waits."""
        if self._asked and self._depth == 1:
            self._deliver_asked()

    def _deliver_asked(self) -> None:
        try:
            self._asked.pop()
        except IndexError:  # another thread took it back, and sends it
            return
        self._deliver()

    def _deliver(self) -> None:
        """Raise, in the thread of the user code."""
        self._raised = self._driven is None or self._driven.is_running()
        raise SoftTimeLimitExceeded

    def _receive(self) -> None:
        """Let what another thread has sent strike now."""
        while self._sending.locked():
            SYSTEM.sleep(0)
        for _ in range(2):  # CPython raises it where a loop jumps back, at the latest
            pass
        with self._sending:
            self._sent = False

    # Coroutines, see `drive`

    def watch(self, driven: Driven) -> None:
        """Have interruptions go to a coroutine that has begun."""
        self._driven = driven
        self._depth -= 1
        if self._asked:
            self._asked.clear()
            driven.ask_soon()

    def unwatch(self) -> None:
        """Say that the coroutine has ended."""
        self._depth += 1
        self._driven = None

    @property
    def has_raised(self) -> bool:
        """Whether the attempt has been interrupted: once is enough."""
        return self._raised

    def note_raised(self) -> None:
        """Say that the exception has got into the user's code."""
        self._raised = True


class SignalGuard(Guard):
    """For user code in the main thread: `interrupt` is called in a signal handler, and raises.

    A coroutine is asked first, by way of its event loop; should it not listen, the second signal
    raises wherever the thread is.
    """

    def interrupt(self, token: int, frame: FrameType | None = None) -> bool:
        """Raise `SoftTimeLimitExceeded`, or remember it during a critical section."""
        if token != self._token or self._raised:
            return False
        if self._driven is not None and not self._driven.is_asked:
            return self._driven.ask_soon()
        if not self._depth:
            self._deliver()
        elif not self._asked:
            self._asked.append(True)
        return True


class ThreadGuard(Guard):
    """For user code in a thread of its own: another thread interrupts it.

    It strikes between two bytecodes: a thread that waits in C (a `sleep`, a query of another
    library) is only struck when that returns.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ident = 0

    def begin(self, token: int, *, awaits: bool = False) -> None:
        """Say that user code of the attempt ``token`` runs in this thread from now on."""
        self._ident = threading.get_ident()
        Guard.begin(self, token, awaits=awaits)

    def interrupt(self, token: int, frame: FrameType | None = None) -> bool:
        """Send `SoftTimeLimitExceeded` to the thread."""
        with self._sending:
            if token != self._token or self._raised or self._asked:
                return False
            if self._driven is not None and not self._driven.is_asked:
                return self._driven.ask_soon()
            self._sent = True
            if self._depth:
                self._asked.append(True)
                if self._depth:
                    return True
                try:  # the section was left meanwhile: perhaps without a look
                    self._asked.pop()
                except IndexError:
                    return True
            if token != self._token:
                return False
            self._raised = True
            self._send()
            return True

    def _send(self) -> None:
        import ctypes  # takes 5 ms to load, and few jobs exceed their limits

        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._ident), ctypes.py_object(SoftTimeLimitExceeded)
        )


class TaskGuard(Guard):
    """For a line of an event loop: a coroutine, or a function that runs in a thread meanwhile.

    `interrupt` may be called from any thread.  It never sees critical sections of the loop's
    thread: they do not await, and only at an `await` is a coroutine interrupted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thread: ThreadGuard = ThreadGuard()

    def begin(self, token: int, *, awaits: bool = True) -> None:
        """Say that a coroutine of the attempt ``token`` runs on this line from now on."""
        self._asked.clear()
        self._raised = False
        self._token = token

    def end(self) -> None:
        """Say that it has ended."""
        self._token = _NOBODY
        self._driven = None

    def interrupt(self, token: int, frame: FrameType | None = None) -> bool:
        """Have `SoftTimeLimitExceeded` thrown into the coroutine, or sent to the thread."""
        if self.thread.interrupt(token):
            return True
        driven = self._driven
        if token != self._token or self._raised or driven is None:
            return False
        return driven.ask_soon()

    def watch(self, driven: Driven) -> None:
        """Have interruptions go to a coroutine that has begun."""
        self._driven = driven

    def unwatch(self) -> None:
        """Say that the coroutine has ended."""
        self._driven = None


class Driven:
    """A coroutine that can be interrupted where it awaits: its task is cancelled, and told why."""

    def __init__(self, guard: Guard, task: asyncio.Task[Any]) -> None:
        self._guard = guard
        self._task = task
        self._loop = task.get_loop()
        self._cancels = 0
        self._is_over = False
        self.is_asked: bool = False

    def is_running(self) -> bool:
        """Tell whether the task is in the middle of a step: for the loop's own thread."""
        import asyncio

        return asyncio.current_task(self._loop) is self._task

    def ask_soon(self) -> bool:
        """Have it interrupted by its loop, from any thread or signal handler."""
        self.is_asked = True
        try:
            self._loop.call_soon_threadsafe(self._ask)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def take(self) -> bool:
        """Tell whether a cancellation that has come is ours, and end it."""
        if not self._cancels:
            return False
        self._forgive()
        self._guard.note_raised()
        return True

    def close(self) -> None:
        """Leave the task as it was: a cancellation may have been swallowed on its way."""
        self._is_over = True
        self._forgive()

    def _ask(self) -> None:
        if not self._is_over and not self._guard.has_raised:
            self._cancels += 1
            self._task.cancel()

    def _forgive(self) -> None:
        while self._cancels:
            self._cancels -= 1
            self._task.uncancel()


async def drive(
    started: Coroutine[Any, Any, Any], guard: Guard
) -> tuple[Any, BaseException | None]:
    """Await a coroutine that ``guard`` may interrupt; return what it returned, or raised.

    The exception is thrown in where it awaits.  Raises CancelledError only for a cancellation of
    somebody else's.
    """
    import asyncio

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker: we are in a coroutine
    driven = Driven(guard, task)
    guard.watch(driven)
    try:
        return await _steps(started, driven), None
    except SoftTimeLimitExceeded as error:
        if type(error) is SoftTimeLimitExceeded:
            return None, error
        # Else the task would count as cancelled.
        return None, SoftTimeLimitExceeded(*error.args).with_traceback(error.__traceback__)
    except asyncio.CancelledError as error:
        if task.cancelling():
            raise
        return None, error
    except BaseException as error:  # an exit that got into the loop would end it
        return None, error
    finally:
        driven.close()
        guard.unwatch()


@coroutine
def _steps(started: Coroutine[Any, Any, Any], driven: Driven) -> Generator[Any, Any, Any]:
    """Do what ``await started`` does, but for the one exception."""
    import asyncio

    step: Any = started.send
    given: Any = None
    while True:
        try:
            awaited = step(given)
        except StopIteration as stop:
            return stop.value
        try:
            given = yield awaited
            step = started.send
        except GeneratorExit:
            started.close()
            raise
        except asyncio.CancelledError as error:
            step, given = started.throw, _interruption()() if driven.take() else error
        except BaseException as error:
            step, given = started.throw, error


@functools.cache
def _interruption() -> type[SoftTimeLimitExceeded]:
    """Return what is thrown into coroutines: a `SoftTimeLimitExceeded` that asyncio understands.

    `TaskGroup`, `wait_for`, `Lock` and others clean up after a CancelledError, and only then.
    """
    import asyncio

    class Interruption(SoftTimeLimitExceeded, asyncio.CancelledError):
        __doc__ = SoftTimeLimitExceeded.__doc__

    Interruption.__module__ = SoftTimeLimitExceeded.__module__
    Interruption.__name__ = Interruption.__qualname__ = SoftTimeLimitExceeded.__name__
    return Interruption
