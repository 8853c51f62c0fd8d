"""The tags of the standard library's types; each is loaded when a value of it comes along."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from litequeue.serialization.faults import Fault


def tag(name: str, value: Any) -> dict[str, Any]:
    """Return ``value`` in kombu's form."""
    return {"__type__": name, "__value__": value}


def encode_bytes(value: bytes) -> Any:
    """Return the tag of bytes: as text where they are one, as kombu does it."""
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


def encoder_of(kind: type) -> Callable[[Any], Any] | None:
    """Return the encoder of a class of the standard library, which is loaded if it is one."""
    given: object = getattr(kind, "__module__", None)
    module = given.partition(".")[0] if isinstance(given, str) else ""
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


DECODERS: Final[dict[str, Callable[[Any], Any]]] = {
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
