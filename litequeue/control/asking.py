"""Posting one command, and waiting for what the workers answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from litequeue.control.addressing import ALIASES, QUESTIONS, is_meant
from litequeue.result.home import Home
from litequeue.store import workers
from litequeue.store.mailbox import NewCommand, reply_mark
from litequeue.store.workers import Owner

Names = str | Iterable[str]
Reply = dict[str, Any]
"""What one worker answered: {its name: the answer}."""

ORDER_STANDS: Final = 300.0
"""Seconds for which an order reaches a worker that stood still: Celery's control_queue_ttl."""
LOOK_AROUND: Final = 0.2
"""Seconds after which those that have not answered are looked at: one may have died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One command, to whom, and how long to wait for answers (seconds; None: for ever)."""

    command: str
    arguments: Mapping[str, Any]
    destination: Names | None = None
    pattern: str | None = None
    matcher: str | None = None
    reply: bool = True
    timeout: float | None = 1.0
    limit: int | None = None

    @property
    def is_question(self) -> bool:
        """Whether it changes nothing."""
        return ALIASES.get(self.command, self.command) in QUESTIONS

    @property
    def stands(self) -> float:
        """The seconds for which workers obey it."""
        if self.timeout is None:
            return ORDER_STANDS
        return self.timeout if self.is_question else max(self.timeout, ORDER_STANDS)


def listed(names: Names) -> list[str]:
    """Return one name, or several, as a list."""
    return [names] if isinstance(names, str) else list(names)


def ask(
    app: Home,
    call: Call,
    *,
    lives: Callable[[Owner], bool],
    callback: Callable[[Reply], object] | None = None,
) -> dict[str, Any]:
    """Post a command; return what the workers answered, by their names.

    Waits until all that were alive and meant have answered, or died, or the time is over.
    Raises ValueError for a pattern that is none, TypeError for arguments that JSON has not.
    """
    destination = None if call.destination is None else listed(call.destination)
    asked = [
        owner
        for owner in workers.owners(app.store.database)
        if is_meant(owner.identity.name, destination=destination, pattern=call.pattern,
                    matcher=call.matcher) and lives(owner)
    ]  # fmt: skip
    number = app.store.post_command(
        NewCommand(
            name=call.command,
            arguments=json.dumps(dict(call.arguments)),
            destination=None if destination is None else json.dumps(destination),
            pattern=call.pattern,
            matcher=call.matcher,
            reply=call.reply,
            expires=app.clock.now() + call.stands,
        )
    )
    if not call.reply:
        return {}
    heard = _gather(
        app, call, number, {each.identity.name: each for each in asked}, lives, callback
    )
    if call.is_question or not any(each.identity.name not in heard for each in asked):
        app.store.discard_command(number)
    return heard


def decoded(body: str) -> Any:
    """Return what a reply says."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # nothing that a worker wrote
        return {"error": f"the reply is no JSON: {body[:100]}"}


def _gather(
    app: Home,
    call: Call,
    number: int,
    asked: dict[str, Owner],
    lives: Callable[[Owner], bool],
    callback: Callable[[Reply], object] | None,
) -> dict[str, Any]:
    clock = app.clock
    deadline = None if call.timeout is None else clock.monotonic() + call.timeout
    heard: dict[str, Any] = {}
    waiting = app.store.wait_for(reply_mark(number))
    try:
        while True:
            for name, body in app.store.replies(number).items():
                if name not in heard and (call.limit is None or len(heard) < call.limit):
                    heard[name] = decoded(body)
                    if callback is not None:
                        callback({name: heard[name]})
            left = LOOK_AROUND if deadline is None else deadline - clock.monotonic()
            if len(heard) == call.limit or left <= 0 or not asked.keys() - heard.keys():
                return heard
            waiting.wait(min(left, LOOK_AROUND))
            asked = {name: each for name, each in asked.items() if name in heard or lives(each)}
    finally:
        waiting.close()
