"""What travels: a `Job` to the file, a `Lease` to a child, an `Outcome` back.  Data only.

Nobody changes them.  Those three are not frozen all the same, because making a frozen one takes
five times as long: 6 of the 60 µs that a job takes.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Final

_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def new_id(now: float) -> str:
    """Make a job id: a UUID version 7 whose first 60 bits grow with ``now`` (RFC 9562, 6.2).

    Ids that grow keep the unique index warm: 4.9 µs and 0.8 kB of WAL per job at two million
    rows, against 13.5 µs and 6.0 kB for random ones.
    """
    return new_ids(now, 1)[0]


def new_ids(now: float, count: int) -> list[str]:
    """Make ``count`` ids that share the moment ``now`` (epoch seconds)."""
    milliseconds, fraction = divmod(int(now * 4_096_000), 4096)
    stamp = f"{milliseconds:012x}"
    head = f"{stamp[:8]}-{stamp[8:]}-7{fraction:03x}"
    noise = os.urandom(8 * count).hex()
    return [
        f"{head}-{_VARIANT[noise[at]]}{noise[at + 1 : at + 4]}-{noise[at + 4 : at + 16]}"
        for at in range(0, 16 * count, 16)
    ]


def bound_to(task: str, id: str, options: str | None = None) -> str:
    """Return what a signature binds the arguments of a job to: no other pair has the same.

    What beat sends is bound to its entry: it copies arguments, and has no key to sign with.
    """
    entry = entry_of(options)
    if entry is not None:
        return f"entry:{len(task)}:{task}:{entry}"
    return f"{len(task)}:{task}:{id}"


def entry_of(options: str | None) -> str | None:
    """Return the name of beat's entry in a job's options (JSON), None where no entry sent it."""
    if not options or '"entry"' not in options:
        return None
    try:
        entry = json.loads(options).get("entry")
    except (AttributeError, ValueError, RecursionError):  # no sender of ours writes such options
        return None
    return entry if isinstance(entry, str) else None


def result_of(id: str) -> str:
    """Return what a signature binds the result of a job to."""
    return f"result:{id}"


def stamps_of(options: str | None) -> dict[str, frozenset[str]]:
    """Return the stamps in a job's options (JSON), each with the values that it holds, as text."""
    if not options or '"stamps"' not in options:
        return {}
    try:
        stamps = json.loads(options).get("stamps")
    except (AttributeError, ValueError, RecursionError):  # no sender of ours writes such options
        return {}
    if not isinstance(stamps, dict):
        return {}
    held = {name: value if isinstance(value, list) else [value] for name, value in stamps.items()}
    return {name: frozenset(map(str, values)) for name, values in held.items()}


@dataclass(slots=True)
class Job:
    """One request to run a task, as it is stored."""

    id: str
    task: str
    body: str
    queue: str
    priority: int = 0
    eta: float | None = None
    expires: float | None = None
    options: str | None = None
    parent: str | None = None


@dataclass(slots=True)
class Lease:
    """A worker's right to one attempt of a job.

    ``token`` is 64 random bits and ``claim`` the number of this claim; every later write about
    the attempt must match the token, so what a worker has lost it can no longer change.
    ``once``: acknowledged before it runs, so it is never run again (Celery's early ack).
    ``soft`` and ``hard`` are its time limits in seconds, as its worker resolved them.
    """

    seq: int
    token: int
    claim: int
    id: str
    task: str
    body: str
    options: str | None
    queue: str
    priority: int
    retries: int
    deaths: int
    eta: float | None
    expires: float | None
    parent: str | None
    once: int = 0
    soft: float | None = None
    hard: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, as text: exceptions cross processes as words, never as objects.

    ``expected``: the task said that this may happen (`Task.throws`).  ``evidence`` is JSON: how the
    process of the attempt died.
    """

    type: str
    message: str
    traceback: str | None = None
    args: str = "[]"
    expected: bool = False
    evidence: str | None = None


@dataclass(slots=True)
class Outcome:
    """What one attempt decided.  `store.jobs.settle_and_claim` makes it true.

    ``state`` is a ready state, or RETRY with the ``eta`` of the next attempt.  ``body`` replaces
    the arguments of the next attempt when the task asked for that, and ``moves`` its queue,
    priority and expiry (each None: as it is).  ``shown`` is the result as the log shows it,
    ``log`` what the attempt printed, where that is kept.  ``sequel`` is a `litequeue.flow.Sequel`
    as text: what the job hands on with its end.
    """

    seq: int
    token: int
    claim: int
    state: str
    result: str | None = None
    started: float = 0.0
    runtime: float = 0.0
    eta: float | None = None
    counted: bool = True
    body: str | None = None
    failure: Failure | None = None
    moves: tuple[str | None, int | None, float | None] | None = None
    shown: str | None = None
    log: str | None = None
    sequel: str | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """Hooks to call for a verdict that was made without a child.

    ``why`` is the signal to send: "task_failure", "task_revoked", "task_unknown".  ``signum`` is
    the signal by which a running job was terminated.
    """

    why: str
    lease: Lease
    failure: Failure | None = None
    signum: int | None = None


def lease_to_wire(lease: Lease) -> tuple[Any, ...]:
    """Return the fields in order, as marshal can carry them."""
    return (
        lease.seq, lease.token, lease.claim, lease.id, lease.task, lease.body, lease.options,
        lease.queue, lease.priority, lease.retries, lease.deaths, lease.eta, lease.expires,
        lease.parent, lease.once, lease.soft, lease.hard,
    )  # fmt: skip


def outcome_to_wire(outcome: Outcome) -> tuple[Any, ...]:
    """Return the fields in order, as marshal can carry them."""
    failure = outcome.failure
    return (
        outcome.seq, outcome.token, outcome.claim, outcome.state, outcome.result, outcome.started,
        outcome.runtime, outcome.eta, outcome.counted, outcome.body,
        failure and _failure_to_wire(failure), outcome.moves, outcome.shown, outcome.log,
        outcome.sequel,
    )  # fmt: skip


def _failure_to_wire(failure: Failure) -> tuple[Any, ...]:
    return (
        failure.type, failure.message, failure.traceback, failure.args, failure.expected,
        failure.evidence,
    )  # fmt: skip


def outcome_from_wire(fields: tuple[Any, ...]) -> Outcome:
    """Rebuild what `outcome_to_wire` took apart."""
    outcome = Outcome(*fields)
    failure: Any = outcome.failure
    if failure is not None:
        outcome.failure = Failure(*failure)
    return outcome


def errand_to_wire(errand: Errand) -> tuple[Any, ...]:
    """Return the fields in order, as marshal can carry them: fewer than a lease has."""
    failure = errand.failure
    return (
        errand.why, lease_to_wire(errand.lease), failure and _failure_to_wire(failure),
        errand.signum,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Nudge:
    """Has an idle child look whether it was dismissed."""


NUDGE: Final = Nudge()


def from_wire(fields: tuple[Any, ...]) -> Lease | Errand | Nudge:
    """Rebuild what `lease_to_wire` or `errand_to_wire` took apart."""
    if len(fields) > _ERRAND_FIELDS:
        return Lease(*fields)
    if not fields:
        return NUDGE
    why, lease, failure, signum = fields
    return Errand(why, Lease(*lease), failure and Failure(*failure), signum)


_ERRAND_FIELDS: Final = 4
