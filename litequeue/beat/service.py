"""Beat alone: a process that sends what is due, and runs nothing."""

from __future__ import annotations

import logging
import select
import signal
from typing import TYPE_CHECKING, Any, Final

from litequeue import periodic, signals
from litequeue.beat.sender import Beat
from litequeue.clock import SYSTEM, Clock
from litequeue.events import rows
from litequeue.exceptions import QueueBusy, QueueFileReplaced, QueueFull, StoreError
from litequeue.os_signals import STOP_SIGNALS, WakePipe
from litequeue.store import Database, Keep
from litequeue.store.errors import IOFailure
from litequeue.store.firing import Fired
from litequeue.store.wakeup import Ringer

if TYPE_CHECKING:
    from litequeue.app import LiteQueue
    from litequeue.config import Settings

logger: Final = logging.getLogger("litequeue.beat")

LISTEN_EVERY: Final = 0.5
"""Seconds between two looks whether somebody has changed an entry."""
TRY_AGAIN: Final = 0.5
_EXIT_CODES: Final = {signal.SIGTERM: 0, signal.SIGINT: 130, signal.SIGQUIT: 1}


class Service:
    """A beat that runs as this process; Celery's `app.Beat`."""

    def __init__(self, app: LiteQueue, *, max_interval: float | None = None) -> None:
        self._app = app
        self._longest = app.conf.beat_max_loop_interval if max_interval is None else max_interval

    def run(self) -> int:
        """Send what is due until a signal stops it; return the exit code."""
        app = self._app
        app.import_modules()
        return serve(
            app.path, settings=app.conf, app=app, max_interval=self._longest, clock=app.clock
        )


def serve(
    path: str,
    *,
    settings: Settings,
    app: LiteQueue | None,
    max_interval: float = 0.0,
    clock: Clock = SYSTEM,
) -> int:
    """Send what is due in the file at ``path`` until a signal stops it; return the exit code.

    With an app, the entries that its code defines are written first.  ``max_interval`` is how many
    seconds it sleeps at most.  Raises `StoreError` for a file that cannot be used, and
    `ImproperlyConfigured` for entries that make no sense.
    """
    silent = rows.silent({} if app is None else app.tasks)
    database = Database(
        path,
        durability=settings.durability,
        busy_timeout=settings.queue_busy_timeout,
        create=app is not None,
        clock=clock,
    )
    ringer = Ringer(database.path, clock)

    def sent(fired: Fired) -> None:
        ringer.ring_workers(post=bool(fired.revoked))
        ringer.ring_waiters(fired.ended)

    beat = Beat(
        database,
        clock,
        keep=Keep(success=settings.result_expires, failure=settings.result_failure_expires),
        sent=sent,
        longest=max_interval,
        event_of=rows.sent_but_of(silent) if settings.task_send_sent_event else None,
    )
    pipe = WakePipe(STOP_SIGNALS)
    try:
        if app is not None:
            signals.beat_init.send(sender=beat)
            beat.define(periodic.owner_of(app.facts()), periodic.entries_of(app))
        logger.info("beat serves %s", database.path)
        return _loop(database, beat, pipe, clock)
    finally:
        pipe.close()
        ringer.close()
        database.close()


def _loop(database: Database, beat: Beat, pipe: WakePipe, clock: Clock) -> int:
    poll: Any = select.poll()
    poll.register(pipe.fd, select.POLLIN)
    while True:
        wait = TRY_AGAIN
        try:
            version = database.data_version()
            beat.run(version)
            wait = min(LISTEN_EVERY, beat.time_left(version))
        except QueueFileReplaced:
            raise
        except (QueueBusy, QueueFull, IOFailure) as error:
            _endure(database, error)
        poll.poll(wait * 1000)
        for number in pipe.read():
            if number in _EXIT_CODES:
                logger.info("beat stops")
                return _EXIT_CODES[signal.Signals(number)]


def _endure(database: Database, error: StoreError) -> None:
    """Try again: what was not written is still due."""
    if isinstance(error, IOFailure):
        database.forget_connections()
    logger.error("%s; trying again", error)
