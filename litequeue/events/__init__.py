"""Events: what has happened to jobs and workers, stored in the file, read live by anybody.

`Events` is ``app.events``.  Workers report when they are told to (``-E``); how facts become rows
is in `rows`, how a program follows them in `receiver`, and what they add up to in `state`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Protocol

from litequeue.clock import Clock
from litequeue.context import current_request
from litequeue.events.receiver import Receiver, follow
from litequeue.events.rows import client_name, custom
from litequeue.events.state import State
from litequeue.store import Store

__all__ = ["Dispatcher", "Events", "Receiver", "State"]


class App(Protocol):
    """What events need of an app."""

    clock: Clock

    @property
    def store(self) -> Store:
        """The file."""


class Dispatcher:
    """Stores events (Celery's `EventDispatcher`, without a connection)."""

    def __init__(self, app: App, hostname: str | None = None, enabled: bool = True) -> None:
        self._app = app
        self.hostname: str = hostname or client_name()
        self.enabled: bool = enabled

    def __enter__(self) -> Dispatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(
        self, type: str, blind: bool = False, retry: bool = False, retry_policy: Any = None,
        **fields: Any,
    ) -> None:  # fmt: skip
        """Store an event; nothing happens when this is not ``enabled``.

        ``fields`` are what JSON holds.  ``blind``, ``retry`` and ``retry_policy`` are Celery's, for
        what a file does not have.  Raises `NotSerializable`, or ValueError for a type that is none.
        """
        if self.enabled:
            given = {"pid": os.getpid(), **fields}
            row = custom(type, self._app.clock.now(), self.hostname, given)
            self._app.store.append_events([row])

    def enable(self) -> None:
        """Store events from now on."""
        self.enabled = True

    def disable(self) -> None:
        """Store no more events."""
        self.enabled = False

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Have nothing to flush: every event is stored at once."""

    def close(self) -> None:
        """Have nothing to close: the file is the app's."""


_Dispatcher = Dispatcher  # a class of `Events` has the same name, as in Celery


class Events:
    """``app.events``: send events, follow them, and keep track of what they say."""

    State = State

    def __init__(self, app: App) -> None:
        self._app = app

    def Dispatcher(
        self, connection: object = None, hostname: str | None = None, enabled: bool = True,
        **_: Any,
    ) -> _Dispatcher:  # fmt: skip
        """Make a sender of events; a ``connection`` and Celery's other arguments change nothing."""
        return Dispatcher(self._app, hostname, enabled)

    @contextlib.contextmanager
    def default_dispatcher(
        self, hostname: str | None = None, enabled: bool = True, buffer_while_offline: bool = False
    ) -> Iterator[_Dispatcher]:
        """Yield a sender of events."""
        with Dispatcher(self._app, hostname, enabled) as dispatcher:
            yield dispatcher

    def send(self, type: str, **fields: Any) -> None:
        """Store an event, as coming from the worker whose job runs here, if one does."""
        request = current_request.get()
        hostname = None if request is None else request.hostname
        Dispatcher(self._app, hostname).send(type, **fields)

    def Receiver(
        self, channel: object = None, handlers: Any = None, routing_key: str = "#", **_: Any
    ) -> Receiver:
        """Make a receiver of events; a ``channel`` and Celery's other arguments change nothing."""
        return Receiver(self._app, handlers, routing_key)

    def follow(
        self,
        types: Iterable[str] | None = None,
        *,
        after: int | None = None,
        timeout: float | None = None,
    ) -> Generator[dict[str, Any]]:
        """Yield events as they come, as Celery's flat dicts; of ``types`` only, if they are given.

        Begins behind the event whose "clock" is ``after``: 0 for all that are still stored, None
        for those that come from now on.  Ends after ``timeout`` seconds without one.
        """
        return follow(self._app, types, after=after, timeout=timeout)
