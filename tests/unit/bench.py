"""What the unit tests of the core stand on: an app whose file is never opened, and witnesses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from litequeue import LiteQueue, Task
from litequeue.context import current_request, working_for
from litequeue.facts import AppFacts
from litequeue.flow import Plan
from litequeue.job import Job, Lease, Outcome
from litequeue.signals import Signal
from litequeue.store.events import EventRow
from litequeue.worker.executor import Executor
from litequeue.worker.request import Request, request_for
from tests.conftest import FakeClock

NOW = 1_700_000_000.0


class Outbox:
    """Stands for the file: keeps what is sent."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.waits: list[float | None] = []
        self.introduced: list[AppFacts] = []
        self.shown: list[tuple[str, str | None, str | None, int | None]] = []
        self.ended: list[tuple[Job, Outcome, int]] = []
        self.events: list[EventRow] = []
        self.plans: list[Plan] = []

    def introduce(self, app: AppFacts) -> None:
        self.introduced.append(app)

    def enqueue(
        self, job: Job, *, wait: float | None = None, event: EventRow | None = None
    ) -> None:
        self.jobs.append(job)
        self.waits.append(wait)
        if event is not None:
            self.events.append(event)

    def enqueue_many(self, jobs: Sequence[Job], *, happened: Sequence[EventRow] = ()) -> None:
        self.jobs.extend(jobs)
        self.events.extend(happened)

    def add_workflow(
        self, plan: Plan, *, happened: Sequence[EventRow] = (), wait: float | None = None
    ) -> None:
        steps, edges = tuple(plan.steps), tuple(plan.edges)
        self.plans.append(replace(plan, steps=steps, edges=edges))
        self.jobs.extend(step.job for step in steps)
        self.waits.append(wait)
        self.events.extend(happened)

    def after(self, id: str) -> tuple[list[str], list[str], str | None]:
        return [], [], None

    def update_state(
        self, id: str, *, state: str | None, meta: str | None, token: int | None
    ) -> None:
        self.shown.append((id, state, meta, token))

    def add_ended(self, job: Job, outcome: Outcome, *, retries: int) -> None:
        self.ended.append((job, outcome, retries))

    @property
    def job(self) -> Job:
        """The only job that was sent."""
        (job,) = self.jobs
        return job

    def close(self) -> None:
        """Have nothing to close."""


class Heard:
    """Connects receivers that remember what they are told, in one order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def listen(self, *signals: Signal, sender: Any = None) -> None:
        for signal in signals:

            def receiver(signal: Signal, **named: Any) -> None:
                self.calls.append((signal.name, named))

            signal.connect(receiver, sender=sender, weak=False)

    def hook(self, name: str) -> Callable[..., None]:
        """Return a method of tasks that remembers its arguments."""

        def method(task: Any, *args: Any) -> None:
            self.calls.append((name, {"args": args}))

        return method

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def of(self, name: str) -> dict[str, Any]:
        """Return the arguments of the only call of this name."""
        (named,) = [named for each, named in self.calls if each == name]
        return named


class Bench:
    """An app with a clock moved by hand, an outbox for a file, and an executor."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = FakeClock(NOW)
        self.app = LiteQueue(folder / "jobs.sqlite", clock=self.clock, **settings)
        self.outbox = Outbox()
        self.app._store = self.outbox  # type: ignore[assignment]  # enough of one

    def task(self, function: Callable[..., Any], **options: Any) -> Task[..., Any]:
        """Register ``function`` as the task "t"."""
        task: Task[..., Any] = self.app.task(name="t", **options)(function)
        return task

    def execute(self, task: str = "t", **changes: Any) -> Outcome:
        """Run one lease."""
        executor = Executor(self.app, self.clock, "host")
        with working_for(self.app), closing(executor):  # as a child does for its life
            outcome = executor.execute(lease(task, **changes))
        assert current_request.get() is None
        return outcome

    def run(self, function: Callable[..., Any], **given: Any) -> Outcome:
        """Register ``function`` as the task "t" with the options, and run a lease of it."""
        names = given.keys() & LEASE_OPTIONS
        changes = {name: given.pop(name) for name in names}
        self.app.tasks.pop("t", None)
        self.task(function, **given)
        return self.execute(**changes)

    @contextmanager
    def running(self, task: str = "t", **changes: Any) -> Iterator[Request]:
        """Be inside a job of ``task`` in this block."""
        request = request_for(lease(task, **changes), [], {}, "host")
        mark = current_request.set(request)
        try:
            with working_for(self.app):
                yield request
        finally:
            current_request.reset(mark)


LEASE_OPTIONS = frozenset(
    {"args", "kwargs", "body", "id", "claim", "retries", "lease_options", "eta", "lease_expires"}
    | {"once", "soft", "hard"}
)


def lease(
    task: str = "t",
    *,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    body: Any = ...,
    id: str = "the-id",
    claim: int = 1,
    retries: int = 0,
    deaths: int = 0,
    lease_options: dict[str, Any] | None = None,
    eta: float | None = None,
    lease_expires: float | None = None,
    once: int = 0,
    soft: float | None = None,
    hard: float | None = None,
) -> Lease:
    """Make a lease of seq 7 and token 99, of queue "mail", priority 5, sent by "parent"."""
    return Lease(
        7, 99, claim, id, task, json.dumps([list(args), kwargs or {}]) if body is ... else body,
        None if lease_options is None else json.dumps(lease_options), "mail", 5, retries, deaths,
        eta, lease_expires, "parent", once, soft, hard,
    )  # fmt: skip


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises ``error``, whatever it is given."""

    def function(*_: Any, **__: Any) -> None:
        raise error

    return function


def calling(call: Callable[[], object]) -> Callable[[], None]:
    """Return a function that makes ``call`` and returns nothing."""

    def function() -> None:
        call()

    return function
