"""`Control`: commands to the workers of an app's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from litequeue.control.asking import Call, Names, Reply, ask, listed
from litequeue.control.inspecting import Inspect
from litequeue.result import revoking
from litequeue.result.home import Home
from litequeue.result.revoking import Signal
from litequeue.store.workers import Owner

TERM: Final = "SIGTERM"


class Control:
    """Speaks to the workers of an app's file.  ``lives`` tells whether a worker does.

    The methods are Celery's.  Each takes ``destination`` (names of workers), ``pattern`` and
    ``matcher`` to choose among them, ``reply`` to wait for answers for at most ``timeout``
    seconds, ``limit`` to stop at so many, ``callback`` to be called with each; `broadcast` says
    more.
    """

    def __init__(self, app: Home, lives: Callable[[Owner], bool]) -> None:
        self.app = app
        self._lives = lives

    # Asking

    def inspect(
        self,
        destination: Names | None = None,
        timeout: float | None = 1.0,
        callback: Callable[[Reply], object] | None = None,
        connection: object = None,
        app: object = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> Inspect:
        """Return what asks the workers.  ``timeout`` is in seconds."""
        return Inspect(
            self, destination, timeout, callback, limit=limit, pattern=pattern, matcher=matcher
        )

    def ping(
        self, destination: Names | None = None, timeout: float | None = 1.0, **options: Any
    ) -> list[Reply]:
        """Return [{name: {"ok": "pong"}}] of the workers that answer."""
        found = self.broadcast(
            "ping", destination=destination, timeout=timeout, reply=True, **options
        )
        return found or []

    # Jobs

    def purge(self, connection: object = None) -> int:
        """Delete all jobs that have not started; return how many."""
        from litequeue.store import bulk
        from litequeue.store.listing import EVERYTHING

        store, now = self.app.store, self.app.clock.now()
        chosen = bulk.choose(store.database, bulk.Change.PURGE, EVERYTHING, now)
        batches = bulk.carry_out(store.database, chosen, now=now, keep=store.keep)
        return sum(deleted for _, deleted in batches)

    discard_all = purge

    def revoke(
        self,
        task_id: Names,
        destination: Names | None = None,
        terminate: bool = False,
        signal: Signal = TERM,
        **options: Any,
    ) -> list[Reply] | None:
        """Revoke jobs by their ids: those that wait end at once, the others will not run again.

        With ``terminate`` those that run are ended by ``signal``.  It holds for all workers:
        ``destination`` only says whose replies to wait for.
        """
        arguments = {"task_id": task_id, "terminate": terminate, "signal": signal}
        return self.broadcast("revoke", arguments, destination, **options)

    def terminate(
        self,
        task_id: Names,
        destination: Names | None = None,
        signal: Signal = TERM,
        **options: Any,
    ) -> list[Reply] | None:
        """Revoke jobs by their ids, and end those that run."""
        return self.revoke(task_id, destination, terminate=True, signal=signal, **options)

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Names],
        destination: Names | None = None,
        terminate: bool = False,
        signal: Signal = TERM,
        **options: Any,
    ) -> list[Reply] | None:
        """Revoke the jobs that carry one of these stamps, now and later; else as `revoke`."""
        arguments = {"headers": headers, "terminate": terminate, "signal": signal}
        return self.broadcast("revoke_by_stamped_headers", arguments, destination, **options)

    def rate_limit(
        self,
        task_name: str,
        rate_limit: int | str | None,
        destination: Names | None = None,
        **options: Any,
    ) -> list[Reply] | None:
        """Raise NotImplementedError: rate limits of tasks are not built yet."""
        raise NotImplementedError("rate limits of tasks: control.rate_limit()")

    def time_limit(
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        destination: Names | None = None,
        **options: Any,
    ) -> list[Reply] | None:
        """Change the time limits (seconds) of a task for the jobs that start from now on."""
        arguments = {"task_name": task_name, "soft": soft, "hard": hard}
        return self.broadcast("time_limit", arguments, destination, **options)

    # Queues

    def pause(self, queue: str) -> bool:
        """Have no more jobs of a queue started, by any worker; False when it was paused before."""
        return self.app.store.pause(queue)

    def resume(self, queue: str) -> bool:
        """Have the jobs of a paused queue started again; False when it was not paused."""
        return self.app.store.resume(queue)

    def add_consumer(
        self,
        queue: str,
        exchange: str | None = None,
        exchange_type: str = "direct",
        routing_key: str | None = None,
        options: Mapping[str, Any] | None = None,
        destination: Names | None = None,
        **more: Any,
    ) -> list[Reply] | None:
        """Have the workers take jobs of a queue, too.

        The other arguments are Celery's and change nothing: who sends a job routes it.
        """
        return self.broadcast("add_consumer", {"queue": queue}, destination, **more)

    def cancel_consumer(
        self, queue: str, destination: Names | None = None, **options: Any
    ) -> list[Reply] | None:
        """Have the workers take no more jobs of a queue."""
        return self.broadcast("cancel_consumer", {"queue": queue}, destination, **options)

    # Events

    def enable_events(self, destination: Names | None = None, **options: Any) -> list[Reply] | None:
        """Have the workers write events of jobs."""
        return self.broadcast("enable_events", {}, destination, **options)

    def disable_events(
        self, destination: Names | None = None, **options: Any
    ) -> list[Reply] | None:
        """Have the workers write no more events of jobs."""
        return self.broadcast("disable_events", {}, destination, **options)

    def heartbeat(self, destination: Names | None = None, **options: Any) -> list[Reply] | None:
        """Have the workers that write events write a worker-heartbeat now."""
        return self.broadcast("heartbeat", {}, destination, **options)

    # Workers

    def pool_grow(
        self, n: int = 1, destination: Names | None = None, **options: Any
    ) -> list[Reply] | None:
        """Have the workers run ``n`` more jobs at once."""
        return self.broadcast("pool_grow", {"n": n}, destination, **options)

    def pool_shrink(
        self, n: int = 1, destination: Names | None = None, **options: Any
    ) -> list[Reply] | None:
        """Have the workers run ``n`` jobs fewer at once, when what runs has ended."""
        return self.broadcast("pool_shrink", {"n": n}, destination, **options)

    def autoscale(
        self, max: int, min: int, destination: Names | None = None, **options: Any
    ) -> list[Reply] | None:
        """Change the range of workers that were started with --autoscale."""
        return self.broadcast("autoscale", {"max": max, "min": min}, destination, **options)

    def pool_restart(
        self,
        modules: Sequence[str] | None = None,
        reload: bool = False,
        reloader: object = None,
        destination: Names | None = None,
        **options: Any,
    ) -> list[Reply] | None:
        """Have the workers replace their children; with ``reload`` they import the app anew.

        Raises NotImplementedError for ``modules`` and ``reloader``.
        """
        if modules or reloader is not None:
            raise NotImplementedError("pool_restart(modules=..., reloader=...); say reload=True")
        return self.broadcast("pool_restart", {"reload": reload}, destination, **options)

    def shutdown(self, destination: Names | None = None, **options: Any) -> list[Reply] | None:
        """Have the workers stop when what they run has ended."""
        return self.broadcast("shutdown", {}, destination, **options)

    def election(
        self, id: str, topic: str, action: object = None, connection: object = None
    ) -> None:
        """Ask for an election, which the workers refuse: the file decides who does what."""
        self.broadcast("election", {"id": id, "topic": topic, "action": action})

    # Any command

    def broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Names | None = None,
        connection: object = None,
        reply: bool = False,
        timeout: float | None = 1.0,
        limit: int | None = None,
        callback: Callable[[Reply], object] | None = None,
        channel: object = None,
        pattern: str | None = None,
        matcher: str | None = None,
        **extra: Any,
    ) -> list[Reply] | None:
        """Send a command to the workers; with ``reply`` return [{name: answer}], else None.

        Waits until all that are alive and meant have answered, at most ``timeout`` seconds (None:
        for ever).  ``extra`` are more arguments.  Raises ValueError for a pattern that is none,
        TypeError for arguments that JSON has not, `QueueBusy` as every write does.
        """
        given = {**(arguments or {}), **extra}
        if command in _REVOKING:
            given = _REVOKING[command](self.app, **given)
            if not reply:  # all workers hear of it from the file
                return None
        call = Call(
            command=command, arguments=given, destination=destination, pattern=pattern,
            matcher=matcher, reply=reply, timeout=timeout, limit=limit,
        )  # fmt: skip
        answers = ask(self.app, call, lives=self._lives, callback=callback)
        return [{name: answer} for name, answer in answers.items()] if reply else None


def _revoke(
    app: Home, task_id: Names, terminate: bool = False, signal: Signal = TERM, **_: Any
) -> dict[str, Any]:
    ids = listed(task_id)
    name = revoking.signal_name(signal)
    revoking.revoke(app, ids, terminate=terminate, signal=name)
    return {"task_id": ids, "terminate": terminate, "signal": name}


def _terminate(app: Home, task_id: Names, signal: Signal = TERM, **_: Any) -> dict[str, Any]:
    return _revoke(app, task_id, True, signal)


def _revoke_stamped(
    app: Home,
    headers: Mapping[str, Names],
    terminate: bool = False,
    signal: Signal = TERM,
    **_: Any,
) -> dict[str, Any]:
    wanted = {header: listed(values) for header, values in headers.items()}
    name = revoking.signal_name(signal)
    revoking.revoke_stamped(app, wanted, terminate=terminate, signal=name)
    return {"headers": wanted, "terminate": terminate, "signal": name}


_REVOKING: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    "revoke": _revoke,
    "terminate": _terminate,
    "revoke_by_stamped_headers": _revoke_stamped,
}
