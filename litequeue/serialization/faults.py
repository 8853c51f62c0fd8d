"""`Fault`: a value that does not survive, and the path that leads to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from litequeue.exceptions import NotSerializable


class Fault(Exception):
    """A value that does not survive; ``path`` leads to it, innermost part first."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path: list[str | int] = []

    def refusal(self) -> NotSerializable:
        """Return the error that callers see."""
        return NotSerializable(f"{place(reversed(self.path))} {self.why}")


def place(path: Iterable[str | int]) -> str:
    """Return a path as SQLite's JSON functions write it."""
    parts = ["$"]
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            parts.append(f".{part}" if part.isidentifier() else f".{part!a}")
    return "".join(parts)


def shown(value: object) -> str:
    """Return the beginning of what ``value`` says of itself, on one line; not all can."""
    try:
        text = repr(value)
    except Exception:  # the user's code, which may raise anything
        return f"a {type(value).__qualname__}"
    return text[:80] if text.isprintable() else ascii(text)[:80]


def check(value: Any) -> None:
    """Raise `Fault` at the first text or number in lowered ``value`` that cannot be stored."""
    if type(value) is str:
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise Fault("is a text with half a surrogate pair; pass it as bytes")
    elif type(value) is float:
        if value - value != 0:
            raise Fault(f"is {value}, which JSON has no word for; pass None, or text")
    elif type(value) is list or type(value) is tuple:
        _check_items(enumerate(value))
    elif type(value) is dict:
        if value.keys() == {"__type__", "__value__"}:
            check(value["__value__"])
            return
        for key in value:
            try:
                check(key)
            except Fault as fault:
                raise Fault(f"has the key {key!a:.80}, half a surrogate pair") from fault
        _check_items(value.items())


def _check_items(items: Iterable[tuple[str | int, Any]]) -> None:
    for key, item in items:
        try:
            check(item)
        except Fault as fault:
            fault.path.append(key)
            raise
