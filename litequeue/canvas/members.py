"""What a signature is made of: members that are items of a mapping, and a task to call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from litequeue.result import AsyncResult
from litequeue.result.async_result import R_co

V = TypeVar("V")


class Callee(Protocol[R_co]):
    """A task, as far as a signature knows it."""

    name: str

    def AsyncResult(self, id: str) -> AsyncResult[R_co]:
        """Return a handle on one of its jobs."""


def checked(value: Any, rule: str) -> Any:
    """Return ``value`` if it is a signature; else TypeError says what it is, and the ``rule``."""
    if isinstance(value, Mapping):
        return value
    if hasattr(value, "signature") and hasattr(value, "delay"):
        call = f"{value.name.rpartition('.')[2]}.s(…)"
        raise TypeError(f"{rule}, and {value.name} is a task, not a call of it; write {call}")
    hint = "task.s(…), not task(…)"
    if isinstance(value, list | tuple):
        hint = "group([…])"
    elif isinstance(value, AsyncResult):
        hint = "task.s(…), not task.delay(…), which has sent it already"
    raise TypeError(f"{rule}, and {value!r:.80} is none; write {hint}")


def item(sig: dict[str, Any], *key_and_default: Any, **wait: Any) -> Any:
    """Return an item, as `dict.get`; raises TypeError for who waits for a result here."""
    if wait or not key_and_default:
        raise TypeError("a signature is a call that was not sent, so it has no result; write "
                        "sig.delay().get()")  # fmt: skip
    return dict.get(sig, *key_and_default)


def check_given(args: Any, kwargs: Any) -> None:
    """Raise TypeError for further arguments of a call that are no sequence, or no mapping."""
    if isinstance(args, str | bytes | Mapping) or not isinstance(args or (), Iterable):
        raise TypeError(f"task args must be a list or tuple, not {type(args).__name__}")
    if not isinstance(kwargs or {}, Mapping):
        raise TypeError(f"task keyword arguments must be a mapping, not {type(kwargs).__name__}")


class Item(Generic[V]):
    """A member of a signature that is an item of the mapping, or of the mapping ``within``."""

    def __init__(self, key: str, within: str | None = None) -> None:
        self._key = key
        self._within = within

    @overload
    def __get__(self, sig: None, owner: object = None) -> Self: ...
    @overload
    def __get__(self, sig: dict[str, Any], owner: object = None) -> V: ...
    def __get__(self, sig: dict[str, Any] | None, owner: object = None) -> Any:
        """Return the item, None where it is missing."""
        if sig is None:
            return self
        if self._within is None:
            return dict.get(sig, self._key)
        return (dict.get(sig, self._within) or {}).get(self._key)

    def __set__(self, sig: dict[str, Any], value: V) -> None:
        """Set the item."""
        place = sig if self._within is None else sig.setdefault(self._within, {})
        place[self._key] = value
