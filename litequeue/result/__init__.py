"""What became of jobs, and waiting for it: `AsyncResult` for one, `ResultSet` for many.

A handle holds an id and asks the file.  `EagerResult` stands for a task that ran here and now.
"""

from __future__ import annotations

from litequeue.result.async_result import AsyncResult
from litequeue.result.eager_result import EagerResult
from litequeue.result.failures import FailedAttempt, rebuild
from litequeue.result.home import Home
from litequeue.result.joining import allow_join_result, denied_join_result
from litequeue.result.result_set import ResultSet

__all__ = [
    "AsyncResult",
    "EagerResult",
    "FailedAttempt",
    "Home",
    "ResultSet",
    "allow_join_result",
    "denied_join_result",
    "rebuild",
]
