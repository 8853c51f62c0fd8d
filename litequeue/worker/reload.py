"""A worker that begins anew when its code changes: ``litequeue worker --reload``.

The process that was started only watches: it runs the same command as its child, and sends that
SIGHUP after a change.  A program that fails, as with a syntax error, is started at the next one.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from typing import Any, Final

from litequeue.exceptions import ImproperlyConfigured
from litequeue.os_signals import STOP_SIGNALS, WakePipe
from litequeue.worker.restart import terminals

logger: Final = logging.getLogger("litequeue.worker")

PARENT_VARIABLE: Final = "LITEQUEUE_RELOADER"
"""The process that watches, in the environment of the worker that it started."""
DEBOUNCE: Final = 300
"""Milliseconds for which changes are gathered: an editor writes more than once."""
_PR_SET_PDEATHSIG: Final = 1


def is_reloaded() -> bool:
    """Tell whether this process is the worker, and its parent the one that watches."""
    return os.environ.get(PARENT_VARIABLE) == str(os.getppid())


def end_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the process that watches dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def run_reloading() -> int:
    """Run the command of this process as a worker that follows its code; return its exit code.

    Raises `ImproperlyConfigured` where watchfiles is missing.
    """
    return _Reloader(os.getcwd()).run()


class _Reloader:
    """Watches ``directory`` and looks after one worker."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._watch = _load_watch()
        self._signals = WakePipe((*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD))
        self._terminals = terminals()
        self._changes, self._change = os.pipe()
        self._worker: subprocess.Popen[bytes] | None = None
        self._hung_up = False
        self._code: int | None = None

    def run(self) -> int:
        """Work until told to stop, or until the worker has nothing more to do."""
        threading.Thread(target=self._watch_forever, daemon=True).start()
        poll = select.poll()
        for source in (self._signals.fd, self._changes):
            poll.register(source, select.POLLIN)
        self._start()
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            for number in self._signals.read():
                self._on_signal(number)
            if self._changes in ready:
                self._on_change(os.read(self._changes, 4096).decode(errors="replace"))
            if self._has_ended():
                return self._code or 0

    def _start(self) -> None:
        """Start the worker, in a group of its own: Ctrl-C is for us to pass on."""
        self._hung_up = False
        self._worker = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            cwd=self._directory,
            env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
            process_group=0,
        )

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        if number == signal.SIGHUP and terminals() == self._terminals:
            self._begin_anew()
            return
        self._code = 128 + number if number == signal.SIGINT else 0
        self._send(signal.SIGTERM if number == signal.SIGHUP else number)

    def _on_change(self, names: str) -> None:
        if self._code is None:
            logger.info("%s changed: the worker begins anew", names.strip().replace("\n", ", "))
            self._begin_anew()

    def _begin_anew(self) -> None:
        if self._worker is None:
            self._start()
        else:
            self._hung_up = True
            self._send(signal.SIGHUP)

    def _send(self, number: int) -> None:
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self._worker.send_signal(number)

    def _has_ended(self) -> bool:
        """Notice the worker's end; tell whether it is ours, too."""
        if self._worker is None:
            return self._code is not None
        code = self._worker.poll()
        if code is None:
            return False
        self._worker = None
        if self._code is not None:
            self._code = code if code >= 0 else 128 - code
            return True
        if self._hung_up:  # before it could listen
            self._start()
        elif code == 0:
            return True
        else:
            logger.error(
                "the worker ended with exit code %d; it is started when the code changes", code
            )
        return False

    def _watch_forever(self) -> None:
        for changes in self._watch(self._directory):
            names = sorted({os.path.relpath(path, self._directory) for _, path in changes})
            os.write(self._change, "\n".join(names[:5]).encode() + b"\n")


def _load_watch() -> Any:
    try:
        from watchfiles import PythonFilter, watch
    except ImportError:
        raise ImproperlyConfigured(
            "--reload needs watchfiles, which is not installed: it is in the extra reload "
            "(in a clone: pip install '.[reload]'), or leave --reload out"
        ) from None

    def changes(directory: str) -> Any:
        return watch(directory, watch_filter=PythonFilter(), debounce=DEBOUNCE)

    return changes
