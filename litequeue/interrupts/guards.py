"""Guards: each knows whether user code runs on its line, and how to raise an exception in it."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Final

from litequeue.clock import SYSTEM
from litequeue.exceptions import SoftTimeLimitExceeded
from litequeue.interrupts.coroutines import Driven

_NOBODY: Final = 0
_DELICATE: Final = (
    *("litequeue.store.", "litequeue.serialization.", "litequeue.signals.", "litequeue.sending."),
    *("litequeue.registry.", "litequeue.configured."),
    *("logging.", "importlib._bootstrap.", "weakref.", "_weakrefset."),
)
"""Modules, and those below them, that an exception out of nowhere would leave with a lock taken or
a half made thing, or that take it for one of the values they work on."""
_WAITS: Final = frozenset({"litequeue.store.wakeup", "threading"})
"""Modules whose functions called "wait" may be interrupted even when the store waits in them."""
_STORE: Final = "litequeue.store."
_RUNNER: Final = "litequeue.worker.executor"
"""The module whose frames end the user's."""
SOON: Final = 0.005
_TRIES: Final = 200
"""How often, every `SOON` seconds, a delicate moment is respected."""
SIGNAL: Final = getattr(signal, "SIGUSR1", 0)
"""By which a child of the worker hears of its soft limits."""


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
        self._tries = _TRIES
        self._sending = threading.Lock()
        self._driven: Driven | None = None

    def begin(self, token: int, *, awaits: bool = False) -> None:
        """Say that user code of the attempt ``token`` runs in this thread from now on.

        ``awaits``: once a coroutine has begun, see `drive`.
        """
        if self._asked:
            self._asked.clear()
        self._raised = False
        self._tries = _TRIES
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

    def interrupt(self, token: int, frame: FrameType | None = None) -> bool | None:
        """Raise `SoftTimeLimitExceeded` in the attempt ``token``; False when it is too late.

        None: not at this moment, call again in `SOON` seconds.
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

    def __init__(self) -> None:
        super().__init__()
        self._traces = False

    def interrupt(self, token: int, frame: FrameType | None = None) -> bool:
        """Raise `SoftTimeLimitExceeded`, or remember it during a critical section.

        ``frame`` is where the signal struck.  A delicate moment is let pass.
        """
        if token != self._token or self._raised:
            return False
        if self._driven is not None and not self._driven.is_asked:
            return self._driven.ask_soon()
        if self._depth:
            self._asked[:] = [True]
            return True
        out = way_out(frame)
        if out is None:
            self._deliver()
        elif sys.gettrace() in (None, _pass_by):
            self._deliver_in(out)
        elif self._tries and callable(signal.getsignal(SIGNAL)):  # somebody else traces
            self._tries -= 1
            _thread.start_new_thread(_signal_soon, (threading.get_ident(),))
        else:
            self._deliver()
        return True

    def _deliver_in(self, frame: FrameType) -> None:
        """Raise as soon as ``frame`` goes on, by the means of debuggers: what it called ends."""
        token = self._token

        def strike(frame: FrameType, event: str, given: object) -> None:
            frame.f_trace = None
            self._stop_tracing()
            if token == self._token and not self._raised:
                if self._depth:
                    self._asked[:] = [True]
                else:
                    self._deliver()

        frame.f_trace = strike
        self._traces = True
        sys.settrace(_pass_by)

    def end(self) -> None:
        """Say that user code has ended; what came too late is dropped."""
        if self._traces:
            self._stop_tracing()
        Guard.end(self)

    def _stop_tracing(self) -> None:
        self._traces = False
        if sys.gettrace() is _pass_by:
            sys.settrace(None)


def _signal_soon(thread: int) -> None:
    SYSTEM.sleep(SOON)
    signal.pthread_kill(thread, SIGNAL)


def _pass_by(frame: FrameType, event: str, given: object) -> None:
    """Trace no function that is called."""


def way_out(frame: FrameType | None) -> FrameType | None:
    """Return the frame to which a delicate moment comes back; None if this is none.

    In one, an exception would be lost, or break what cannot be repaired; what is raised in a
    finalizer is only printed.
    """
    found = None
    waits = False
    while frame is not None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module == _RUNNER:
            return found
        waits = waits or (name == "wait" and module in _WAITS)
        prefix = f"{module}."
        if name == "__del__" or (
            prefix.startswith(_DELICATE) and not (waits and prefix.startswith(_STORE))
        ):
            found = frame.f_back
        frame = frame.f_back
    return found


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

    def interrupt(self, token: int, frame: FrameType | None = None) -> bool | None:
        """Send `SoftTimeLimitExceeded` to the thread; None in a delicate moment: ask again soon."""
        import ctypes  # noqa: F401 - takes 5 ms to load, which are not to pass after the look

        SYSTEM.sleep(0)  # no other thread runs within the 5 ms after this: its frame stays as it is
        with self._sending:
            if token != self._token or self._raised:
                return False
            if self._driven is not None and not self._driven.is_asked:
                return self._driven.ask_soon()
            self._sent = True
            if self._depth and self._driven is None:
                self._asked[:] = [True]
                if self._depth:
                    return True
                try:  # the section was left meanwhile: perhaps without a look
                    self._asked.pop()
                except IndexError:
                    return True
            if token != self._token:
                return False
            if way_out(sys._current_frames().get(self._ident)) is not None:
                self._sent = False
                return None
            self._raised = True
            self._send()
            return True

    def _send(self) -> None:
        import ctypes

        send = ctypes.pythonapi.PyThreadState_SetAsyncExc
        send(ctypes.c_ulong(self._ident), ctypes.py_object(SoftTimeLimitExceeded))


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

    def interrupt(self, token: int, frame: FrameType | None = None) -> bool | None:
        """Have `SoftTimeLimitExceeded` thrown into the coroutine, or sent to the thread."""
        sent = self.thread.interrupt(token)
        if sent is not False:
            return sent
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
