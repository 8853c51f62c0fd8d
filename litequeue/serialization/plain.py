"""Plain JSON: what litequeue itself stores, and holds only what JSON has; strict about the rest.

Anything that would come back different, or not at all, is refused where it is sent, with the
path to the value: NaN, a set, a key that is not text, a lone surrogate.
"""

from __future__ import annotations

import json
from typing import Any, Final

from litequeue.exceptions import NotSerializable

MAX_DEPTH: Final = 100

_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode
_PLAIN: Final = frozenset({int, float, str, bool, type(None)})


def dumps(value: object) -> str:
    """Return ``value`` as JSON text.

    Raises `NotSerializable` naming the first value that JSON cannot hold.
    """
    try:
        if type(value) not in _PLAIN:
            _check(value, "$", MAX_DEPTH)
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, NotSerializable):
            raise
        raise NotSerializable(f"not serializable as JSON: {error}") from error
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise NotSerializable(
                "not serializable as JSON: the text holds half a surrogate pair"
            ) from error
    return text


def loads(text: str) -> Any:
    """Return the value of JSON ``text``; raises ValueError where it is none."""
    try:
        return _decode(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error


def _check(value: object, path: str, depth: int) -> None:
    """Refuse what `json` would change silently or accept against RFC 8259."""
    if depth == 0:
        raise NotSerializable(f"{path} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_key(key, path)
            if type(item) not in _PLAIN:
                _check(item, f"{path}.{key}", depth - 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if type(item) not in _PLAIN:
                _check(item, f"{path}[{index}]", depth - 1)
    elif not isinstance(value, str | int | float):
        raise NotSerializable(
            f"{path} is a {type(value).__name__}, which JSON cannot hold; "
            "pass a number, text, list or dict"
        )


def _check_key(key: object, path: str) -> None:
    if not isinstance(key, str):
        raise NotSerializable(
            f"{path} has the key {key!r}; JSON keys are text: it would come back as a str"
        )
