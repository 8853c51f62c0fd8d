"""Every exception of litequeue.

    LiteQueueError
    ├── StoreError                   the file could not do what was asked
    │   ├── QueueBusy                the write lock stayed taken; nothing was accepted
    │   ├── QueueFull                no space left; nothing was accepted
    │   ├── EnqueueUncertain         an I/O error hid the outcome; send the same id again
    │   ├── QueueNotFound            there is no file at this path
    │   ├── NotAQueue                the file belongs to something else
    │   ├── SchemaMismatch           the file was written by another version of litequeue
    │   ├── QueueFileReplaced        the path now names another file
    │   ├── UnsafeFilesystem         SQLite's locks do not work there
    │   └── ForkedMidTransaction     this process was forked in the middle of a write
    ├── DuplicateJob                 the id is taken by a job with another payload
    ├── JobNotFound                  no job has this id (never had, pruned, or forgotten)
    ├── EntryNotFound                beat has no entry of this name
    ├── EntryExists                  the name is taken by another entry
    ├── EntryOwned                   the entry is defined by code, and is to be changed there
    ├── NotSerializable              arguments or result do not survive the serializer
    ├── PayloadTooLarge              arguments above `task_max_arguments_size`
    ├── ContentDisallowed            a payload in a form that `accept_content` does not allow
    ├── SecurityError                a payload whose signature is missing or wrong
    ├── NotRegistered                no task of this name in the registry
    ├── ImproperlyConfigured         a setting or an option makes no sense
    │   └── ScheduleError            a schedule that cannot be: the field is named
    ├── EnqueuedAtImport             delay() or get() ran while a worker imported the app
    ├── TimeoutError                 get() waited long enough (also a builtin TimeoutError)
    └── TaskError                    how a job ended without a result
        ├── RemoteError              the task raised a type this process may not rebuild
        ├── MaxRetriesExceededError  the last retry failed
        ├── WorkerLostError          the job's worker died too often while running it
        ├── SoftTimeLimitExceeded    raised in the task: it has run too long, and may clean up
        ├── TimeLimitExceeded        the job ran longer than its hard limit, and was killed
        ├── ResultTooLarge           the return value is above `result_max_size`
        ├── RejectedError            the task raised Reject
        ├── ChordError               a member of the group failed that the job waited for
        ├── IncompleteStream         the results of a family are asked for before all have ended
        ├── TaskRevokedError         the job was revoked or terminated, or had expired
        └── Terminated               the job was stopped by a signal while it ran
    TaskPredicate                    control flow, raised in a task on purpose
    ├── Retry                        run again later
    ├── Ignore                       end in state IGNORED, keep no result
    └── Reject                       end in state REJECTED, or go back (requeue=True)
    WorkerShutdown                   a SystemExit of a task: the worker finishes what runs, and ends
    WorkerTerminate                  a SystemExit of a task: the worker ends at once

A docstring is the default message.  Raised by callers of the library unless it says otherwise.
Of Celery's other names, `OperationalError` and `BackendError` are `StoreError` here, and
`CeleryError` is `LiteQueueError`; importing one that has nothing to stand for says why.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final


class LiteQueueError(Exception):
    """The root of every error litequeue raises."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(args or (type(self).__doc__,)))


class StoreError(LiteQueueError):
    """The queue file could not do what was asked."""


class QueueBusy(StoreError):
    """Another process held the write lock for too long; nothing was accepted, send again."""


class QueueFull(StoreError):
    """The disk is full; nothing was accepted."""


class EnqueueUncertain(StoreError):
    """An I/O error hid whether the job was accepted.

    Sending the same ``id`` again is safe: it is stored once.
    """

    def __init__(self, id: str, cause: object = "I/O error") -> None:
        self.id = id
        super().__init__(
            f"whether job {id} was accepted is unknown ({cause}); "
            f"send it again with task_id={id!r}, it cannot be stored twice"
        )


class QueueNotFound(StoreError):
    """There is no queue file at this path."""


class NotAQueue(StoreError):
    """The file is not a litequeue file."""


class SchemaMismatch(StoreError):
    """The file was written by another version of litequeue."""


class QueueFileReplaced(StoreError):
    """The path now names another file than the one that was opened."""


class UnsafeFilesystem(StoreError):
    """SQLite cannot lock files on this filesystem."""


class ForkedMidTransaction(StoreError):
    """This process was forked while its parent was writing to the file.

    SQLite's lock table came along with the fork, so opening the file here could lose data.
    """


class DuplicateJob(LiteQueueError):
    """The id is taken by a job with another payload."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"job {id} exists with another payload; choose another task_id")


class JobNotFound(LiteQueueError):
    """No job has this id."""

    def __init__(self, id: str, message: str | None = None) -> None:
        self.id = id
        super().__init__(
            message or f"no job {id} in this file: never enqueued here, pruned, or forgotten"
        )


class EntryNotFound(LiteQueueError):
    """No entry has this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"no entry {name!r} in this file; `litequeue schedule DB list` shows those there are"
        )


class EntryExists(LiteQueueError):
    """The name is taken by another entry."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"entry {name!r} exists; edit it, or choose another name")


class EntryOwned(LiteQueueError):
    """The entry is defined by code.  ``owner`` is the app that does it, "" for one without name."""

    def __init__(self, name: str, owner: str = "") -> None:
        self.name = name
        self.owner = owner
        whose = f"the code of {owner}" if owner else "code"
        super().__init__(f"entry {name!r} is defined by {whose}; change it there, or pause it here")


class NotSerializable(LiteQueueError, TypeError):
    """A value does not survive the serializer."""


class PayloadTooLarge(LiteQueueError, ValueError):
    """The arguments are larger than `task_max_arguments_size`."""


class ContentDisallowed(LiteQueueError, ValueError):
    """The payload is in a form that `accept_content` does not allow."""


class SecurityError(LiteQueueError, ValueError):
    """The signature of a payload is missing or wrong."""


class NotRegistered(LiteQueueError, KeyError):
    """No task of this name is registered."""

    def __str__(self) -> str:
        return str(self.args[0])


class ImproperlyConfigured(LiteQueueError):
    """A setting or an option makes no sense."""


class ScheduleError(ImproperlyConfigured, ValueError):
    """A schedule makes no sense."""


class EnqueuedAtImport(LiteQueueError):
    """delay() or get() was called while a worker imported the app."""


class TimeoutError(LiteQueueError, builtins.TimeoutError):
    """The result did not come in time."""


class TaskError(LiteQueueError):
    """The job ended without a result."""


class RemoteError(TaskError):
    """The task raised an exception whose type is not rebuilt here.

    ``type`` is its qualified name, ``message`` its text, ``remote_traceback`` where it was raised.
    """

    def __init__(self, type: str, message: str, remote_traceback: str | None = None) -> None:
        self.type = type
        self.message = message
        self.remote_traceback = remote_traceback
        super().__init__(f"{type}: {message}" if message else type)


class MaxRetriesExceededError(TaskError):
    """The job failed and no retry is left.

    ``task_args`` and ``task_kwargs`` are the arguments of the attempt that was one too many.
    """

    def __init__(
        self,
        *args: object,
        task_args: Sequence[Any] = (),
        task_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.task_args = task_args
        self.task_kwargs: dict[str, Any] = dict(task_kwargs or {})
        super().__init__(*args)


class WorkerLostError(TaskError):
    """The worker died while running the job, more often than `task_max_deliveries` allows."""


class SoftTimeLimitExceeded(TaskError):
    """The job ran longer than its soft time limit."""


class TimeLimitExceeded(TaskError):
    """The job ran longer than its hard time limit and was killed."""


class ResultTooLarge(TaskError):
    """The return value is larger than `result_max_size`."""


class RejectedError(TaskError):
    """The task rejected the job."""


class ChordError(TaskError):
    """A member of the group failed whose results the job waited for, so it was not run.

    ``member`` is the id of the one that failed first, in their order.
    """

    def __init__(self, message: str | None = None, member: str | None = None) -> None:
        self.member = member
        super().__init__(message or "a member of the group failed, so what waits for all did, too")


class IncompleteStream(TaskError):
    """The results of a family are asked for before all of it has ended."""


class TaskRevokedError(TaskError):
    """The job was revoked or terminated, or had expired before it ran."""


class Terminated(TaskError):
    """The job was terminated while it ran."""


class TaskPredicate(Exception):
    """Control flow of a task; never an error."""


class Retry(TaskPredicate):
    """Raised by `Task.retry`: run the job again.

    ``when`` is the countdown in seconds, or a datetime, None for the task's default; ``exc`` what
    made the task give up this time, ``excs`` that in words; ``message`` what the task said.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        when: float | datetime | None = None,
        is_eager: bool = False,
    ) -> None:
        self.message = message
        self.exc = exc
        self.excs: str | None = None if exc is None else repr(exc)
        self.when: float | datetime | None = when
        self.is_eager = is_eager
        super().__init__(message or f"Retry {self.humanize()}" + (f": {exc!r}" if exc else ""))

    def humanize(self) -> str:
        """Say when, in words."""
        if self.when is None:
            return "later"
        return f"in {self.when:g}s" if isinstance(self.when, int | float) else f"at {self.when}"


class Ignore(TaskPredicate):
    """End the job in state IGNORED and keep no result."""


class Reject(TaskPredicate):
    """End the job in state REJECTED; with ``requeue`` put it back instead."""

    def __init__(self, reason: object = None, requeue: bool = False) -> None:
        self.reason = reason
        self.requeue = requeue
        super().__init__(str(reason) if reason is not None else "rejected")


class WorkerShutdown(SystemExit):
    """Raised in a task: the worker finishes what runs, and ends."""


class WorkerTerminate(SystemExit):
    """Raised in a task: the worker ends at once; what runs is given back."""


# Celery's names: what `except` clauses that were written for it look for

_ABSENT: Final = {
    "AlreadyRegistered": "two tasks of one name raise ImproperlyConfigured",
    "AlwaysEagerIgnored": "send_task() logs that it enqueues although task_always_eager is set",
    "BackendGetMetaError": "a result that cannot be read raises StoreError",
    "BackendStoreError": "a result is stored by the worker, never by the one who reads it",
    "InvalidTaskError": "a job that cannot be read ends as FAILURE, with its reason",
}

if TYPE_CHECKING:
    BackendError = StoreError
    CeleryError = LiteQueueError
    OperationalError = StoreError
else:
    # Not in the module's namespace, so that each class has one name wherever they are listed.
    _ALIASES: Final = {
        "BackendError": StoreError,
        "CeleryError": LiteQueueError,
        "OperationalError": StoreError,
    }

    def __getattr__(name: str) -> type[Exception]:
        """Return the class that stands for one of Celery's; ImportError says why none does."""
        if name in _ALIASES:
            return _ALIASES[name]
        if name in _ABSENT:
            raise ImportError(f"litequeue has no {name}: {_ABSENT[name]}", name=__name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
