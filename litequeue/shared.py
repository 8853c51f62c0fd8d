"""`shared_task`, `current_app`, `current_task`: for modules that do not know their app."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast, overload

from litequeue import context
from litequeue.app import LiteQueue
from litequeue.declaring import AnyTaskDecorator, BoundTaskDecorator, TaskDecorator
from litequeue.exceptions import ImproperlyConfigured
from litequeue.registry import shared
from litequeue.task import AsyncTask, Task

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=Task[..., Any])


class _Stand:
    """Stands for an object that is looked up whenever it is used."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], Any]) -> None:
        object.__setattr__(self, "_find", find)

    def _get_current_object(self) -> Any:
        return self._find()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._find(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._find(), name)

    @property  # type: ignore[misc]  # it may not be set, unlike others'
    def __class__(self) -> Any:
        """Be an instance of what the other is one of; what is not there yet is no class's."""
        try:
            return type(self._find())
        except ImproperlyConfigured:
            return _Stand

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # of what it stands for
        return cast("str | None", self._find().__doc__)

    @property
    def __module__(self) -> str:  # type: ignore[override]  # of what it stands for
        return cast(str, self._find().__module__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._find()(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._find())

    def __bool__(self) -> bool:
        return bool(self._find())

    def __eq__(self, other: object) -> bool:
        mine = self._find()
        return bool(mine == (other._find() if type(other) is _Stand else other))

    def __hash__(self) -> int:
        return hash(self._find())

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._find(),)


def _itself(value: Any) -> Any:
    return value


def _running_task() -> Any:
    request = context.current_request.get()
    return None if request is None else context.current_app().tasks.get(request.task)


current_app: Final = cast(LiteQueue, _Stand(context.current_app))
"""The app whose job runs here, or else the last one made."""
current_task: Final = cast("Task[..., Any]", _Stand(_running_task))
"""The task whose job runs here; false where none does."""


@overload
def shared_task(
    function: Callable[P, Coroutine[Any, Any, R]],
    /,
    *,
    bind: Literal[False] = False,
    **options: Any,
) -> AsyncTask[P, R]: ...
@overload
def shared_task(
    function: Callable[P, R], /, *, bind: Literal[False] = False, **options: Any
) -> Task[P, R]: ...
@overload
def shared_task(
    function: Callable[..., Any], /, *, bind: bool, **options: Any
) -> Task[..., Any]: ...
@overload
def shared_task(
    function: None = None, /, *, bind: Literal[False] = False, **options: Any
) -> TaskDecorator: ...
@overload
def shared_task(
    function: None = None, /, *, bind: Literal[True], base: type[T], **options: Any
) -> BoundTaskDecorator[T]: ...
@overload
def shared_task(
    function: None = None, /, *, bind: Literal[True], base: None = None, **options: Any
) -> BoundTaskDecorator[Task[..., Any]]: ...
@overload
def shared_task(function: None = None, /, *, bind: bool, **options: Any) -> AnyTaskDecorator: ...
def shared_task(function: Any = None, /, **options: Any) -> Any:
    """Register a function as a task of every app, those to come included.

    For modules that are used by several programs.  Options are those of `LiteQueue.task`.  What
    is returned acts as the task of the current app.
    """
    if function is None:
        return lambda function: shared_task(function, **options)
    name: str | None = options.get("name")

    def make(app: LiteQueue) -> Task[..., Any]:
        task: Task[..., Any] = app.task(**dict(options))(function)
        return task

    def find() -> Any:
        app: LiteQueue = context.current_app()
        return app.tasks[name or app.gen_task_name(function.__name__, function.__module__)]

    shared.append(make)
    return _Stand(find)
