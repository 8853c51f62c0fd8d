"""Plain dicts for parameters that are annotated as a class: what they are meant to become.

Rows that another language, or the command line, put into the file hold no tags; the function
says what it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from litequeue.serialization.classes import kind_of, put_together
from litequeue.serialization.hints import class_meant, field_hints, hints_of


@dataclass(slots=True)
class Plan:
    """Which classes the dicts among a function's arguments are meant to become."""

    positional: list[tuple[str, type | None]] = field(default_factory=list)
    rest: tuple[str, type | None] = ("", None)
    named: dict[str, type] = field(default_factory=dict)
    others: type | None = None

    def fitted(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments with those dicts replaced; raises ValueError for one unfit."""
        places = [*self.positional, *[self.rest] * (len(args) - len(self.positional))]
        given = [
            item if cls is None or type(item) is not dict else _made(cls, item, name)
            for (name, cls), item in zip(places, args, strict=False)
        ]
        fixed = {name for name, _ in self.positional} | self.named.keys()
        named = dict(kwargs)
        for name, item in kwargs.items():
            cls = self.named.get(name) if name in fixed else self.others
            if cls is not None and type(item) is dict:
                named[name] = _made(cls, item, name)
        return given, named


def plan_of(function: Callable[..., Any]) -> Plan | None:
    """Return the plan of a function, None if it wants nothing but what it is given."""
    meant = {name: class_meant(hint) for name, hint in hints_of(function).items()}
    meant.pop("return", None)
    if not any(meant.values()):
        return None
    from inspect import Parameter, signature

    plan = Plan()
    for name, parameter in signature(function).parameters.items():
        cls = meant.get(name)
        if parameter.kind is Parameter.VAR_POSITIONAL:
            plan.rest = (name, cls)
        elif parameter.kind is Parameter.VAR_KEYWORD:
            plan.others = cls
        else:
            if parameter.kind is not Parameter.KEYWORD_ONLY:
                plan.positional.append((name, cls))
            if cls is not None and parameter.kind is not Parameter.POSITIONAL_ONLY:
                plan.named[name] = cls
    return plan


def _made(cls: type, item: dict[str, Any], name: str) -> Any:
    try:
        return _built(cls, item)
    except Exception as error:
        raise ValueError(f"the parameter {name!r} is no {cls.__qualname__}: {error}") from error


def _built(cls: type, item: Mapping[str, Any]) -> Any:
    """Return an instance; what its fields are annotated with is made of dicts too."""
    kind = kind_of(cls)
    assert kind is not None, cls  # noqa: S101 - class_meant only returns classes that have one
    if kind == "pydantic":
        return put_together(cls, kind, item)
    meant = {name: class_meant(hint) for name, hint in field_hints(cls).items()}
    fields = dict(item)
    for name, part in item.items():
        inner = meant.get(name)
        if inner is not None and type(part) is dict:
            fields[name] = _built(inner, part)
    return put_together(cls, kind, fields)
