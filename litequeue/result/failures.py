"""From stored words back to values and exceptions.

A name from the file is never imported: who can write the file must not choose what runs.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from litequeue import exceptions, serialization, states
from litequeue.job import Failure, result_of
from litequeue.serialization import Codec

if TYPE_CHECKING:
    from litequeue.store import Record

_OURS: Final = frozenset(
    {"ChordError", "MaxRetriesExceededError", "WorkerLostError", "ResultTooLarge", "RejectedError"}
    | {"ContentDisallowed", "SecurityError"}
    | {"TaskRevokedError", "NotSerializable", "NotRegistered"}
    | {"SoftTimeLimitExceeded", "TimeLimitExceeded"}
)


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """Why one attempt of a job failed.  ``attempt`` counts from 1; ``at`` is in UTC."""

    attempt: int
    at: datetime
    state: str
    type: str
    message: str
    traceback: str | None


def rebuild(failure: Failure | None, state: str) -> BaseException:
    """Return an exception for a stored failure, from built-in types and our own only."""
    if failure is None:
        return exceptions.TaskRevokedError(f"the job ended as {state}")
    if failure.type in _OURS:
        kind: type[BaseException] | None = getattr(exceptions, failure.type)
    else:
        kind = getattr(builtins, failure.type, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            # What a worker decided has a message and no arguments.
            return kind(*(serialization.loads(failure.args) or filter(None, [failure.message])))
        except (TypeError, ValueError):
            pass  # its arguments did not survive: its text did
    return exceptions.RemoteError(failure.type, failure.message, failure.traceback)


def value_of(record: Record, id: str, codec: Codec) -> Any:
    """Return what the task returned, raised, or says of itself in a state of its own; or None."""
    failure, state, text = record.failure, record.state, record.result
    declared = text is not None and failure is None and state == states.FAILURE
    if record.is_done and state in states.PROPAGATE_STATES and not declared:
        return rebuild(failure, state)
    if text is not None:
        return codec.loads(text, context=result_of(id))
    return None if failure is None else rebuild(failure, state)


def error_of(record: Record, id: str, codec: Codec) -> BaseException | None:
    """Return what `get` raises for a job, None where it returns."""
    if record.state not in states.PROPAGATE_STATES:
        return None
    value = value_of(record, id, codec)
    return value if isinstance(value, BaseException) else _told(record.state, value)


def _told(state: str, meta: object) -> exceptions.RemoteError:
    """Put a failure that the task declared by itself into an exception."""
    if isinstance(meta, dict) and "exc_type" in meta:  # as Celery's users write it
        return exceptions.RemoteError(str(meta["exc_type"]), str(meta.get("exc_message", "")))
    return exceptions.RemoteError(state, "" if meta is None else str(meta))
