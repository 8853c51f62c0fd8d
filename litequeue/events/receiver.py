"""Following the ring of events: a generator, and Celery's `Receiver` on top of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Final, Protocol

from litequeue.clock import Clock
from litequeue.events.rows import as_dict
from litequeue.store import Store
from litequeue.store.events import MARK

BATCH: Final = 500
"""Events read at once."""
TICK: Final = 0.2
"""Seconds between two looks whether somebody said `Receiver.should_stop`."""


class App(Protocol):
    """What following needs of an app."""

    clock: Clock

    @property
    def store(self) -> Store:
        """The file."""


def follow(
    app: App,
    types: Iterable[str] | None = None,
    *,
    after: int | None = None,
    timeout: float | None = None,
    live: bool = True,
) -> Generator[dict[str, Any]]:
    """Yield events; see `Events.follow`.  Not ``live``: end with what is there now."""
    wanted = None if types is None else tuple(types)
    begin = app.store.last_event() if after is None else after
    found = _follow(app, wanted, begin, timeout=timeout if live else 0.0)
    return (event for event in found if event is not None)


def _follow(
    app: App, types: tuple[str, ...] | None, after: int, *, timeout: float | None
) -> Generator[dict[str, Any] | None]:
    """Yield events, and None whenever a `TICK` has passed without one."""
    store, clock = app.store, app.clock
    waiting = store.wait_for(MARK)
    heard = clock.monotonic()
    try:
        while True:
            newest = store.last_event()
            batch = store.events_after(after, types=types, limit=BATCH)
            for event in batch:
                after = event.seq
                yield as_dict(event, clock.now())
            if batch:
                heard = clock.monotonic()
                continue
            after = max(after, newest)  # what was not asked for need not be read again
            silence = clock.monotonic() - heard
            if timeout is not None and silence >= timeout:
                return
            yield None
            waiting.wait(TICK if timeout is None else min(TICK, timeout - silence))
    finally:
        waiting.close()


Handler = Callable[[dict[str, Any]], object]


class Receiver:
    """Calls ``handlers``, by type of event, "*" for those that have none (Celery's).

    ``routing_key`` says which types are wanted, with dots for dashes: "task.#", "worker.*".  Set
    ``should_stop`` and `capture` ends.
    """

    def __init__(
        self, app: App, handlers: Mapping[str, Handler] | None = None, routing_key: str = "#"
    ) -> None:
        self._app = app
        self.handlers: dict[str, Handler] = dict(handlers or {})
        self.routing_key: str = routing_key
        self.should_stop: bool = False
        self._wanted = re.compile(_pattern(routing_key))

    def process(self, type: str, event: dict[str, Any]) -> None:
        """Call the handler of one event."""
        handler = self.handlers.get(type) or self.handlers.get("*")
        if handler is not None:
            handler(event)

    def itercapture(
        self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True
    ) -> Generator[dict[str, Any]]:
        """Do as `capture` does, and yield every event that was handled."""
        count, clock = 0, self._app.clock
        found = _follow(self._app, None, self._app.store.last_event(), timeout=None)
        if wakeup:
            self.wakeup_workers()
        heard = clock.monotonic()
        with contextlib.closing(found):
            for event in found:
                if event is not None and self._wants(event):
                    heard = clock.monotonic()
                    count += 1
                    self.process(event["type"], event)
                    yield event
                if self.should_stop or (limit is not None and count >= limit):
                    return
                if timeout is not None and clock.monotonic() - heard >= timeout:
                    raise TimeoutError(f"no event came for {timeout:g} s")

    def _wants(self, event: dict[str, Any]) -> bool:
        return bool(self._wanted.fullmatch(event["type"].replace("-", ".")))

    def capture(
        self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True
    ) -> None:
        """Handle events as they come: ``limit`` of them, or for ever.

        Raises TimeoutError after ``timeout`` seconds without one.  ``wakeup`` asks the workers to
        say at once that they are there.
        """
        for _ in self.itercapture(limit, timeout, wakeup):
            pass

    def wakeup_workers(self, channel: object = None) -> None:
        """Ask the workers for a heartbeat now."""
        control = getattr(self._app, "control", None)
        if control is not None:
            control.broadcast("heartbeat")


def _pattern(routing_key: str) -> str:
    """Return the regular expression of a topic: "*" is one word, "#" any number of them."""
    if routing_key == "#":
        return ".*"
    words = [
        "[^.]*" if word == "*" else ".*" if word == "#" else re.escape(word)
        for word in routing_key.split(".")
    ]
    return r"\.".join(words).replace(r"\..*", r"(\..*)?").replace(r".*\.", r"(.*\.)?")
