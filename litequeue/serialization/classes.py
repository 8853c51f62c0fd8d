"""A user's classes: which ones travel, what their instances hold, and how they are made again.

Dataclasses, attrs classes and pydantic models are known by what they look like, so that neither
attrs nor pydantic is needed.  Instances are made by the class itself, which may refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, Flag
from typing import Any, Final, Literal

Kind = Literal["enum", "dataclass", "attrs", "pydantic"]

_BUILTINS: Final = (str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset)


def kind_of(cls: type) -> Kind | None:
    """Return what makes instances of ``cls`` data; None where nothing does.

    A subclass that was not decorated itself may hold more than its fields say: None.
    """
    if issubclass(cls, Enum):
        return "enum"
    if issubclass(cls, _BUILTINS):
        return None
    own = vars(cls)
    if "__dataclass_fields__" in own:
        return "dataclass"
    if "__attrs_attrs__" in own:
        return "attrs"
    if hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_fields"):
        return "pydantic"
    return None


def take_apart(value: Any, kind: Kind) -> tuple[dict[str, Any], list[str] | None]:
    """Return the fields of ``value``, and which of them were set if pydantic knows of others.

    Raises ValueError saying what is wrong with the value.
    """
    if kind == "pydantic":
        missing = type(value).model_fields.keys() - vars(value).keys()
        if missing:
            raise ValueError(f"lacks the field {min(missing)!r}")
        fields = {name: vars(value)[name] for name in type(value).model_fields}
        names = value.model_fields_set
        partial = None if names.issuperset(fields) else sorted(names)
        return {**fields, **(value.__pydantic_extra__ or {})}, partial
    given = _init_only(type(value)) if kind == "dataclass" else []
    if given:
        raise ValueError(f"takes {given[0]!r}, which it does not keep (an InitVar)")
    try:
        return {name: getattr(value, name) for name, _, _ in _fields(type(value), kind)}, None
    except AttributeError as error:
        raise ValueError(f"lacks a field ({error})") from error


def put_together(
    cls: type, kind: Kind, fields: Mapping[str, Any], *, names: Iterable[str] | None = None
) -> Any:
    """Return an instance of ``cls`` that its constructor, or pydantic, made of ``fields``.

    Raises what the class raises, and ValueError for a field that it does not have.
    """
    if kind == "pydantic":
        return _validated(cls, fields, names)
    known = {name: (argument, init) for name, argument, init in _fields(cls, kind)}
    strange = fields.keys() - known.keys()
    if strange:
        raise ValueError(f"{cls.__qualname__} has no field {min(strange)!r}")
    made = cls(**{known[name][0]: item for name, item in fields.items() if known[name][1]})
    for name, item in fields.items():
        if not known[name][1]:
            object.__setattr__(made, name, item)
    return made


def member_key(member: Enum) -> str | int:
    """Return what names ``member`` in its class: its name; for combined flags their number."""
    name = member.name
    if isinstance(member, Flag) and name not in type(member).__members__:
        return int(member.value)
    return str(name)


def member(cls: type[Enum], key: object) -> Enum:
    """Return the member of ``cls`` that `member_key` named; raises ValueError without one."""
    if type(key) is str and key in cls.__members__:
        return cls.__members__[key]
    if type(key) is int and issubclass(cls, Flag):
        return cls(key)
    raise ValueError(f"{cls.__qualname__} has no member {key!r:.80}")


def _fields(cls: Any, kind: Kind) -> Iterable[tuple[str, str, bool]]:
    """Yield (name, its name in the constructor, whether the constructor takes it)."""
    if kind == "dataclass":
        from dataclasses import fields

        for field in fields(cls):
            yield field.name, field.name, field.init
    else:
        for attribute in cls.__attrs_attrs__:
            name = attribute.name
            # attrs before 22.2 has no aliases; it always left the underscore out.
            yield name, getattr(attribute, "alias", None) or name.lstrip("_"), attribute.init


def _init_only(cls: Any) -> list[str]:
    from dataclasses import fields

    stored = {field.name for field in fields(cls)}
    return [
        name
        for name, field in cls.__dataclass_fields__.items()
        if name not in stored and "INITVAR" in repr(getattr(field, "_field_type", None))
    ]


def _validated(cls: Any, fields: Mapping[str, Any], names: Iterable[str] | None) -> Any:
    data: Any = dict(fields)
    if getattr(cls, "__pydantic_root_model__", False):
        data = data["root"]
    try:
        made = cls.model_validate(data, by_name=True, by_alias=True)
    except TypeError as error:
        # pydantic before 2.11 goes by the model's configuration alone.
        if "by_name" not in str(error):
            raise
        made = cls.model_validate(data)
    if names is not None:
        made.model_fields_set.intersection_update(names)
    return made
