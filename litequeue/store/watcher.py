"""Being told when jobs end: one thread per store watches any number of them.

It starts with the first job watched and ends when there is none left.  `await` and `then` use it;
a plain ``get()`` waits by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from litequeue.clock import Clock
from litequeue.store import results
from litequeue.store.connection import Database
from litequeue.store.result_bell import HEARSAY, ResultBell, Waiting
from litequeue.store.results import Record
from litequeue.store.wakeup import NET

logger: Final = logging.getLogger(__name__)

News = Record | Exception | None
"""The record of a job that has ended; None when it is gone; or why nobody can tell."""
Told = Callable[[str, News], object]
_LONG_LOOK: Final = 0.002
"""Seconds of a look after which the next one waits three times as long: a quarter of a core."""


class Watcher:
    """Tells everybody who asked, once, when a job has ended.  Safe to share between threads."""

    def __init__(self, database: Database, bell: ResultBell, clock: Clock) -> None:
        self._database = database
        self._bell = bell
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: dict[str, list[Watch]] = {}
        self._waiting: Waiting | None = None
        self._is_stale = False  # somebody lost interest: more is announced than watched
        self._seen: tuple[object, int] | None = None

    def watch(self, ids: Iterable[str], told: Told) -> Watch:
        """Call ``told(id, record)`` once for each job: here if it has ended, else in the thread.

        Raises `StoreError` when the file cannot be read.
        """
        watch = Watch(self, list(dict.fromkeys(ids)), told)
        try:
            self._announce(watch)
            # Whoever settles after this look rings.
            found = results.fetch_ended(self._database, watch.ids)
        except BaseException:
            watch.close()
            raise
        for id, record in found.items():
            if self._take(id, watch):
                watch.tell(id, record)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Tell ``watch`` nothing more."""
        for id in watch.ids:
            self._take(id, watch)

    def close(self, *, drop: bool = False) -> None:
        """End the thread unless it is needed; with ``drop``, whatever is still watched."""
        with self._lock:
            if drop:
                self._watched.clear()
            if self._waiting is not None and not self._watched:
                self._end(self._waiting)

    def _announce(self, watch: Watch) -> None:
        with self._lock:
            for id in watch.ids:
                self._watched.setdefault(id, []).append(watch)
            if self._waiting is None:
                self._start()
            else:
                self._waiting.add(watch.ids)
                self._waiting.event.set()

    def _start(self) -> None:
        waiting = self._bell.register(*self._watched)
        # A daemon: a program may end although it has not seen every result.
        thread = threading.Thread(
            target=self._run, args=(waiting,), name="litequeue-watcher", daemon=True
        )
        try:
            thread.start()
        except BaseException:
            waiting.close()
            raise
        self._waiting = waiting
        self._seen = None

    def _end(self, waiting: Waiting) -> None:
        self._waiting = None
        waiting.close()
        waiting.event.set()

    def _take(self, id: str, watch: Watch) -> bool:
        """Take one watch of a job off the list; False when somebody else did."""
        with self._lock:
            watches = self._watched.get(id, [])
            if watch not in watches:
                return False
            watches.remove(watch)
            if not watches:
                del self._watched[id]
                self._is_stale = True
            return True

    def _run(self, waiting: Waiting) -> None:
        idle = False
        while self._is_needed(waiting, idle):
            with self._lock:
                idle = not self._watched
                if idle:
                    waiting.event.clear()
            if idle:  # whoever awaits one result after the other keeps the thread
                waiting.event.wait(NET)
                continue
            waiting.wait(HEARSAY)
            waiting.hand_over()
            began = self._clock.monotonic()
            self._look()
            took = self._clock.monotonic() - began
            if took > _LONG_LOOK:
                self._clock.sleep(3 * took)

    def _is_needed(self, waiting: Waiting, idle: bool) -> bool:
        with self._lock:
            if self._waiting is not waiting:
                return False
            if idle and not self._watched:
                self._end(waiting)
                return False
            if self._is_stale:
                waiting.replace(self._watched)
                self._is_stale = False
            return True

    def _look(self) -> None:
        with self._lock:
            ids = list(self._watched)
        found: Mapping[str, News]
        try:
            version = results.version(self._database)
            if version == self._seen:
                return
            found = results.fetch_ended(self._database, ids)
            self._seen = version
        except Exception as error:
            found = dict.fromkeys(ids, error)
        for id, news in found.items():
            with self._lock:
                watches = self._watched.pop(id, [])
                self._is_stale = True
            for watch in watches:
                watch.tell(id, news)


class Watch:
    """Somebody's interest in some jobs."""

    __slots__ = ("_told", "_watcher", "ids")

    def __init__(self, watcher: Watcher, ids: list[str], told: Told) -> None:
        self._watcher = watcher
        self._told = told
        self.ids: list[str] = ids

    def tell(self, id: str, news: News) -> None:
        """Pass it on.  What the callback raises is logged: the others wait for theirs."""
        try:
            self._told(id, news)
        except BaseException as error:
            logger.exception("the callback for the result of job %s raised", id)
            if isinstance(error, KeyboardInterrupt):
                raise

    def close(self) -> None:
        """End the interest; nothing is told once this returns, unless it is being told now."""
        self._watcher.unwatch(self)
