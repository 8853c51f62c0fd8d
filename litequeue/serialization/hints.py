"""Annotations: which classes they name, and which one a plain dict is meant to become.

Hints are resolved one by one, so that a name that exists for the type checker only does not take
the others with it.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import SimpleNamespace
from typing import Any, Final

from litequeue.serialization.classes import kind_of

_BESIDE: Final = frozenset({type(None), str, int, float, bool, bytes, list})
"""What may stand beside a class in a union and is never meant by a dict."""


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of ``function`` that can be resolved."""
    from inspect import unwrap

    plain: Any = unwrap(getattr(function, "__func__", function))
    return _resolved(plain, getattr(plain, "__globals__", {}), {})


def field_hints(cls: Any) -> dict[str, Any]:
    """Return the annotations of the fields of a class that can be resolved."""
    if kind_of(cls) == "enum":
        return {}
    if kind_of(cls) == "pydantic":
        return {name: field.annotation for name, field in cls.model_fields.items()}
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        module = sys.modules.get(base.__module__)
        if module is not None and "__annotations__" in vars(base):
            # A class may speak of itself, wherever it was defined.
            local = {**vars(base), base.__name__: base}
            found.update(_resolved(base, vars(module), local))
    return found


def classes_in(hint: Any) -> Iterator[type]:
    """Yield the classes in ``hint`` whose instances are data, however deep in unions and lists."""
    waiting, seen = [hint], dict[int, Any]()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        if isinstance(part, type) and kind_of(part):
            yield part
        elif isinstance(part, Enum):
            yield type(part)
        waiting.extend(_parts(part))


def class_meant(hint: Any) -> type | None:
    """Return the class that a dict given for ``hint`` is meant to become; None leaves it a dict."""
    hint = _bare(hint)
    members = typing.get_args(hint) if _is_union(hint) else (hint,)
    models: list[type] = []
    for member in map(_bare, members):
        plain = typing.get_origin(member) or member
        if plain in _BESIDE:
            continue
        if not isinstance(plain, type) or kind_of(plain) in (None, "enum"):
            return None
        models.append(plain)
    return models[0] if len(models) == 1 else None


def _resolved(owner: Any, names: Mapping[str, Any], local: Mapping[str, Any]) -> dict[str, Any]:
    try:
        annotations = dict(vars(owner).get("__annotations__") or owner.__annotations__)
    except Exception:  # the user's code, which may raise anything: it is not learned
        return {}
    found = {}
    for name, annotation in annotations.items():
        one = SimpleNamespace(__annotations__={name: annotation})
        try:
            hints = typing.get_type_hints(one, dict(names), dict(local), include_extras=True)
        except Exception:  # noqa: S112 - as above; it may raise anything
            continue
        found.update(hints)
    return found


def _parts(hint: Any) -> Iterator[Any]:
    yield from typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is not None:
        yield origin
    for attribute in ("__supertype__", "__bound__", "__constraints__", "__value__"):
        # NewType, TypeVar twice, and the `type` statement
        part = None if isinstance(hint, type | Enum) else getattr(hint, attribute, None)
        if part is not None:
            yield from part if isinstance(part, tuple) else (part,)


def _is_union(hint: Any) -> bool:
    from types import UnionType

    return typing.get_origin(hint) in (typing.Union, UnionType)


def _bare(hint: Any) -> Any:
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    return hint
