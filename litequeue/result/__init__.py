"""What became of jobs, and waiting for it: `AsyncResult` for one, `ResultSet` for many.

A handle holds an id and asks the file.  `EagerResult` stands for a task that ran here and now,
`GroupResult` for a group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litequeue.result.async_result import AsyncResult
from litequeue.result.failures import FailedAttempt, rebuild
from litequeue.result.home import Home
from litequeue.result.joining import allow_join_result, denied_join_result

if TYPE_CHECKING:
    from litequeue.result.by_id import result_from_tuple
    from litequeue.result.eager_result import EagerResult
    from litequeue.result.group_result import GroupResult
    from litequeue.result.progress import Progress
    from litequeue.result.result_set import ResultSet

__all__ = [
    "AsyncResult",
    "EagerResult",
    "FailedAttempt",
    "GroupResult",
    "Home",
    "Progress",
    "ResultSet",
    "allow_join_result",
    "denied_join_result",
    "rebuild",
    "result_from_tuple",
]

# Loaded where they are used: who sends and awaits single jobs needs none of them.
_LATER: Final = {
    "EagerResult": "eager_result",
    "GroupResult": "group_result",
    "Progress": "progress",
    "ResultSet": "result_set",
    "result_from_tuple": "by_id",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load what has not been needed so far."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
