"""A job queue in one SQLite file: broker, result store, schedule and monitor, without a server.

from litequeue import LiteQueue

app = LiteQueue("jobs.sqlite")

@app.task
def add(x: int, y: int) -> int:
    return x + y

add.delay(1, 2).get(timeout=10)      # with `litequeue worker jobs.sqlite -A module:app` running
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from litequeue.app import LiteQueue
    from litequeue.canvas import (
        chain,
        chord,
        chunks,
        group,
        maybe_signature,
        signature,
        subtask,
        xmap,
        xstarmap,
    )
    from litequeue.exceptions import (
        ChordError,
        ContentDisallowed,
        DuplicateJob,
        EnqueuedAtImport,
        EnqueueUncertain,
        EntryExists,
        EntryNotFound,
        EntryOwned,
        Ignore,
        ImproperlyConfigured,
        IncompleteStream,
        JobNotFound,
        LiteQueueError,
        MaxRetriesExceededError,
        NotRegistered,
        NotSerializable,
        PayloadTooLarge,
        QueueBusy,
        QueueFileReplaced,
        QueueFull,
        Reject,
        RemoteError,
        Retry,
        ScheduleError,
        SecurityError,
        StoreError,
        TaskError,
        TaskRevokedError,
        TimeoutError,
        WorkerLostError,
    )
    from litequeue.freezing import freeze_support
    from litequeue.result import AsyncResult, EagerResult, ResultSet
    from litequeue.result.group_result import GroupResult
    from litequeue.shared import current_app, current_task, shared_task
    from litequeue.task import Task

__version__ = "0.1.0"

__all__ = [
    "AsyncResult",
    "ChordError",
    "ContentDisallowed",
    "DuplicateJob",
    "EagerResult",
    "EnqueueUncertain",
    "EnqueuedAtImport",
    "EntryExists",
    "EntryNotFound",
    "EntryOwned",
    "GroupResult",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "JobNotFound",
    "LiteQueue",
    "LiteQueueError",
    "MaxRetriesExceededError",
    "NotRegistered",
    "NotSerializable",
    "PayloadTooLarge",
    "QueueBusy",
    "QueueFileReplaced",
    "QueueFull",
    "Reject",
    "RemoteError",
    "ResultSet",
    "Retry",
    "ScheduleError",
    "SecurityError",
    "StoreError",
    "Task",
    "TaskError",
    "TaskRevokedError",
    "TimeoutError",
    "WorkerLostError",
    "__version__",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "freeze_support",
    "group",
    "maybe_signature",
    "shared_task",
    "signature",
    "subtask",
    "xmap",
    "xstarmap",
]

_HOMES: Final = {
    "AsyncResult": "result",
    "EagerResult": "result",
    "GroupResult": "result.group_result",
    "LiteQueue": "app",
    "ResultSet": "result",
    "Task": "task",
    "chain": "canvas",
    "chord": "canvas",
    "chunks": "canvas",
    "current_app": "shared",
    "current_task": "shared",
    "freeze_support": "freezing",
    "group": "canvas",
    "maybe_signature": "canvas",
    "shared_task": "shared",
    "signature": "canvas",
    "subtask": "canvas",
    "xmap": "canvas",
    "xstarmap": "canvas",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use: the command line's help needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module = importlib.import_module(f"litequeue.{_HOMES.get(name, 'exceptions')}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
