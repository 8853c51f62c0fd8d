"""Which queues a worker reads, and in which order."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from litequeue.exceptions import ImproperlyConfigured

ORDERS: Final = ("priority", "strict", "weighted")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChoice:
    """Patterns of queue names, as "mail.*"; ``names`` None for all.

    ``order``: by "priority" all queues are one; "strict": none is looked at while an earlier one
    holds a job; "weighted": a queue is looked at first in proportion to its weight.
    """

    names: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    order: str = "priority"

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> QueueChoice:
        """Rebuild what `dataclasses.asdict` and JSON made of one."""
        names = fields["names"]
        return cls(
            names=None if names is None else tuple(names),
            excluded=tuple(fields["excluded"]),
            weights=tuple(fields["weights"]),
            order=fields["order"],
        )

    @property
    def patterns(self) -> str | None:
        """The names as JSON, None for all."""
        return None if self.names is None else json.dumps(self.names)

    @property
    def excluded_patterns(self) -> str:
        """The excluded names as JSON."""
        return json.dumps(self.excluded) if self.excluded else "[]"

    def turns(self) -> tuple[str, ...]:
        """Return JSON lists of patterns, to be looked at one after the other; () for all at once.

        Weighted ones come in another order every time.
        """
        if self.order == "priority" or self.names is None or len(self.names) < 2:
            return ()
        names = list(self.names)
        if self.order == "weighted":
            names = sorted(names, key=self._draw, reverse=True)
        return tuple(json.dumps([name]) for name in names)

    def _draw(self, name: str) -> float:
        # Efraimidis and Spirakis: sorted by u^(1/w), each comes first in proportion to its weight.
        weight = self.weights[self.names.index(name)] if self.names and self.weights else 1
        return float(random.random() ** (1.0 / weight))  # noqa: S311 - no secret

    def with_queue(self, name: str) -> QueueChoice:
        """Return the choice with one more queue."""
        excluded = tuple(other for other in self.excluded if other != name)
        if self.names is None or name in self.names:
            return replace(self, excluded=excluded)
        weights = (*self.weights, 1) if self.weights else ()
        return replace(self, names=(*self.names, name), weights=weights, excluded=excluded)

    def without_queue(self, name: str) -> QueueChoice:
        """Return the choice without a queue."""
        choice = self
        if self.names is not None and name in self.names:
            at = self.names.index(name)
            weights = self.weights[:at] + self.weights[at + 1 :]
            choice = replace(self, names=self.names[:at] + self.names[at + 1 :], weights=weights)
        if name in self.excluded or not (choice.names is None or means(choice.names, name)):
            return choice
        return replace(choice, excluded=(*choice.excluded, name))


def means(patterns: Iterable[str], name: str) -> bool:
    """Tell whether one of ``patterns`` is for a queue, as to SQLite's GLOB; a name means itself."""
    return any(name == each or fnmatchcase(name, _for_python(each)) for each in patterns)


def _for_python(pattern: str) -> str:
    """GLOB negates a set by ^, and `fnmatch` by !."""
    told = re.sub(r"\[!([^]]*)\]", lambda some: f"[{some[1]}!]" if some[1] else "!", pattern)
    return told.replace("[^", "[!")


def parse(queues: str, excluded: str = "", order: str | None = None) -> QueueChoice:
    """Read what -Q and -X were given: "high=3,low", "mail.*,-" with commas between.

    Weights make the order "weighted" unless ``order`` says otherwise.  Raises
    `ImproperlyConfigured` for what makes no sense.
    """
    names: list[str] = []
    weights: list[int] = []
    weighted = False
    for part in _split(queues):
        name, equals, weight = part.rpartition("=")
        if not equals:
            name, weight = part, "1"
        weighted = weighted or bool(equals)
        if not name or not weight.isascii() or not weight.isdigit() or not 0 < int(weight) <= 1000:
            raise ImproperlyConfigured(
                f"{part!r} is no queue with a weight from 1 to 1000, as in -Q high=3,low=1"
            )
        if name in names:
            raise ImproperlyConfigured(f"the queue {name!r} is given twice; give it once")
        names.append(name)
        weights.append(int(weight))
    for option, text in (("-Q", queues), ("-X", excluded)):
        if text and not _split(text):
            raise ImproperlyConfigured(f"{option} {text!r} names no queue; leave it out for all")
    chosen = order or ("weighted" if weighted else "priority")
    if weighted and chosen != "weighted":
        raise ImproperlyConfigured(f"weights mean nothing to --queue-order {chosen}; leave one out")
    if chosen != "priority" and not names:
        raise ImproperlyConfigured(
            f"--queue-order {chosen} needs the queues in their order; name them with -Q"
        )
    return QueueChoice(
        names=tuple(names) if names else None,
        excluded=tuple(_split(excluded)),
        weights=tuple(weights) if weighted else (),
        order=chosen,
    )


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
