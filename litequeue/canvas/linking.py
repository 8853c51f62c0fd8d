"""Callbacks of a signature: the options ``link`` and ``link_error``, which hold signatures."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from litequeue import states
from litequeue.canvas.members import checked
from litequeue.exceptions import NotRegistered

if TYPE_CHECKING:
    from litequeue.canvas.stamping import StampingVisitor


def many(value: Any) -> list[Any]:
    """Return what an option holds as a list; None is an empty one."""
    if value is None:
        return []
    return [*value] if isinstance(value, list | tuple | set | frozenset) else [value]


def listed(sig: Any, key: str) -> list[Any]:
    """Return the option ``key`` of a signature, which becomes a list."""
    held = sig.options.setdefault(key, [])
    if not isinstance(held, list):
        held = sig.options[key] = [held]
    return held


def add(sig: Any, key: str, value: Any) -> Any:
    """Add ``value`` to the option ``key``, unless it is there; return it."""
    if key in ("link", "link_error"):
        checked(value, "what is linked is a signature")
    held = listed(sig, key)
    if value not in held:
        held.append(value)
    return value


def without(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the options but for those of these names."""
    return {name: value for name, value in options.items() if name not in names}


def flattened(sig: Any) -> list[Any]:
    """Return a signature and all callbacks behind it."""
    found, left = [], [sig]
    while left:
        found.append(left.pop())
        left.extend(reversed(many(found[-1].options.get("link"))))
    return found


def stamp_all(
    sig: Any, visitor: StampingVisitor | None, headers: Mapping[str, Any], *, append: bool
) -> None:
    """Stamp the callbacks and errbacks of a signature; what one is given, the next ones get."""
    from litequeue.canvas.stamping import stamps

    for key in ("link", "link_error"):
        if not sig.options.get(key):
            continue
        given = copy.deepcopy(dict(headers))
        for place, held in enumerate(many(sig.options[key])):
            link = _signature(held, sig)
            visited = None
            if visitor is not None:
                visit = visitor.on_callback if key == "link" else visitor.on_errback
                visited = visit(link, **given) or {}
            given = stamps(given, visited, {}, append=append)
            link.stamp(visitor, append, **given)
            if link is not held:
                listed(sig, key)[place] = link


def call(sig: Any, result: Any, callbacks: Any, errbacks: Any) -> None:
    """Call what is linked to ``sig``, here and now, for the result that it had."""
    if callbacks and result.state == states.SUCCESS:
        for callback in many(callbacks):
            _signature(callback, sig).apply((result.result,))
    elif errbacks and result.state == states.FAILURE:
        for errback in many(errbacks):
            call_errback(_signature(errback, sig), result)


def call_errback(errback: Any, result: Any) -> None:
    """Call an errback here and now: with (request, exception, traceback), or with the id alone.

    Which of both it takes, its parameters say.
    """
    if takes_the_error(errback):
        errback.apply((Failed(result.id, result.name), result.result, result.traceback))
    else:
        errback.apply((result.id,))


def takes_the_error(errback: Any) -> bool:
    """Tell whether an errback takes (request, exception, traceback), and not the id alone."""
    try:
        parameters = inspect.signature(errback.type.run).parameters.values()
    except (AttributeError, NotRegistered, TypeError, ValueError):
        return False
    given = () if errback.immutable else errback.args or ()
    named = {} if errback.immutable else errback.kwargs or {}
    places = [each for each in parameters if each.kind in _PLACES and each.name not in named]
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        return True
    return len(places) - len(given) > 1


_PLACES = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Failed:
    """The request of a call that failed, as an errback sees it."""

    def __init__(self, id: str, task: str | None) -> None:
        self.id: str = id
        self.task_id: str = id
        self.task = task


def _signature(held: Any, of: Any) -> Any:
    from litequeue.canvas.making import maybe_signature

    return maybe_signature(held, app=of._app)
