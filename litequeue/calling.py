"""How a call becomes a job: its options, the checks of its arguments and of its names."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from litequeue.bounds import MAX_NAME, MAX_PRIORITY
from litequeue.exceptions import ImproperlyConfigured

LAST_MOMENT: Final = 1e11
"""Epoch seconds of the last moment that can be named, some 3,000 years away."""

UNBUILT_CALL_OPTIONS: Final = frozenset(
    (
        *("chain", "chord", "group", "replaced_task_nesting", "reply_to"),
        *("concurrency_key", "producer", "unique"),
    )
)
UNBUILT_RETRY_OPTIONS: Final = UNBUILT_CALL_OPTIONS | {
    *("add_to_parent", "compression", "headers", "ignore_result", "retry", "retry_policy"),
    *("link", "link_error", "serializer", "shadow", "soft_time_limit", "stamped_headers"),
    "time_limit",
}
FOR_A_QUEUE: Final = frozenset(
    (
        *("countdown", "eta", "expires", "queue", "exchange", "routing_key", "priority"),
        *("serializer", "compression", "shadow", "ignore_result", "add_to_parent", "retry"),
        *("retry_policy", "idempotency_key", "time_limit", "soft_time_limit"),
    )
)
"""Options that mean nothing where a call is run here and now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How one call of a task becomes a job; None is "as the task, the route or the app says".

    ``eta`` and ``expires`` are epoch seconds, ``patience`` the seconds to wait for other
    writers, the time limits seconds; ``entry`` is the line of beat that this is a template
    of; ``link`` and ``link_error`` are signatures to be called afterwards.
    Raises `ImproperlyConfigured` for what the file would not take, ValueError for a soft limit
    above the hard one.
    """

    id: str | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    priority: int | None = None
    eta: float | None = None
    expires: float | None = None
    headers: Mapping[str, Any] | None = None
    shadow: str | None = None
    ignore_result: bool | None = None
    serializer: str | None = None
    compression: str | None = None
    add_to_parent: bool = True
    time_limit: float | None = None
    soft_time_limit: float | None = None
    stamps: Mapping[str, Any] | None = None
    patience: float | None = None
    entry: str | None = None
    link: Any = None
    link_error: Any = None

    def __post_init__(self) -> None:
        """Refuse what the file would not take."""
        check_name("task_id", self.id)
        check_name("queue", self.queue)
        check_name("shadow", self.shadow)
        check_priority(self.priority)
        if self.time_limit is not None or self.soft_time_limit is not None:
            check_limits(self.time_limit, self.soft_time_limit)
        if self.headers is not None and not isinstance(self.headers, Mapping):
            raise ImproperlyConfigured(f"headers are a mapping, not {self.headers!r:.80}")


def check_name(what: str, name: object) -> None:
    """Raise `ImproperlyConfigured` unless ``name`` is None or a text that the file takes."""
    if name is None:
        return
    if not isinstance(name, str) or not 1 <= len(name.encode("utf-8", "replace")) <= MAX_NAME:
        raise ImproperlyConfigured(f"{what} is a text of 1 to {MAX_NAME} bytes, not {name!r:.80}")
    if not name.isprintable():
        raise ImproperlyConfigured(f"{what} holds a character that cannot be printed: {name!r:.80}")


def check_priority(priority: object) -> None:
    """Raise `ImproperlyConfigured` unless ``priority`` is None or a number that the file takes."""
    if priority is not None and (
        isinstance(priority, bool)
        or not isinstance(priority, int)
        or not -MAX_PRIORITY <= priority <= MAX_PRIORITY
    ):
        raise ImproperlyConfigured(
            f"priority is a whole number of at most {MAX_PRIORITY:,}, not {priority!r}"
        )


def check_limits(hard: object, soft: object, of: str = "") -> None:
    """Raise `ImproperlyConfigured` for what is no time limit, ValueError for soft above hard.

    ``of`` says whose they are, as "shop.charge: ".
    """
    for name, given in (("time_limit", hard), ("soft_time_limit", soft)):
        if given is not None and (
            isinstance(given, bool)
            or not isinstance(given, int | float)
            or not 0 < given <= LAST_MOMENT  # so is NaN
        ):
            raise ImproperlyConfigured(
                f"{of}{name} is a number of seconds above 0, or None, not {given!r:.80}"
            )
    if isinstance(hard, int | float) and isinstance(soft, int | float) and soft > hard:
        raise ValueError(
            f"{of}soft_time_limit must be less than or equal to time_limit, and {soft:g} is more "
            f"than {hard:g}"
        )


AS_REGISTERED: Final = CallOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Eagerly:
    """How `Task.apply` runs a call."""

    id: str | None = None
    retries: int = 0
    throw: bool | None = None
    headers: Mapping[str, Any] | None = None
    stamps: Mapping[str, Any] | None = None
    logfile: str | None = None
    loglevel: int | None = None


def moment(when: datetime | float | str | None, zone: tzinfo | None = None) -> float | None:
    """Return epoch seconds; a datetime (or ISO 8601 text) without a zone is of ``zone``, or here.

    Raises TypeError for what is no moment, `ImproperlyConfigured` for one that cannot be named.
    """
    if when is None:
        return None
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError as error:
            raise ImproperlyConfigured(f"{when!r:.80} is no moment in ISO 8601") from error
    seconds, words = math.nan, f"a moment is a datetime or epoch seconds, not {when!r:.80}"
    try:
        if isinstance(when, datetime):
            aware = when if when.tzinfo is not None or zone is None else when.replace(tzinfo=zone)
            when = aware.astimezone(UTC).timestamp()
        seconds = float(when + 0)  # float() alone would read bytes
    except TypeError:
        raise TypeError(words) from None
    except (ValueError, OverflowError):
        pass  # it stays what is no number
    if not -LAST_MOMENT <= seconds <= LAST_MOMENT:  # so is NaN
        raise ImproperlyConfigured(words)
    return seconds


def starting(
    eta: datetime | float | str | None, countdown: float | None, now: float, zone: tzinfo | None
) -> float | None:
    """Return the epoch seconds before which a job is not to run; raises as `moment` does."""
    if countdown is None:
        return moment(eta, zone)
    if eta is not None:
        raise ImproperlyConfigured("give countdown or eta, not both")
    return _later(now, countdown)


def ending(expires: datetime | float | str | None, now: float, zone: tzinfo | None) -> float | None:
    """Return the epoch seconds after which a job is not to run; a number counts from ``now``.

    Raises as `moment` does.
    """
    return _later(now, expires) if isinstance(expires, int | float) else moment(expires, zone)


def _later(now: float, seconds: float) -> float | None:
    """Return the moment ``seconds`` after ``now``."""
    try:
        return moment(now + seconds)
    except TypeError:
        raise TypeError(f"a time to wait is a number of seconds, not {seconds!r:.80}") from None
    except OverflowError:
        return moment(math.inf)


def id_for_key(task: str, key: str) -> str:
    """Return the job id that stands for an idempotency key of a task, always the same (UUID 5)."""
    import uuid

    check_name("idempotency_key", key)
    return str(uuid.uuid5(uuid.UUID(_KEYS), f"{task}\0{key}"))


_KEYS: Final = "f4a4b0a2-3d0c-5d6f-9d5c-6c6974717565"


def refuse_options(options: Mapping[str, Any], unbuilt: frozenset[str], where: str) -> None:
    """Raise NotImplementedError for an option still to come, TypeError for an unknown one.

    One still to come may be None, which asks for nothing.
    """
    for name, value in options.items():
        if name not in unbuilt:
            raise TypeError(f"{where} has no option {name!r}")
        if value is not None:
            raise NotImplementedError(f"{where} option {name!r}")


def take_stamps(
    options: dict[str, Any], names: Iterable[str] | None, where: str
) -> dict[str, Any] | None:
    """Move the stamps that ``names`` (Celery's ``stamped_headers``) names out of ``options``.

    Raises TypeError for a name that is no text, or that no option has.
    """
    if names is None:
        return None
    stamps = {}
    for name in dict.fromkeys((names,) if isinstance(names, str) else names):
        if not isinstance(name, str):
            raise TypeError(f"stamped_headers are texts, not {name!r:.80}")
        if name in UNBUILT_CALL_OPTIONS or name not in options:
            raise TypeError(f"{where}: stamped_headers names {name!r}, which comes with no value")
        value = options.pop(name)
        stamps[name] = sorted(value, key=str) if isinstance(value, set | frozenset) else value
    return stamps


def arguments_given(args: object, kwargs: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a call's arguments as they are stored; raises TypeError as Celery does."""
    if args is not None and not isinstance(args, list | tuple):
        raise TypeError(f"task args must be a list or tuple, not {type(args).__name__}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"task keyword arguments must be a mapping, not {type(kwargs).__name__}")
    return tuple(args or ()), dict(kwargs or {})


def replace_arguments(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    new_args: Sequence[Any] | None,
    new_kwargs: Mapping[str, Any] | None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with those replaced that are given; none of them comes twice.

    A parameter may have been given by its place and be replaced by its name, or the reverse.
    """
    places = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in _TAKES_ONE
    ]
    if new_args is not None and new_kwargs is None:
        taken = {parameter.name for parameter in places[: len(new_args)] if _is_named(parameter)}
        return tuple(new_args), {key: kwargs[key] for key in kwargs if key not in taken}
    if new_args is None and new_kwargs is not None:
        rest, placed = dict(new_kwargs), list(args)
        for place, parameter in enumerate(places[: len(placed)]):
            if _is_named(parameter) and parameter.name in rest:
                placed[place] = rest.pop(parameter.name)
        return tuple(placed), rest
    return tuple(args if new_args is None else new_args), dict(
        kwargs if new_kwargs is None else new_kwargs
    )


def _is_named(parameter: inspect.Parameter) -> bool:
    return parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


_TAKES_ONE: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def argument_check(
    function: Callable[..., Any],
) -> Callable[[tuple[Any, ...], Mapping[str, Any]], None]:
    """Return a check that raises TypeError for arguments that ``function`` does not take.

    Plain positional calls are decided by counting: `Signature.bind` costs 4 µs.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions in C do not tell
        return lambda args, kwargs: None
    parameters = list(signature.parameters.values())
    kinds = {parameter.kind for parameter in parameters}
    simple = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY}
    most = len(parameters) if simple else -1
    least = sum(parameter.default is inspect.Parameter.empty for parameter in parameters)
    name = getattr(function, "__name__", "task")
    own = _first_name(function.__func__) if inspect.ismethod(function) else None

    def check(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not kwargs and least <= len(args) <= most:
            return
        if own in kwargs:  # a bound method's signature does not show its own first argument
            raise TypeError(f"{name}(): multiple values for argument {own!r}")
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}(): {error}") from None

    return check


def _first_name(function: Callable[..., Any]) -> str | None:
    """Return the name by which the first parameter can be given, None if it cannot."""
    first = next(iter(inspect.signature(function).parameters.values()), None)
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return first.name if first is not None and first.kind is named else None
