"""Which queue a job goes to: Celery's `task_queues` and `task_routes`, as pure decisions.

There are no exchanges in one file.  What is declared here only says which routing key means which
queue; a job is sent to exactly one.  The app merges the options and stores the job.
"""

from __future__ import annotations

import fnmatch
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from litequeue.exceptions import ImproperlyConfigured
from litequeue.nearest import did_you_mean

Route = Callable[..., Mapping[str, Any] | None]
Check = Callable[[Any, str], Mapping[str, Any]]

# kombu's arguments.  The first change nothing in one file, where everything is durable, every
# queue has priorities and nothing is deleted with its last reader; the others would.
_HARMLESS: Final = frozenset(("durable", "max_priority", "no_declare", "passive", "delivery_mode"))
_HARMLESS_QUEUE_ARGUMENTS: Final = frozenset(("x-max-priority", "x-queue-type", "x-queue-mode"))
_OTHERS: Final = (
    "alias arguments auto_delete bindings binding_arguments channel consumer_arguments exclusive "
    "expires max_length max_length_bytes message_ttl no_ack on_declared"
)
_WITHOUT_COUNTERPART: Final = frozenset(_OTHERS.split())
_DESTINATION: Final = ("exchange", "exchange_type", "routing_key")
_ROUTE_OPTIONS: Final = frozenset(
    ["compression", "expires", "ignore_result", "priority", "queue", "serializer", *_DESTINATION]
)
_FOR_CALLS: Final = frozenset(
    ("add_to_parent", "countdown", "eta", "headers", "idempotency_key", "retry", "retry_policy")
) | {"shadow", "task_id"}
_UNBUILT: Final = frozenset(
    ["concurrency_key", "link", "link_error", "soft_time_limit", "time_limit", "unique"]
)
_NO_KEYWORDS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, init=False)
class Exchange:
    """A name that routing keys belong to; ``type`` says how keys match: "direct" or "topic".

    Takes kombu's arguments.  Raises TypeError for one that has no counterpart in one file.
    """

    name: str
    type: str

    def __init__(self, name: str = "", type: str = "direct", **declaration: Any) -> None:
        _check_declaration(f"Exchange({name!r})", declaration)
        if type not in ("direct", "topic"):
            raise ImproperlyConfigured(
                f"exchange {name!r} is of type {type!r}, but a job goes to one queue; "
                'use "direct" or "topic"'
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "type", type)


@dataclass(frozen=True, slots=True, init=False)
class Queue:
    """A queue, and the routing key that leads to it.

    Takes kombu's arguments.  Raises TypeError for one that has no counterpart in one file.
    """

    name: str
    exchange: Exchange | None
    routing_key: str

    def __init__(
        self,
        name: str,
        exchange: Any = None,
        routing_key: str | None = "",
        **declaration: Any,
    ) -> None:
        _check_declaration(f"Queue({name!r})", declaration)
        object.__setattr__(self, "name", _queue_name(name))
        object.__setattr__(self, "exchange", _exchange(exchange))
        object.__setattr__(self, "routing_key", "" if routing_key is None else routing_key)


class Router:
    """Decide which queue a job goes to, and with which options.

    ``queues`` is `task_queues`: queues, kombu's queues, or a mapping of names to declarations.
    ``routes`` is `task_routes`: a mapping of task names or patterns to routes, a function, an
    import string of one, or a list of any of these and of pairs (pattern, route).  The rest are
    the settings of these names.  Raises `ImproperlyConfigured` for what makes no sense.

    Precedence is Celery's.  Options of the call win over those of the task, and these over a
    route; only then come the defaults.  Whoever calls `route` hands in the first two, merged, and
    leaves out what is only a default.  Of several routes the first that answers is taken whole.
    In one mapping a name wins over the patterns, and these are tried in their order.

    ``exchange`` with ``routing_key`` wins over ``queue``; without an exchange, a ``queue`` that is
    bound to a direct one wins over ``routing_key``.  Celery copies a message to every queue whose
    key matches; here that is refused, unless the named or the default queue is among them.
    What Celery ignores on a direct exchange selects a queue here: a lone routing key, or a lone
    exchange, together with the default key.
    """

    def __init__(
        self,
        queues: Any = None,
        routes: Any = None,
        *,
        default_queue: str = "default",
        default_exchange: str | None = None,
        default_exchange_type: str = "direct",
        default_routing_key: str | None = None,
        create_missing: bool = True,
    ) -> None:
        self._default_queue = default_queue
        self._create_missing = create_missing
        self._exchange = Exchange(default_exchange or default_queue, default_exchange_type)
        self._key = default_routing_key or default_queue
        self._queues: dict[str, Queue] = {}
        for queue in tuple(_declared(queues)) or (Queue(default_queue),):
            if queue.name in self._queues:
                raise ImproperlyConfigured(f"task_queues declares {queue.name!r} twice; keep one")
            self._queues[queue.name] = Queue(
                queue.name, queue.exchange or self._exchange, queue.routing_key or self._key
            )
        self._routes = [_route(one, self._check) for one in _listed(routes)]
        self._to_default = MappingProxyType({"queue": default_queue})
        self._decides_nothing = create_missing and not self._routes

    def route(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = _NO_KEYWORDS,
        options: Mapping[str, Any] = _NO_KEYWORDS,
        *,
        task: Any = None,
    ) -> Mapping[str, Any]:
        """Return the options to send with, among them ``queue``, a name.

        ``options`` are those of the call over those of the task; None means not given.  ``task``
        is only handed to functions.  Raises `ImproperlyConfigured` when no queue fits.
        """
        if self._decides_nothing and options.keys().isdisjoint(_DESTINATION):
            if not options:
                return self._to_default
            if type(options.get("queue")) is str:
                return options
        given = {key: value for key, value in options.items() if value is not None}
        answers = (route(name, args, kwargs, given, task=task) for route in self._routes)
        found = next((answer for answer in answers if answer is not None), _NO_KEYWORDS)
        merged = {**found, **given}
        merged["queue"] = self._destination(name, merged)
        for key in _DESTINATION:
            merged.pop(key, None)
        return merged

    def _destination(self, name: str, options: Mapping[str, Any]) -> str:
        exchange, key = _exchange(options.get("exchange")), options.get("routing_key")
        named = _queue_name(options["queue"]) if "queue" in options else None
        if named is not None and (exchange is None or not key):
            declared = self._queues.get(named)
            bound_to = None if declared is None else declared.exchange
            if not key or bound_to is None or bound_to.type == "direct":
                return self._known(named)
            exchange = bound_to
        if not key and exchange is None:
            return self._known(self._default_queue)
        return self._by_key(name, exchange, key or self._key, prefer=named or self._default_queue)

    def _by_key(self, name: str, exchange: Exchange | None, key: str, *, prefer: str) -> str:
        found = [
            queue.name
            for queue in self._queues.values()
            if queue.exchange is not None
            and (exchange is None or exchange.name == queue.exchange.name)
            and _matches(queue.exchange.type, queue.routing_key, key)
        ]
        if prefer in found:
            return prefer
        if len(found) == 1:
            return found[0]
        where = f" of exchange {exchange.name!r}" if exchange is not None else ""
        if not found:
            raise ImproperlyConfigured(
                f"{name}: no queue takes routing key {key!r}{where}; the queues are {self._told()}"
            )
        raise ImproperlyConfigured(
            f"{name}: routing key {key!r}{where} leads to {' and '.join(map(repr, found))}, "
            "but a job goes to one queue; name the queue instead"
        )

    def _known(self, queue: str) -> str:
        if not self._create_missing and queue not in self._queues:
            raise ImproperlyConfigured(
                f"no queue {queue!r} in task_queues{did_you_mean(queue, self._queues)}, and "
                f"task_create_missing_queues is off; the queues are {', '.join(self._queues)}"
            )
        return queue

    def _told(self) -> str:
        return ", ".join(
            f"{queue.name} ({queue.exchange and queue.exchange.name}: {queue.routing_key})"
            for queue in self._queues.values()
        )

    def _check(self, answer: Any, where: str) -> Mapping[str, Any]:
        """Return what a mapping of routes says, or raise for what can never work."""
        options = _as_options(answer, where)
        if options.keys() & {"queue", "routing_key"}:  # a call may add the key to an exchange
            self._destination(where, options)
        return options


def _check_declaration(what: str, declaration: Mapping[str, Any]) -> None:
    for argument, value in declaration.items():
        if argument == "queue_arguments":
            for name in (value or {}).keys() - _HARMLESS_QUEUE_ARGUMENTS:
                raise TypeError(f"{what}: {name} has no counterpart in one file; leave it out")
        elif argument not in _HARMLESS | _WITHOUT_COUNTERPART:
            raise TypeError(f"{what} takes no argument {argument!r}")
        elif value and argument in _WITHOUT_COUNTERPART:
            raise TypeError(f"{what}: {argument} has no counterpart in one file; leave it out")


def _exchange(given: Any) -> Exchange | None:
    """Return an exchange given by name, as itself, or as kombu's; None for the nameless one."""
    name = given if isinstance(given, str | None) else getattr(given, "name", given)
    if not isinstance(name, str | None):
        raise ImproperlyConfigured(f"an exchange is a name or an Exchange, not {given!r}")
    return Exchange(name, getattr(given, "type", None) or "direct") if name else None


def _queue_name(given: Any) -> str:
    name = getattr(given, "name", given)
    if not isinstance(name, str) or not name:
        raise ImproperlyConfigured(f"a queue is a name or a Queue, not {given!r}")
    return name


def _declared(queues: Any) -> Iterator[Queue]:
    """Yield the queues of `task_queues`, whichever way they are written."""
    if isinstance(queues, str) or not isinstance(queues or (), Iterable):
        raise ImproperlyConfigured(f"task_queues is a list of queues or a mapping, not {queues!r}")
    entries = queues.items() if isinstance(queues, Mapping) else ((None, q) for q in queues or ())
    for name, entry in entries:
        try:
            yield _queue(name, entry)
        except TypeError as error:
            raise ImproperlyConfigured(f"task_queues: {error}") from error


def _queue(name: str | None, entry: Any) -> Queue:
    if isinstance(entry, Queue):
        return entry
    if isinstance(entry, Mapping) and name is not None:
        rest = dict(entry)
        type = rest.pop("exchange_type", None) or "direct"
        exchange = rest.pop("exchange", None)
        if exchange is None or isinstance(exchange, str):
            exchange = Exchange(exchange or "", type)
        routing_key, binding_key = rest.pop("routing_key", None), rest.pop("binding_key", None)
        return Queue(name, exchange, binding_key or routing_key or name, **rest)
    if hasattr(entry, "name") and hasattr(entry, "routing_key"):
        told = {
            argument: getattr(entry, argument)
            for argument in (*_WITHOUT_COUNTERPART - {"channel"}, "queue_arguments")
            if getattr(entry, argument, None)
        }
        return Queue(entry.name, getattr(entry, "exchange", None), entry.routing_key, **told)
    raise ImproperlyConfigured(f"task_queues holds {entry!r}, which is no Queue")


def _listed(routes: Any) -> Sequence[Any]:
    if routes is None:
        return ()
    return routes if isinstance(routes, list | tuple) else (routes,)


def _route(given: Any, check: Check) -> Route:
    """Make a function of one entry of `task_routes`."""
    if isinstance(given, Mapping):
        return _map_route(given.items(), check)
    if isinstance(given, str):
        return _imported_route(given)
    if isinstance(given, list | tuple):
        pair = len(given) == 2 and isinstance(given[0], str | re.Pattern)
        return _map_route([given] if pair else given, check)
    if callable(given):
        return _answering(given)
    raise ImproperlyConfigured(
        f"task_routes holds {given!r}, which is no mapping, pair, function or import string"
    )


def _map_route(entries: Iterable[Any], check: Check) -> Route:
    names: dict[str, Mapping[str, Any]] = {}
    patterns: list[tuple[re.Pattern[str], Mapping[str, Any]]] = []
    for entry in entries:
        if not isinstance(entry, list | tuple) or len(entry) != 2:
            raise ImproperlyConfigured(f"task_routes holds {entry!r}, which is no (pattern, route)")
        key, answer = entry
        where = f"the route of {getattr(key, 'pattern', key)!r} in task_routes"
        if isinstance(key, re.Pattern):
            patterns.append((key, check(answer, where)))
        elif not isinstance(key, str):
            raise ImproperlyConfigured(f"task_routes has the key {key!r}; use a name or a pattern")
        elif "*" in key:
            patterns.append((re.compile(fnmatch.translate(key)), check(answer, where)))
        else:
            names[key] = check(answer, where)

    def route(name: str, *_: Any, **__: Any) -> Mapping[str, Any] | None:
        answer = names.get(name)
        if answer is None:
            answer = next((found for pattern, found in patterns if pattern.match(name)), None)
        return answer

    return route


def _answering(function: Callable[..., Any]) -> Route:
    """Have what a function of the user's answers checked."""

    def route(name: str, *args: Any, **kwargs: Any) -> Mapping[str, Any] | None:
        answer = function(name, *args, **kwargs)
        return None if answer is None else _as_options(answer, f"the route of {name!r}")

    return route


def _imported_route(name: str) -> Route:
    """Stand in for the function ``name`` until it is needed: its module may need the app."""
    module, _, attribute = name.rpartition(":" if ":" in name else ".")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise ImproperlyConfigured(
            f"task_routes names {name!r}, which is no function to import, as package.module.route"
        )
    found: list[Route] = []

    def route(*args: Any, **kwargs: Any) -> Mapping[str, Any] | None:
        if not found:
            try:
                found.append(_answering(getattr(importlib.import_module(module), attribute)))
            except (ImportError, AttributeError) as error:
                raise ImproperlyConfigured(
                    f"task_routes names {name!r}, which cannot be imported: {error}"
                ) from error
        return found[0](*args, **kwargs)

    return route


def _as_options(answer: Any, where: str) -> Mapping[str, Any]:
    if isinstance(answer, str) and answer:
        return {"queue": answer}
    if not isinstance(answer, Mapping):
        raise ImproperlyConfigured(f"{where} is a queue or a mapping of options, not {answer!r}")
    for option in sorted(answer.keys() - _ROUTE_OPTIONS, key=str):
        if option in _UNBUILT:
            if answer[option] is None:  # it asks for nothing
                continue
            raise NotImplementedError(f"{where} option {option!r}")
        if option in _FOR_CALLS:
            raise ImproperlyConfigured(
                f"{where} has the option {option!r}, which only a call takes: "
                "say it in apply_async()"
            )
        raise ImproperlyConfigured(
            f"{where} has the option {option!r}, which no call takes"
            f"{did_you_mean(str(option), _ROUTE_OPTIONS)}"
        )
    return {key: value for key, value in answer.items() if value is not None}


def _matches(type: str, pattern: str, key: str) -> bool:
    return pattern == key or (
        type != "direct" and _topic_matches(pattern.split("."), key.split("."))
    )


def _topic_matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Match word by word: ``*`` is one word, ``#`` any number of them, also none."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_topic_matches(pattern[1:], words[i:]) for i in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _topic_matches(pattern[1:], words[1:])
