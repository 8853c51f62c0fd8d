"""A job queue in one SQLite file: broker, result store, schedule and monitor, without a server.

from litequeue import LiteQueue

app = LiteQueue("jobs.sqlite")

@app.task
def add(x: int, y: int) -> int:
    return x + y

add.delay(1, 2).get(timeout=10)      # with `litequeue worker jobs.sqlite -A module:app` running
"""

from __future__ import annotations

from litequeue.app import LiteQueue
from litequeue.exceptions import (
    ContentDisallowed,
    DuplicateJob,
    EnqueuedAtImport,
    EnqueueUncertain,
    Ignore,
    ImproperlyConfigured,
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
    SecurityError,
    StoreError,
    TaskError,
    TaskRevokedError,
    TimeoutError,
    WorkerLostError,
)
from litequeue.result import AsyncResult, EagerResult, ResultSet
from litequeue.shared import current_app, current_task, shared_task
from litequeue.task import Task

__version__ = "0.1.0"

__all__ = [
    "AsyncResult",
    "ContentDisallowed",
    "DuplicateJob",
    "EagerResult",
    "EnqueueUncertain",
    "EnqueuedAtImport",
    "Ignore",
    "ImproperlyConfigured",
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
    "SecurityError",
    "StoreError",
    "Task",
    "TaskError",
    "TaskRevokedError",
    "TimeoutError",
    "WorkerLostError",
    "__version__",
    "current_app",
    "current_task",
    "shared_task",
]
