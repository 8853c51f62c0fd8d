"""Signals of the operating system: handlers only write to a pipe, the loop acts."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_EXIT_CODES: Final = {signal.SIGTERM: 0, signal.SIGHUP: 0, signal.SIGINT: 130, signal.SIGQUIT: 1}
HELD: Final = (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD)
"""What a worker listens to."""
_INSIST_EVERY: Final = 0.2
"""Seconds."""
_RAISE_EVERY: Final = 10
"""How many times a signal comes until it is taken for one whose exception was swallowed."""


class Stopped(SystemExit):
    """The worker was told to stop while it imported its app."""


class HungUp(Stopped):
    """It was told by SIGHUP."""


class WakePipe:
    """Turns signals into bytes that a loop can wait for next to everything else."""

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self.fd: int
        self.fd, self._write_fd = os.pipe()
        for fd in (self.fd, self._write_fd):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._signals = tuple(signals)
        self._raises = False
        self._raised = 0
        _quieten(self._signals)

    def read(self) -> list[int]:
        """Return the signals that came since the last call."""
        with contextlib.suppress(BlockingIOError):
            return list(os.read(self.fd, 512))
        return []

    def ending_at_once(self, work: Callable[[], T]) -> T:
        """Return ``work()``; a stop signal raises `Stopped` in it, for no loop reads the pipe.

        Afterwards our handlers are in place, whatever foreign code did to them meanwhile.
        """
        over = threading.Event()
        insisting = threading.Thread(
            target=self._insist, args=(threading.get_ident(), over), name="litequeue-signals"
        )
        self._raised = 0
        try:
            self._raises = True
            for number in _EXIT_CODES:
                signal.signal(number, self._raise)
            for earlier in self.read():
                self._raise(earlier, None)
            insisting.start()
            return work()
        finally:
            self._raises = False  # first, by no call: a signal that comes in here raises nothing
            _quieten(self._signals)
            over.set()
            if insisting.ident is not None:
                insisting.join()

    def _raise(self, number: int, frame: object) -> None:
        """End the process, and let nothing disturb it while it cleans up.

        Foreign code may swallow that, and Python does where a finaliser was running.
        """
        if self._raises and number in _EXIT_CODES:
            self._raised += 1
            if self._raised % _RAISE_EVERY == 1:
                kind = HungUp if number == signal.SIGHUP else Stopped
                raise kind(_EXIT_CODES[signal.Signals(number)])

    def _insist(self, thread: int, over: threading.Event) -> None:
        """Send a stop signal on to ``thread`` until it has ended its work.

        Python notes one that comes right before a call that blocks, and looks at the note only
        when that call returns: an import that sleeps would go on.
        """
        unheard: set[int] = set()
        while not over.wait(_INSIST_EVERY):
            came = self.read()
            unheard |= _EXIT_CODES.keys() & {*came}
            if others := bytes(number for number in came if number not in _EXIT_CODES):
                os.write(self._write_fd, others)  # they are for the loop
            for number in unheard:
                signal.pthread_kill(thread, number)
        if unheard:  # it may have come at the very end, and is for the loop then
            os.write(self._write_fd, bytes(unheard))

    def close(self) -> None:
        """Stop listening.  For a forked process, which must not write into its parent's pipe."""
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._write_fd)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold back what a worker listens to; a program started meanwhile inherits that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def fork() -> int:
    """Fork; no signal that reaches the child is written into its parent's pipe."""
    with signals_held():
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
    return pid


def ignore_stop_signals() -> None:
    """Leave stopping to the supervisor: Ctrl-C and systemd reach all processes at once.

    With handlers that do nothing, not SIG_IGN: programs that a task starts would inherit that.
    """
    _quieten((*STOP_SIGNALS, signal.SIGHUP))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)  # of a program started while they were held


def _quieten(signals: Iterable[signal.Signals]) -> None:
    for number in signals:
        signal.signal(number, _nothing)


def _nothing(number: int, frame: object) -> None:
    """Exist, so that the wake-up descriptor is written to."""
