"""`AsyncResult`: what became of a job, and waiting for it."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast

from litequeue import exceptions, serialization, states
from litequeue.context import current_request, refuse_at_import
from litequeue.job import Failure
from litequeue.store import Record, Store

R = TypeVar("R")

_OURS: Final = frozenset(
    {"MaxRetriesExceededError", "WorkerLostError", "ResultTooLarge", "RejectedError"}
    | {"TaskRevokedError", "NotSerializable", "NotRegistered"}
)
_UNBUILT_OPTIONS: Final = frozenset(
    {"interval", "on_interval", "on_message", "no_ack", "follow_parents"}
)


class AsyncResult(Generic[R]):
    """A handle on a job: it holds the id and asks the file."""

    __slots__ = ("_store", "id")

    def __init__(self, id: str, store: Store) -> None:
        self.id = id
        self._store = store

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        callback: Callable[[str, R], object] | None = None,
        disable_sync_subtasks: bool = True,
        **options: object,
    ) -> R:
        """Wait for the job and return what the task returned.

        ``timeout`` is in seconds, None waits for ever.  Raises `TimeoutError`, `JobNotFound` at
        once for an unknown id, and the task's own exception (built-in types; others come as
        `RemoteError`) unless ``propagate`` is false: then the exception is returned.
        ``callback`` is called with (id, result).  Raises RuntimeError inside a task, where
        waiting for a job of the same worker could last for ever, unless ``disable_sync_subtasks``
        is false.  Celery's other options raise NotImplementedError.
        """
        refuse_at_import("get()")
        for name in options:
            if name in _UNBUILT_OPTIONS:
                raise NotImplementedError(f"get() option {name!r}")
            raise TypeError(f"get() has no option {name!r}")
        if disable_sync_subtasks and current_request.get() is not None:
            raise RuntimeError(
                "get() inside a task can wait for ever on its own worker; "
                "return the id, and let the caller wait"
            )
        value = self._value(self._await_record(timeout), propagate)
        if callback is not None:
            callback(self.id, value)
        return value

    def _await_record(self, timeout: float | None) -> Record:
        clock = self._store.clock
        deadline = None if timeout is None else clock.monotonic() + timeout
        waiting = self._store.wait_for(self.id)
        try:
            while True:
                record = self._record()
                if record.is_done:
                    return record
                left = 3600.0 if deadline is None else deadline - clock.monotonic()
                if left <= 0:
                    raise exceptions.TimeoutError(
                        f"job {self.id} is still {record.state} after {timeout:g} s"
                    )
                waiting.wait(left)
        finally:
            waiting.close()

    def _record(self) -> Record:
        record = self._store.fetch(self.id)
        if record is None:
            raise exceptions.JobNotFound(self.id)
        return record

    def _value(self, record: Record, propagate: bool) -> R:
        if record.state not in states.PROPAGATE_STATES:
            return cast(R, None if record.result is None else serialization.loads(record.result))
        error = rebuild(record.failure, record.state)
        if propagate:
            raise error
        return cast(R, error)

    @property
    def state(self) -> str:
        """Celery's state of the job; PENDING also for an unknown id (see `exists`)."""
        record = self._store.fetch(self.id)
        return states.PENDING if record is None else record.state

    status = state

    @property
    def result(self) -> Any:
        """The return value, or the exception, or None while there is neither."""
        record = self._store.fetch(self.id)
        if record is None or (not record.is_done and record.state != states.RETRY):
            return None
        if record.state == states.RETRY:
            return None if record.failure is None else rebuild(record.failure, record.state)
        return self._value(record, propagate=False)

    info = result

    @property
    def traceback(self) -> str | None:
        """The text of the last attempt's traceback, None without one."""
        record = self._store.fetch(self.id)
        return None if record is None or record.failure is None else record.failure.traceback

    @property
    def retries(self) -> int:
        """How often the job has been retried.  Raises `JobNotFound`."""
        return self._record().retries

    def exists(self) -> bool:
        """Tell whether the file has the job."""
        return self._store.fetch(self.id) is not None

    def ready(self) -> bool:
        """Tell whether the job has ended, well or not."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Tell whether the job ended with a result."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Tell whether the job ended with an exception."""
        return self.state == states.FAILURE

    def revoke(self, terminate: bool = False) -> bool:
        """End the job as REVOKED if it still waits; False when it does not."""
        if terminate:
            raise NotImplementedError("revoke(terminate=True), which stops a running job")
        return self._store.revoke(self.id)

    def forget(self) -> bool:
        """Delete the finished job with its result; False when it is not finished."""
        return self._store.forget(self.id)

    def __repr__(self) -> str:
        """Return Celery's form."""
        return f"<AsyncResult: {self.id}>"

    def __str__(self) -> str:
        """Return the id."""
        return self.id

    def __eq__(self, other: object) -> bool:
        """Compare by id."""
        return isinstance(other, AsyncResult) and other.id == self.id

    def __hash__(self) -> int:
        """Hash by id."""
        return hash(self.id)


def rebuild(failure: Failure | None, state: str) -> BaseException:
    """Return an exception for a stored failure, from built-in types and our own only.

    A name from the file is never imported: who can write the file must not choose what runs.
    """
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
