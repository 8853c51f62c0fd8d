"""The panel: what a worker does with remote-control commands, in its consumer.

The consumer answers from its own books and the file, so it answers while every child is busy.  It
runs no user code, so there are no commands of users' own.  `answers` and `orders` hold the
commands, `worker_view` what they need of the worker.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from litequeue import control
from litequeue.clock import Clock
from litequeue.exceptions import LiteQueueError
from litequeue.store import mailbox
from litequeue.store.mailbox import Command
from litequeue.store.wakeup import Ringer
from litequeue.worker.answers import ANSWERS
from litequeue.worker.orders import ORDERS
from litequeue.worker.worker_view import Desk, Refused, WorkerView

logger: Final = logging.getLogger("litequeue.worker")

SAMPLES: Final = 1000
"""Figures of memory that are kept."""
AT_ONCE: Final = 0.05
"""Seconds of answering after which jobs come first again."""


class Panel:
    """Reads the commands that are meant for this worker, obeys, and stores the replies.

    ``last`` is the number of the last command that is not for it: the newest before the worker
    was registered, for from then on it is asked.
    """

    def __init__(
        self, worker: WorkerView, ringer: Ringer, clock: Clock, *, last: int | None = None
    ) -> None:
        self._worker = worker
        self._ringer = ringer
        self._clock = clock
        self._samples: deque[int] = deque(maxlen=SAMPLES)
        self._replies: list[tuple[int, str, str]] = []
        self._more = False
        self._last = mailbox.newest(worker.database) if last is None else last

    @property
    def is_behind(self) -> bool:
        """Tell whether replies wait to be stored: the file was locked."""
        return bool(self._replies)

    @property
    def has_more(self) -> bool:
        """Tell whether commands wait: there were so many that jobs had to come first."""
        return self._more

    def attend(self) -> None:
        """Obey what came since the last time, each command once, and store the replies.

        Raises `StoreError` while the file cannot be used; nothing is lost, call it again.  So
        does who sees that it `has_more`, or `is_behind`.
        """
        enough = self._clock.monotonic() + AT_ONCE
        commands = mailbox.since(self._worker.database, self._last, self._clock.now())
        self._more = False
        for command in commands:
            self._last = command.id
            if _is_meant(self._worker.name, command):
                body = self.answer(command)
                if command.reply:
                    self._replies.append((command.id, self._worker.name, body))
            if self._clock.monotonic() > enough:
                self._more = command is not commands[-1]
                break
        if self._replies:
            mailbox.answer(self._worker.database, self._replies, self._clock.now())
            answered, self._replies = self._replies, []
            self._ringer.ring_waiters([mailbox.reply_mark(id) for id, _, _ in answered])

    def answer(self, command: Command) -> str:
        """Obey one command; return the reply as JSON, ``{"error": ...}`` for one that cannot be."""
        try:
            return json.dumps(self._obey(command))
        except (Refused, LiteQueueError) as error:
            return json.dumps({"error": str(error)})
        except Exception as error:
            # A command must not end the worker, and who sent it is to know.
            logger.exception("the command %.80r failed", command.name)
            return json.dumps({"error": f"{type(error).__name__}: {error}"})

    def _obey(self, command: Command) -> Any:
        name = control.ALIASES.get(command.name, command.name)
        obey = ANSWERS.get(name) or ORDERS.get(name)
        if obey is None:
            raise Refused(f"Unknown control command {command.name!r}")
        desk = Desk(worker=self._worker, number=command.id, now=self._clock.now(),
                    samples=self._samples)  # fmt: skip
        logger.debug("control command %s", name)
        return obey(desk, **_arguments(obey, command))


def _arguments(obey: Callable[..., Any], command: Command) -> Mapping[str, Any]:
    try:
        arguments = json.loads(command.arguments)
        inspect.signature(obey).bind(None, **arguments)
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(f"{command.name} was sent with wrong arguments: {error}") from None
    return dict(arguments)


def _is_meant(name: str, command: Command) -> bool:
    try:
        named = None if command.destination is None else json.loads(command.destination)
        return control.is_meant(
            name, destination=named, pattern=command.pattern, matcher=command.matcher
        )
    except (ValueError, TypeError, RecursionError) as error:
        logger.warning("a control command is addressed to nobody knows whom: %s", error)
        return False
