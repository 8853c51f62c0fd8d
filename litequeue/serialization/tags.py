"""Values that JSON lacks, as the plain values that stand for them, and back.

A tag is ``{"__type__": name, "__value__": plain}``.  Where kombu has one, it is kombu's, so that
a row can go to a Celery as it is; names with a dot are classes of the app's `Types`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from litequeue.serialization.encoder import encode_plain
from litequeue.serialization.faults import Fault, check, shown
from litequeue.serialization.library import DECODERS, encode_bytes, encoder_of, tag

if TYPE_CHECKING:
    from litequeue.serialization.types import Types

MAX_DEPTH: Final = 100

_SCALARS: Final = frozenset({str, float, bool, type(None)})
_TOO_DEEP: Final = f"is nested deeper than {MAX_DEPTH} levels, or holds itself; flatten it"


# --- To plain values ------------------------------------------------------------------------------


def lower(value: Any, types: Types | None, depth: int = MAX_DEPTH) -> Any:
    """Return ``value`` with tags for what JSON lacks; itself where there is nothing to do.

    Raises `Fault`.  Texts, and floats without a number, are left for `faults.check`.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is int:
        if -0x8000000000000000 <= value <= 0xFFFFFFFFFFFFFFFF:
            return value
        raise Fault("is a number beyond 64 bits, which other readers round; pass it as text")
    if kind is list:
        return _list(value, types, depth)
    if kind is dict:
        return _dict(value, types, depth)
    return _other(value, types, depth)


# The two loops below see every value of every payload: hence one each, nothing called for what is
# plain, and the bounds of signed and unsigned 64 bits as literals, which halves their cost.


def lower_arguments(
    args: Sequence[Any], kwargs: Mapping[str, Any], types: Types | None
) -> list[Any]:
    """Return ``[args, kwargs]`` lowered; raises `Fault`."""
    index = 0
    try:
        # Plain ones in a tuple may stay there: to encoders it is a list.
        plain = _list(args, types, MAX_DEPTH - 1) if args else []
        index = 1
        return [plain, _dict(kwargs, types, MAX_DEPTH - 1) if kwargs else {}]
    except Fault as fault:
        fault.path.append(index)
        raise


def _list(value: Sequence[Any], types: Types | None, depth: int) -> Sequence[Any]:
    """Return a list with its items lowered: a copy if any differs."""
    if depth == 0:
        raise Fault(_TOO_DEEP)
    if len(value) > 8 and type(value[0]) is int and _are_small(value):
        return value
    copy = None
    index = 0
    try:
        for index, item in enumerate(value):
            kind = type(item)
            if kind is int:
                if -0x8000000000000000 <= item <= 0xFFFFFFFFFFFFFFFF:
                    continue
            elif kind in _SCALARS:
                continue
            new = (_dict if kind is dict else lower)(item, types, depth - 1)
            if new is not item:
                copy = list(value) if copy is None else copy
                copy[index] = new
    except Fault as fault:
        fault.path.append(index)
        raise
    return value if copy is None else copy


def _are_small(value: Sequence[Any]) -> bool:
    return (
        set(map(type, value)) == {int}
        and min(value) >= -0x8000000000000000
        and max(value) <= 0xFFFFFFFFFFFFFFFF
    )


def _dict(value: Mapping[Any, Any], types: Types | None, depth: int) -> Mapping[str, Any]:
    """Return a dict with its items lowered: a copy if any differs."""
    if depth == 0:
        raise Fault(_TOO_DEEP)
    copy = None
    key: Any = ""
    try:
        for key, item in value.items():
            if type(key) is not str:
                raise Fault(f"has the key {shown(key)}; keys are text here: pass str(key)")
            kind = type(item)
            if kind is int:
                if -0x8000000000000000 <= item <= 0xFFFFFFFFFFFFFFFF:
                    continue
            elif kind in _SCALARS:
                continue
            new = lower(item, types, depth - 1)
            if new is not item:
                copy = dict(value) if copy is None else copy
                copy[key] = new
    except Fault as fault:
        if type(key) is str:
            fault.path.append(key)
        raise
    lowered = value if copy is None else copy
    return _escaped(lowered) if "__type__" in value and len(value) == 2 else lowered


def _escaped(lowered: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a user's own dict that looks like a tag as the tag of a dict."""
    if "__value__" not in lowered:
        return lowered
    return tag("dict", [[key, item] for key, item in lowered.items()])


def _other(value: Any, types: Types | None, depth: int) -> Any:
    kind = type(value)
    if kind is tuple:
        return tag("tuple", _list(list(value), types, depth))
    if kind is set or kind is frozenset:
        # In a fixed order, so that the same arguments are the same payload in every process.
        members = _list(list(value), types, depth)
        check(members)  # a number that is none has no place in an order
        return tag(kind.__name__, sorted(members, key=encode_plain))
    if kind is bytes:
        return encode_bytes(value)
    encode = encoder_of(kind)
    if encode is not None:
        return encode(value)
    if issubclass(kind, dict) and hasattr(kind, "__json__"):  # kombu's word; signatures have it
        return _dict(value.__json__(), types, depth)
    return _instance(value, types, depth)


def _instance(value: Any, types: Types | None, depth: int) -> Any:
    from litequeue.serialization.classes import kind_of, member_key, take_apart

    cls = type(value)
    kind = kind_of(cls)
    if kind is None:
        raise Fault(_why_not(value))
    try:
        name = None if types is None else types.name_of(cls)
        if name is None:
            raise Fault(
                f"is a {cls.__qualname__}, which this app does not know; annotate the task's "
                f"parameter or return value with it, or register it: Types.add({cls.__name__})"
            )
        if isinstance(value, Enum):
            return tag(name, member_key(value))
        fields, names = take_apart(value, kind)
    except ValueError as error:
        raise Fault(f"is a {cls.__qualname__} that cannot be stored: {error}") from error
    lowered = _dict(fields, types, depth)
    return tag(name, lowered if names is None else [lowered, names])


def _why_not(value: object) -> str:
    name = type(value).__qualname__
    for plain in (str, bytes, int, float, dict, list, tuple, set, frozenset):
        if isinstance(value, plain):
            kept = plain.__name__
            return f"is a {name} and would come back as a {kept}; pass {kept}(value)"
    return (
        f"is a {name}, which cannot be stored; pass a value, or the name by which the task "
        "finds it again"
    )


# --- Back -----------------------------------------------------------------------------------------


def untag(value: dict[str, Any], types: Types | None) -> Any:
    """Return what a tag stands for, and any other dict as it is; raises ValueError."""
    if len(value) != 2 or "__type__" not in value or "__value__" not in value:
        return value
    name, plain = value["__type__"], value["__value__"]
    if type(name) is not str:
        raise ValueError("a tag's __type__ is no text")
    decode = DECODERS.get(name)
    try:
        return _made(name, plain, types) if decode is None else decode(plain)
    except Exception as error:
        raise ValueError(f"no {name:.200} can be made of the stored value: {error}") from error


def untag_all(value: Any, types: Types | None) -> Any:
    """Return ``value`` with all its tags replaced, from the innermost outwards."""
    if type(value) is list:
        for index, item in enumerate(value):
            value[index] = untag_all(item, types)
    elif type(value) is dict:
        for key, item in value.items():
            value[key] = untag_all(item, types)
        return untag(value, types)
    return value


def _made(name: str, plain: Any, types: Types | None) -> Any:
    from litequeue.serialization.classes import kind_of, member, put_together

    cls = None if types is None else types.find(name)
    if cls is None:
        raise ValueError(
            "this app knows no such class; annotate a task with it or register it with Types.add"
        )
    if issubclass(cls, Enum):
        return member(cls, plain)
    names = None
    if type(plain) is list and len(plain) == 2:
        plain, names = plain
    if type(plain) is not dict:
        raise ValueError("its fields are no dict")
    kind = kind_of(cls)
    assert kind is not None, cls  # noqa: S101 - Types takes no class that has none
    return put_together(cls, kind, plain, names=names)
