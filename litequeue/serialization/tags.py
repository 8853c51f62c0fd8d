"""Values that JSON lacks, as the plain values that stand for them, and back.

A tag is ``{"__type__": name, "__value__": plain}``.  Where kombu has one, it is kombu's, so that
a row can go to a Celery as it is; names with a dot are classes of the app's `Types`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from litequeue.serialization.encoder import encode_plain
from litequeue.serialization.faults import Fault

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


def tag(name: str, value: Any) -> dict[str, Any]:
    """Return ``value`` in kombu's form."""
    return {"__type__": name, "__value__": value}


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
                raise Fault(f"has the key {key!r:.80}; keys are text here: pass str(key)")
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
        return tag(kind.__name__, sorted(members, key=encode_plain))
    if kind is bytes:
        return _bytes(value)
    encode = _known(kind)
    if encode is not None:
        return encode(value)
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
    decode = _DECODERS.get(name)
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


# --- The standard library's -----------------------------------------------------------------------


def _bytes(value: bytes) -> Any:
    try:
        return tag("bytes", value.decode())
    except UnicodeDecodeError:
        from binascii import b2a_base64

        return tag("base64", b2a_base64(value, newline=False).decode())


def _moment(value: Any) -> Any:
    """Return the tag of a datetime or time: kombu's, unless that loses the zone or the fold."""
    from datetime import datetime

    name = "datetime" if isinstance(value, datetime) else "time"
    zone = value.tzinfo
    if zone is not None:
        key = getattr(zone, "key", None) if type(zone).__module__ == "zoneinfo" else None
        if key is not None:
            bare = value.replace(tzinfo=None, fold=0)
            return tag(f"{name}-exact", [bare.isoformat(), value.fold, key])
        if zone.utcoffset(None) is None:
            raise Fault(
                f"has a tzinfo of type {type(zone).__qualname__}, which cannot be stored; use "
                "zoneinfo.ZoneInfo or datetime.timezone"
            )
    if value.fold:
        return tag(f"{name}-exact", [value.replace(fold=0).isoformat(), 1, None])
    return tag(name, value.isoformat())


def _path(name: str) -> Callable[[Any], Any]:
    def encode(value: Any) -> Any:
        text = str(value)
        if type(value)(text) != value:
            raise Fault(f"is a path that {text!r:.80} does not name again; pass it as text")
        return tag(name, text)

    return encode


_ENCODERS: Final[dict[tuple[str, str], Callable[[Any], Any]]] = {
    ("datetime", "datetime"): _moment,
    ("datetime", "time"): _moment,
    ("datetime", "date"): lambda value: tag("date", value.isoformat()),
    ("datetime", "timedelta"): lambda value: tag(
        "timedelta", [value.days, value.seconds, value.microseconds]
    ),
    ("decimal", "Decimal"): lambda value: tag("decimal", str(value)),
    ("uuid", "UUID"): lambda value: tag("uuid", {"hex": value.hex}),
    ("pathlib", "PosixPath"): _path("path"),
    ("pathlib", "WindowsPath"): _path("path"),
    ("pathlib", "PurePosixPath"): _path("posixpath"),
    ("pathlib", "PureWindowsPath"): _path("windowspath"),
}


def _known(kind: type) -> Callable[[Any], Any] | None:
    """Return the encoder of a class of the standard library, which is loaded if it is one."""
    module = kind.__module__.partition(".")[0]
    encode = _ENCODERS.get((module, kind.__qualname__))
    if encode is None or getattr(sys.modules.get(module), kind.__qualname__, None) is not kind:
        return None
    return encode


def _checked_list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ValueError("it is no list")
    return value


def _to_base64(value: str) -> bytes:
    from binascii import a2b_base64

    return a2b_base64(value, strict_mode=True)


def _to_date(value: str) -> Any:
    from datetime import date

    return date.fromisoformat(value)


def _to_datetime(value: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(value)


def _to_time(value: str) -> Any:
    from datetime import time

    return time.fromisoformat(value)


def _exact(decode: Callable[[str], Any]) -> Callable[[Any], Any]:
    def exactly(value: Any) -> Any:
        text, fold, key = _checked_list(value)
        moment = decode(text).replace(fold=fold)
        if key is None:
            return moment
        from zoneinfo import ZoneInfo

        return moment.replace(tzinfo=ZoneInfo(key))

    return exactly


def _to_timedelta(value: Any) -> Any:
    from datetime import timedelta

    days, seconds, microseconds = _checked_list(value)
    return timedelta(days, seconds, microseconds)


def _to_decimal(value: Any) -> Any:
    from decimal import Decimal

    if type(value) is not str:
        raise ValueError("it is no text")
    return Decimal(value)


def _to_uuid(value: dict[str, str]) -> Any:
    from uuid import UUID

    return UUID(hex=value["hex"])


def _to_path(name: str) -> Callable[[str], Any]:
    def decode(value: str) -> Any:
        import pathlib

        return getattr(pathlib, name)(value)

    return decode


_DECODERS: Final[dict[str, Callable[[Any], Any]]] = {
    "base64": _to_base64,
    "bytes": lambda value: value.encode(),
    "date": _to_date,
    "datetime": _to_datetime,
    "datetime-exact": _exact(_to_datetime),
    "decimal": _to_decimal,
    "dict": lambda value: dict(_checked_list(value)),
    "frozenset": lambda value: frozenset(_checked_list(value)),
    "path": _to_path("Path"),
    "posixpath": _to_path("PurePosixPath"),
    "set": lambda value: set(_checked_list(value)),
    "time": _to_time,
    "time-exact": _exact(_to_time),
    "timedelta": _to_timedelta,
    "tuple": lambda value: tuple(_checked_list(value)),
    "uuid": _to_uuid,
    "windowspath": _to_path("PureWindowsPath"),
}
