"""`Types`: the classes of one app that may be made of what the file holds.

The file names classes, and names are looked up here and nowhere else: nothing is ever imported
because a row says so.  Tasks are learned when they are registered, their annotations are read
when a class is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from litequeue.exceptions import ImproperlyConfigured

T = TypeVar("T", bound=type)


def qualified_name(cls: type) -> str:
    """Return "module.Class"."""
    return f"{cls.__module__}.{cls.__qualname__}"


class Types:
    """An allow-list of dataclasses, enums, attrs classes and pydantic models, by name.

    ``named`` gives a class its name, which holds a dot.
    """

    def __init__(self, named: Callable[[type], str] = qualified_name) -> None:
        self._named = named
        self._classes: dict[str, type] = {}
        self._names: dict[type, str] = {}
        self._clashes: dict[str, tuple[type, type]] = {}
        self._unread: dict[int, Any] = {}
        self._plans: dict[Callable[..., Any], Any] = {}

    def add(self, cls: T) -> T:
        """Let instances of ``cls`` travel, and those of the classes that its fields name.

        Returns ``cls``, so it also decorates.  Raises `ImproperlyConfigured` for a class that is
        no data, or whose name another one has.
        """
        from litequeue.serialization.classes import kind_of

        given: object = cls
        if not isinstance(given, type) or kind_of(given) is None:
            raise ImproperlyConfigured(
                f"{cls!r:.200} is neither a dataclass, an Enum, an attrs class nor a pydantic "
                "model; decorate the class itself"
            )
        name = self._named(cls)
        if "." not in name:
            raise ImproperlyConfigured(f"the name {name!r} of a class needs a dot in it")
        other = self._classes.get(name)
        if other is not None and other is not cls:
            raise ImproperlyConfigured(_clash(name, other, cls))
        self._enter(name, cls)
        return cls

    def learn(self, function: Callable[..., Any]) -> None:
        """Let instances of the classes travel that the annotations of ``function`` name."""
        self._unread[id(function)] = function

    def name_of(self, cls: type) -> str | None:
        """Return the name of ``cls``, None if it is not listed.

        Raises ValueError if another class has it too.
        """
        if cls not in self._names and self._unread:
            self._read()
        name = self._names.get(cls)
        self._refuse_clash(name)
        return name

    def find(self, name: str) -> type | None:
        """Return the class of this name, None if none is listed; ValueError if two are."""
        if name not in self._classes and self._unread:
            self._read()
        self._refuse_clash(name)
        return self._classes.get(name)

    def fit(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the arguments, with an instance for each dict that is annotated as a class.

        Everything else is handed back as it came.  Raises ValueError naming the parameter.
        """
        try:
            plan = self._plans[function]
        except KeyError:
            from litequeue.serialization.fitting import plan_of

            plan = self._plans[function] = plan_of(function)
        return (args, kwargs) if plan is None else plan.fitted(args, kwargs)

    def _enter(self, name: str, cls: type) -> None:
        self._classes[name] = cls
        self._names[cls] = name
        self._unread[id(cls)] = cls

    def _read(self) -> None:
        from litequeue.serialization.hints import classes_in, field_hints, hints_of

        # No lock, which a fork could leave shut: threads may do this work twice, to one end.
        while self._unread:
            for key, source in list(self._unread.items()):
                hints = field_hints(source) if isinstance(source, type) else hints_of(source)
                for hint in hints.values():
                    for cls in classes_in(hint):
                        self._note(cls)
                self._unread.pop(key, None)

    def _note(self, cls: type) -> None:
        if cls in self._names:
            return
        name = self._named(cls)
        other = self._classes.get(name)
        if other is None:
            self._enter(name, cls)
        else:
            self._names[cls] = name
            self._clashes[name] = (other, cls)

    def _refuse_clash(self, name: str | None) -> None:
        if self._clashes and name in self._clashes:
            raise ValueError(_clash(str(name), *self._clashes[str(name)]))


def _clash(name: str, one: type, other: type) -> str:
    return f"two classes are called {name} ({one!r} and {other!r}); rename one of them"
