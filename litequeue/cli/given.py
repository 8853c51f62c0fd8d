"""What ``show`` says of what a step was given by those before it: it stands among its options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from litequeue.cli.output import Cell, clean, decoded

SHOWN: Final = 20
"""Results of a group that are told, of however many."""
_KEYS: Final = ("given", "given_by", "failed")


@dataclass(frozen=True, slots=True)
class Given:
    """What comes before a job's own arguments.

    ``args`` has one item at most: a result, or the list of a group's; each is the text itself
    where that is no plain JSON.  ``failure`` is what an errback is told.  ``options`` are the
    others, as they stand in the file where there is nothing else.
    """

    args: list[Any]
    failure: Mapping[str, Any] | None
    options: str | None


def given(options: str | None) -> Given:
    """Take what a job was given out of its stored options; those of others may be anything."""
    import json

    found, _ = decoded(options)
    if not isinstance(found, dict) or not found.keys() & set(_KEYS):
        return Given([], None, options)
    args = []
    if "given" in found:
        texts = found["given"]
        args = [[*map(_value, texts)] if isinstance(texts, list) else _value(texts)]
    failure = found.get("failed")
    rest = {name: value for name, value in found.items() if name not in _KEYS}
    return Given(
        args,
        failure if isinstance(failure, dict) else None,
        json.dumps(rest, ensure_ascii=False, separators=(",", ":")) if rest else None,
    )


def facts(its: Given) -> Iterator[tuple[str, Cell]]:
    """Yield it in words."""
    import json

    for value in its.args:
        many = value if isinstance(value, list) else []
        more = len(many) - SHOWN
        text = json.dumps(many[:SHOWN] if more > 0 else value, ensure_ascii=False)
        yield "given", text + (f" and {more:,} more" if more > 0 else "")
    if its.failure is not None:
        told = {name: clean(str(value)) for name, value in its.failure.items()}
        of = f" ({told['task']})" if told.get("task") else ""
        yield "told of", f"{told.get('id')}{of}: {told.get('type')}: {told.get('message')}"


def _value(text: object) -> Any:
    return decoded(text)[0] if isinstance(text, str) else text
