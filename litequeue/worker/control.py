"""Where Celery's `control_command` and `inspect_command` are: here they are refused.

Commands are answered by the consumer, which runs no user code; what a worker is to do for a
user's own question is a task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


def control_command(*args: Any, **options: Any) -> Callable[..., Any]:
    """Raise NotImplementedError, at import time."""
    _refuse("control_command")


def inspect_command(*args: Any, **options: Any) -> Callable[..., Any]:
    """Raise NotImplementedError, at import time."""
    _refuse("inspect_command")


def _refuse(name: str) -> NoReturn:
    raise NotImplementedError(
        f"@{name}: remote control is answered by a process that runs no user code; "
        "make it a task, and send it to a queue of the worker's own"
    )
