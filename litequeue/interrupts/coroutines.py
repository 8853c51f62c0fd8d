"""Coroutines that can be interrupted where they await."""

from __future__ import annotations

import functools
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any, Protocol

from litequeue.exceptions import SoftTimeLimitExceeded

if TYPE_CHECKING:
    import asyncio


class Watcher(Protocol):
    """What a coroutine needs of the guard of its line."""

    def watch(self, driven: Driven) -> None:
        """Have interruptions go to a coroutine that has begun."""

    def unwatch(self) -> None:
        """Say that it has ended."""

    @property
    def has_raised(self) -> bool:
        """Whether the attempt has been interrupted: once is enough."""

    def note_raised(self) -> None:
        """Say that the exception has got into the user's code."""


class Driven:
    """A coroutine that can be interrupted where it awaits: its task is cancelled, and told why."""

    def __init__(self, guard: Watcher, task: asyncio.Task[Any]) -> None:
        self._guard = guard
        self._task = task
        self._loop = task.get_loop()
        self._cancels = 0
        self._is_over = False
        self.is_asked: bool = False

    def is_running(self) -> bool:
        """Tell whether the task is in the middle of a step: for the loop's own thread."""
        import asyncio

        return asyncio.current_task(self._loop) is self._task

    def ask_soon(self) -> bool:
        """Have it interrupted by its loop, from any thread or signal handler."""
        self.is_asked = True
        try:
            self._loop.call_soon_threadsafe(self._ask)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def take(self) -> bool:
        """Tell whether a cancellation that has come is ours, and end it."""
        if not self._cancels:
            return False
        self._forgive()
        self._guard.note_raised()
        return True

    def close(self) -> None:
        """Leave the task as it was: a cancellation may have been swallowed on its way."""
        self._is_over = True
        self._forgive()

    def _ask(self) -> None:
        if not self._is_over and not self._guard.has_raised:
            self._cancels += 1
            self._task.cancel()

    def _forgive(self) -> None:
        while self._cancels:
            self._cancels -= 1
            self._task.uncancel()


async def drive(
    started: Coroutine[Any, Any, Any], guard: Watcher
) -> tuple[Any, BaseException | None]:
    """Await a coroutine that ``guard`` may interrupt; return what it returned, or raised.

    The exception is thrown in where it awaits.  Raises CancelledError only for a cancellation of
    somebody else's.
    """
    import asyncio

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker: we are in a coroutine
    driven = Driven(guard, task)
    guard.watch(driven)
    try:
        return await _steps(started, driven), None
    except (SoftTimeLimitExceeded, ExceptionGroup) as error:
        return None, _plain(error)
    except asyncio.CancelledError as error:
        if task.cancelling():
            raise
        return None, error
    except BaseException as error:  # an exit that got into the loop would end it
        return None, error
    finally:
        driven.close()
        guard.unwatch()


def _plain(error: Exception) -> Exception:
    """Return the exception that users know, of one that was thrown in.

    In the body of a `TaskGroup` it comes in a group, alone or with what the tasks raised.
    """
    limit: Exception | None = error
    if isinstance(error, ExceptionGroup):
        group, others = error.split(SoftTimeLimitExceeded)
        if group is None or others is not None:
            return error
        while isinstance(limit, ExceptionGroup):
            limit = limit.exceptions[0]
    if type(limit) is SoftTimeLimitExceeded or limit is None:
        return error
    return SoftTimeLimitExceeded(*limit.args).with_traceback(error.__traceback__)


@coroutine
def _steps(started: Coroutine[Any, Any, Any], driven: Driven) -> Generator[Any, Any, Any]:
    """Do what ``await started`` does, but for the one exception."""
    import asyncio

    step: Any = started.send
    given: Any = None
    while True:
        try:
            awaited = step(given)
        except StopIteration as stop:
            return stop.value
        try:
            given = yield awaited
            step = started.send
        except GeneratorExit:
            started.close()
            raise
        except asyncio.CancelledError as error:
            step, given = started.throw, _interruption()() if driven.take() else error
        except BaseException as error:
            step, given = started.throw, error


@functools.cache
def _interruption() -> type[SoftTimeLimitExceeded]:
    """Return what is thrown into coroutines: a `SoftTimeLimitExceeded` that asyncio understands.

    `TaskGroup`, `wait_for`, `Lock` and others clean up after a CancelledError, and only then.
    """
    import asyncio

    class Interruption(SoftTimeLimitExceeded, asyncio.CancelledError):
        __doc__ = SoftTimeLimitExceeded.__doc__

    Interruption.__module__ = SoftTimeLimitExceeded.__module__
    Interruption.__name__ = Interruption.__qualname__ = SoftTimeLimitExceeded.__name__
    return Interruption
