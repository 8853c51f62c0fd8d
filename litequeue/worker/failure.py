"""Exceptions in words: what of them can be stored, shown, and handed to hooks."""

from __future__ import annotations

import builtins
import json
import traceback
from types import TracebackType
from typing import Final

from litequeue import serialization
from litequeue.job import Failure

MESSAGE_LIMIT: Final = 64 * 1024
"""Characters kept of an exception's text and of a traceback."""
_OUR_FRAMES: Final = frozenset(
    {"litequeue.worker.executor", "litequeue.task", "litequeue.worker.eager"}
    | {"litequeue.interrupts.coroutines"}
)
# As they are, whatever the user's class says when it is asked.
_TRACEBACK: Final = BaseException.__dict__["__traceback__"].__get__
_CAUSE: Final = BaseException.__dict__["__cause__"].__get__
_CONTEXT: Final = BaseException.__dict__["__context__"].__get__


class ExceptionInfo:
    """What hooks get as ``einfo`` (Celery's): the exception, its type, its traceback as text."""

    __slots__ = ("exception", "internal", "traceback", "type")

    def __init__(self, exception: BaseException, traceback: str | None, internal: bool) -> None:
        self.exception: BaseException = exception
        self.type: type[BaseException] = type(exception)
        self.traceback: str = traceback or ""
        self.internal: bool = internal
        """The library decided it, not an exception of the task's."""

    def __str__(self) -> str:
        """Return the traceback."""
        return self.traceback

    def __repr__(self) -> str:
        """Return Celery's form."""
        return f"<ExceptionInfo: {self.exception!r}>"


def describe(
    error: BaseException,
    type_name: str | None = None,
    *,
    expected: bool = False,
    raised_as: BaseException | None = None,
) -> Failure:
    """Put an exception into words that any process can store and read.

    Frames of the library are left out of the traceback: the user's own come first.  An exception
    that was never raised has the traceback of ``raised_as``, which was raised because of it.
    """
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in (builtins.__name__, "litequeue.exceptions"):
        name = f"{kind.__module__}.{name}"
    try:
        message = str(error)
    except BaseException as failure:  # a broken __str__ must not cost the job its verdict
        message = f"<{name} whose str() raised {type(failure).__name__}>"
    return Failure(
        type_name or name,
        clean(message),
        clean(
            "".join(_lines(error, error.__traceback__ or getattr(raised_as, "__traceback__", None)))
        ),
        _arguments(error),
        expected,
    )


def _lines(error: BaseException, trace: TracebackType | None) -> list[str]:
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OUR_FRAMES:
        trace = trace.tb_next
    try:
        return traceback.format_exception(type(error), error, trace)
    except BaseException as failure:
        return [f"<the traceback could not be written: {type(failure).__name__}>"]


def _arguments(error: BaseException) -> str:
    try:
        arguments = serialization.dumps(list(error.args))
    except BaseException:  # its args are whatever its class says
        arguments = ""
    if arguments and len(arguments) <= MESSAGE_LIMIT:
        return arguments
    return json.dumps([clean(repr_safely(error))])


def forget_frames(error: BaseException | None) -> None:
    """Drop what the functions that an exception went through had in their hands.

    Its traceback holds their frames, and they hold it: until the garbage collector came, a
    connection of the user's would stay open, with its transaction.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(_TRACEBACK(error))
        error = _CAUSE(error) or _CONTEXT(error)


def repr_safely(value: object) -> str:
    """Return ``repr(value)``, or words about why there is none."""
    try:
        return repr(value)
    except BaseException as failure:
        return f"<{type(value).__name__} whose repr() raised {type(failure).__name__}>"


def clean(text: str) -> str:
    """Return text that SQLite can store: whole characters only, and not without end."""
    return text[:MESSAGE_LIMIT].encode("utf-8", "backslashreplace").decode()
