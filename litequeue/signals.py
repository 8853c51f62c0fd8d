"""Signals: functions of yours that are called when something happens in this process.

Names and arguments are Celery's.  Who sends which signal, in which process and when is told in
docs/reference/signals.md; this module only keeps the receivers and calls them.
"""

from __future__ import annotations

import inspect
import logging
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, overload

from litequeue.clock import SYSTEM, Clock

Receiver = TypeVar("Receiver", bound=Callable[..., Any])

logger: Final = logging.getLogger("litequeue.signals")

RETRY_STEP: Final = 2
RETRY_LONGEST: Final = 32
"""Seconds by which the pause before another try grows, and what it grows to (Celery's)."""


class Decorator(Protocol):
    """What ``@signal.connect(...)`` returns: it gives back the receiver."""

    def __call__(self, receiver: Receiver, /) -> Receiver:
        """Connect ``receiver``."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A receiver, the sender it listens to (None: all), and how the two are found again."""

    key: Hashable
    sender: Any
    receiver: Callable[[], Callable[..., Any] | None]

    def hears(self, sender: Any) -> bool:
        """Tell whether what ``sender`` sends is meant for this receiver."""
        return self.sender is None or _same(self.sender, sender)


class Signal:
    """Something that happens, and who wants to know (Celery's class of this name).

    ``receivers`` is false when nobody does, so that ``if signal.receivers:`` may guard the work of
    collecting the arguments.
    """

    __slots__ = ("__weakref__", "_clock", "_lock", "name", "providing_args", "receivers")

    def __init__(
        self, name: str, providing_args: Iterable[str] = (), *, clock: Clock = SYSTEM
    ) -> None:
        self.name: str = name
        self.providing_args: frozenset[str] = frozenset(providing_args)
        # Replaced, never changed: a sender needs no lock to walk over it.
        self.receivers: tuple[Connection, ...] = ()
        # Reentrant, because the collector may drop a dead receiver while this thread connects one.
        self._lock = threading.RLock()
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Signal {self.name}({', '.join(sorted(self.providing_args))})>"

    @overload
    def connect(
        self,
        receiver: Receiver,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Hashable = None,
        retry: bool = False,
    ) -> Receiver: ...
    @overload
    def connect(
        self,
        receiver: None = None,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Hashable = None,
        retry: bool = False,
    ) -> Decorator: ...
    def connect(
        self,
        receiver: Any = None,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Hashable = None,
        retry: bool = False,
    ) -> Any:
        """Call ``receiver(signal=, sender=, **arguments)`` whenever the signal is sent.

        ``sender`` narrows it to one sender, found by identity or equality.  ``weak`` keeps no
        reference of its own: the receiver is gone with its last user.  ``dispatch_uid`` connects
        once what comes as several objects.  ``retry`` calls a receiver that raises again, for ever,
        after pauses of 2 to 32 seconds, and implies ``weak=False``.  Also a decorator, with or
        without arguments.  Raises TypeError for what cannot be called, ValueError for a receiver
        that takes no ``**kwargs``.
        """

        def connect(receiver: Receiver) -> Receiver:
            self._connect(receiver, sender, weak, dispatch_uid, retry)
            return receiver

        return connect if receiver is None else connect(receiver)

    def disconnect(
        self,
        receiver: Callable[..., Any] | None = None,
        sender: Any = None,
        dispatch_uid: Hashable = None,
    ) -> bool:
        """Forget a receiver, named as it was connected; return whether there was one."""
        key = _key(receiver, dispatch_uid)
        with self._lock:
            before = self.receivers
            self.receivers = tuple(c for c in before if c.key != key or not _same(c.sender, sender))
            return len(self.receivers) < len(before)

    def send(self, sender: Any, **named: Any) -> list[tuple[Callable[..., Any], Any]]:
        """Call the receivers, in the order of their connecting, with ``named``.

        Return each with its response.  What one raises is logged, and is its response.
        """
        if not self.receivers:
            return []
        responses: list[tuple[Callable[..., Any], Any]] = []
        for connection in self.receivers:
            receiver = connection.receiver()
            if receiver is None or not connection.hears(sender):
                continue
            response: Any
            try:
                response = receiver(signal=self, sender=sender, **named)
            except Exception as error:
                logger.exception("receiver %r of signal %s raised", receiver, self.name)
                response = error
            responses.append((receiver, response))
        return responses

    send_robust = send

    def has_listeners(self, sender: Any = None) -> bool:
        """Tell whether `send` with this ``sender`` would call anybody."""
        return any(c.hears(sender) and c.receiver() is not None for c in self.receivers)

    def _connect(
        self,
        receiver: Callable[..., Any],
        sender: Any,
        weak: bool,
        dispatch_uid: Hashable,
        retry: bool,
    ) -> None:
        _check(receiver)
        key = _key(receiver, dispatch_uid)
        with self._lock:
            if any(c.key == key and _same(c.sender, sender) for c in self.receivers):
                return
            reference: Callable[[], Callable[..., Any] | None]
            if retry:
                lasting = self._retrying(receiver)
                reference = lambda: lasting  # noqa: E731 - it stands in for a weak reference
            elif weak:
                reference = _weak_reference(receiver, self._drop)
            else:
                reference = lambda: receiver  # noqa: E731 - it stands in for a weak reference
            self.receivers = (*self.receivers, Connection(key, sender, reference))

    def _drop(self, dead: object) -> None:
        with self._lock:
            self.receivers = tuple(c for c in self.receivers if c.receiver is not dead)

    def _retrying(self, receiver: Callable[..., Any]) -> Callable[..., Any]:
        def try_until_it_works(**named: Any) -> Any:
            pause = 0
            while True:
                try:
                    return receiver(**named)
                except Exception:
                    pause = min(pause + RETRY_STEP, RETRY_LONGEST)
                    logger.exception(
                        "receiver %r of signal %s raised; again in %d s", receiver, self.name, pause
                    )
                    self._clock.sleep(pause)

        return try_until_it_works


class UnsentSignal(Signal):
    """A signal of Celery's that litequeue never sends, so nobody may wait for it."""

    __slots__ = ("_instead",)

    def __init__(self, name: str, instead: str) -> None:
        super().__init__(name)
        self._instead = instead

    def _connect(self, *_: object) -> None:
        """Raise NotImplementedError: the receiver would never be called."""
        raise NotImplementedError(f"litequeue does not send {self.name}: {self._instead}")


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(one == other)


def _key(receiver: Callable[..., Any] | None, dispatch_uid: Hashable) -> Hashable:
    """Return what a receiver is found by: every access to a bound method makes a new object."""
    if dispatch_uid is not None:
        return dispatch_uid
    function = getattr(receiver, "__func__", receiver)
    return id(getattr(receiver, "__self__", None)), id(function)


def _weak_reference(
    receiver: Callable[..., Any], drop: Callable[[object], None]
) -> weakref.ref[Callable[..., Any]]:
    if hasattr(receiver, "__func__") and hasattr(receiver, "__self__"):
        return weakref.WeakMethod(receiver, drop)
    return weakref.ref(receiver, drop)


def _check(receiver: object) -> None:
    if not callable(receiver):
        raise TypeError(f"a receiver is a function, or something else to call, not {receiver!r}")
    code = getattr(receiver, "__code__", None)
    if code is not None:
        takes_kwargs = bool(code.co_flags & inspect.CO_VARKEYWORDS)
    else:
        parameters = inspect.signature(receiver).parameters.values()
        takes_kwargs = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if not takes_kwargs:
        raise ValueError(
            f"receiver {receiver!r} must take **kwargs, because signals gain arguments; add them"
        )


def connected() -> frozenset[str]:
    """Return the names of litequeue's signals that have receivers in this process."""
    return frozenset(signal.name for signal in ALL if signal.receivers)


# Jobs.
before_task_publish: Final = Signal(
    "before_task_publish",
    ("body", "exchange", "routing_key", "headers", "properties", "declare", "retry_policy"),
)
after_task_publish: Final = Signal(
    "after_task_publish", ("body", "exchange", "routing_key", "headers")
)
task_received: Final = Signal("task_received", ("request",))
task_prerun: Final = Signal("task_prerun", ("task_id", "task", "args", "kwargs"))
task_postrun: Final = Signal(
    "task_postrun", ("task_id", "task", "args", "kwargs", "retval", "state")
)
task_success: Final = Signal("task_success", ("result", "runtime"))
task_retry: Final = Signal("task_retry", ("request", "reason", "einfo"))
task_failure: Final = Signal(
    "task_failure", ("task_id", "exception", "args", "kwargs", "traceback", "einfo")
)
task_internal_error: Final = Signal(
    "task_internal_error",
    ("task_id", "args", "kwargs", "request", "exception", "traceback", "einfo"),
)
task_revoked: Final = Signal("task_revoked", ("request", "terminated", "signum", "expired"))
task_rejected: Final = Signal("task_rejected", ("message", "exc"))
task_unknown: Final = Signal("task_unknown", ("message", "exc", "name", "id"))

# The worker.
celeryd_init: Final = Signal("celeryd_init", ("instance", "conf", "options"))
celeryd_after_setup: Final = Signal("celeryd_after_setup", ("instance", "conf"))
import_modules: Final = Signal("import_modules")
worker_init: Final = Signal("worker_init")
worker_before_create_process: Final = Signal("worker_before_create_process")
worker_process_init: Final = Signal("worker_process_init")
worker_process_shutdown: Final = Signal("worker_process_shutdown", ("pid", "exitcode"))
worker_ready: Final = Signal("worker_ready")
worker_shutdown: Final = Signal("worker_shutdown")
worker_shutting_down: Final = Signal("worker_shutting_down", ("sig", "how", "exitcode"))
heartbeat_sent: Final = Signal("heartbeat_sent")
beat_init: Final = Signal("beat_init")
beat_embedded_init: Final = Signal("beat_embedded_init")

# Logging.
setup_logging: Final = Signal("setup_logging", ("loglevel", "logfile", "format", "colorize"))
after_setup_logger: Final = Signal(
    "after_setup_logger", ("logger", "loglevel", "logfile", "format", "colorize")
)
after_setup_task_logger: Final = Signal(
    "after_setup_task_logger", ("logger", "loglevel", "logfile", "format", "colorize")
)

# Celery's only.
_NO_EVENTLET: Final = "there is no such pool; use worker_process_init or worker_process_shutdown"
task_sent: Final = UnsentSignal("task_sent", "use after_task_publish, as Celery advises, too")
user_preload_options: Final = UnsentSignal(
    "user_preload_options", "its commands take no options of an app's; use the environment"
)
eventlet_pool_started: Final = UnsentSignal("eventlet_pool_started", _NO_EVENTLET)
eventlet_pool_preshutdown: Final = UnsentSignal("eventlet_pool_preshutdown", _NO_EVENTLET)
eventlet_pool_postshutdown: Final = UnsentSignal("eventlet_pool_postshutdown", _NO_EVENTLET)
eventlet_pool_apply: Final = UnsentSignal("eventlet_pool_apply", _NO_EVENTLET)

ALL: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Signal))
"""Every signal of litequeue, in the order above."""
