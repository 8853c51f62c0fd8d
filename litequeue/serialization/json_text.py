"""Lowered values to strict JSON text and back, as fast as the standard library can."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from litequeue.serialization.encoder import encode_plain
from litequeue.serialization.faults import check
from litequeue.serialization.tags import untag

if TYPE_CHECKING:
    from litequeue.serialization.types import Types


def encode_json(value: Any) -> str:
    """Return lowered ``value`` as JSON; raises `Fault` for half a character and no number."""
    try:
        text = encode_plain(value)
        if not text.isascii():
            text.encode()
    except ValueError:  # UnicodeEncodeError is one
        check(value)
        raise
    return text


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# What `raw_decode` calls; typeshed does not list it.
_scan: Final[Callable[[str, int], tuple[Any, int]]] = vars(
    json.JSONDecoder(parse_constant=_no_number)
)["scan_once"]


def decoder(types: Types | None) -> Callable[[str], Any]:
    """Return a function from JSON text to its value; it raises ValueError, or RecursionError."""
    untagging = json.JSONDecoder(
        object_hook=lambda value: untag(value, types), parse_constant=_no_number
    ).decode
    spaced = json.JSONDecoder(parse_constant=_no_number).decode

    def decode(text: str) -> Any:
        if "__type__" in text:
            return untagging(text)
        try:
            value, end = _scan(text, 0)
        except StopIteration:
            end = -1
        # With space around it, or something behind it: rare, so it may take twice.
        return value if end == len(text) else spaced(text)

    return decode
