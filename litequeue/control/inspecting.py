"""`Inspect`: questions to the workers; the answers by their names, in Celery's forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from litequeue.control.asking import Names, Reply


class Broadcaster(Protocol):
    """What sends a command and returns the replies: a `Control`."""

    app: Any

    def broadcast(self, command: str, **options: Any) -> list[Reply] | None:
        """Send a command."""


class Inspect:
    """Asks the workers; each method returns {name: answer}, None when nobody answers.

    With one name as ``destination`` it is that worker's answer alone.  ``timeout`` is in seconds.
    """

    def __init__(
        self,
        control: Broadcaster,
        destination: Names | None = None,
        timeout: float | None = 1.0,
        callback: Callable[[Reply], object] | None = None,
        *,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> None:
        self.app: Any = control.app
        self.control = control
        self.destination = destination
        self.timeout = timeout
        self.callback = callback
        self.limit = limit
        self.pattern = pattern
        self.matcher = matcher

    def _request(self, command: str, **arguments: Any) -> Any:
        replies = self.control.broadcast(
            command,
            arguments=arguments,
            destination=self.destination,
            reply=True,
            timeout=self.timeout,
            limit=self.limit,
            callback=self.callback,
            pattern=self.pattern,
            matcher=self.matcher,
        )
        by_name = {name: answer for reply in replies or () for name, answer in reply.items()}
        if not by_name:
            return None
        return by_name.get(self.destination) if isinstance(self.destination, str) else by_name

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send any command and return the answers."""
        return self._request(command, **arguments)

    # Jobs

    def active(self, safe: bool | None = None) -> Any:
        """Return the jobs that run, as lists of requests; with ``safe`` arguments are text."""
        return self._request("active", safe=safe)

    def reserved(self, safe: bool | None = None) -> Any:
        """Return the jobs that a worker has leased and does not run yet."""
        return self._request("reserved")

    def scheduled(self, safe: bool | None = None) -> Any:
        """Return the jobs that are due later and that the worker could run, at most 1,000."""
        return self._request("scheduled")

    def revoked(self) -> Any:
        """Return the ids of jobs that must not run."""
        return self._request("revoked")

    def query_task(self, *ids: str | Sequence[str]) -> Any:
        """Return {id: [state, request]} of those jobs that a worker has or could run later."""
        wanted: list[str] = []
        for each in ids:
            wanted.extend([each] if isinstance(each, str) else each)
        return self._request("query_task", ids=wanted)

    # What a worker is

    def ping(self, destination: Names | None = None) -> Any:
        """Return {"ok": "pong"} of each worker."""
        if destination:
            self.destination = destination
        return self._request("ping")

    def stats(self) -> Any:
        """Return counts and figures."""
        return self._request("stats")

    def report(self) -> Any:
        """Return {"ok": text} that describes the installation."""
        return self._request("report")

    def conf(self, with_defaults: bool = False) -> Any:
        """Return the settings that were changed, or all; secrets are masked."""
        return self._request("conf", with_defaults=with_defaults)

    def registered(self, *taskinfoitems: str) -> Any:
        """Return the names of the tasks, with the attributes named in ``taskinfoitems``."""
        return self._request("registered", taskinfoitems=taskinfoitems)

    registered_tasks = registered

    def active_queues(self) -> Any:
        """Return the queues that the workers take jobs from."""
        return self._request("active_queues")

    def clock(self) -> Any:
        """Return {"clock": number}; the number grows with every command to the file."""
        return self._request("clock")

    def hello(self, from_node: str, revoked: Mapping[str, Any] | None = None) -> Any:
        """Return what a worker tells another that starts."""
        return self._request("hello", from_node=from_node, revoked=revoked)

    # Memory

    def memsample(self) -> Any:
        """Return how much memory the processes of a worker take together."""
        return self._request("memsample")

    def memdump(self, samples: int = 10) -> Any:
        """Return the last figures of `memsample`."""
        return self._request("memdump", samples=samples)

    def objgraph(self, type: str = "Request", n: int = 200, max_depth: int = 10) -> Any:
        """Be refused: the process that answers runs no user code."""
        return self._request("objgraph", num=n, max_depth=max_depth, type=type)
