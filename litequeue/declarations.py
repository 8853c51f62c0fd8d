"""What the code of an app declares: its tasks, and when they are sent by themselves."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, Unpack, overload

from litequeue import loading
from litequeue.config import Settings
from litequeue.declaring import AnyTaskDecorator, BoundTaskDecorator, TaskDecorator
from litequeue.registry import Registry, Tasks
from litequeue.task import AsyncTask
from litequeue.task import Task as BaseTask

if TYPE_CHECKING:
    from litequeue.periodic import EntryOptions, Periodic

logger: Final = logging.getLogger("litequeue.beat")

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=BaseTask[..., Any])


class Declarations:
    """The part of an app that modules of tasks use while they are imported."""

    conf: Settings
    task_cls: type[BaseTask[..., Any]] | str = BaseTask
    """The class of tasks that name no other, or where it is to be found."""

    def __init__(self) -> None:
        self._registry = Registry(self)
        self.periodics: list[Periodic] = []
        """What `add_periodic_task` and `periodic` have said so far."""

    # Tasks

    @property
    def tasks(self) -> Tasks:
        """The registered tasks by name."""
        self._registry.finalize()
        return self._registry.tasks

    @property
    def Task(self) -> type[BaseTask[..., Any]]:
        """The base class of this app's tasks."""
        kind = self.task_cls
        if isinstance(kind, str):
            module, _, name = kind.replace(":", ".").rpartition(".")
            found: type[BaseTask[..., Any]] = getattr(importlib.import_module(module), name)
            self.task_cls = kind = found
        return kind

    @Task.setter
    def Task(self, kind: type[BaseTask[..., Any]]) -> None:
        self.task_cls = kind

    @overload
    def task(
        self,
        function: Callable[P, Coroutine[Any, Any, R]],
        /,
        *,
        bind: Literal[False] = False,
        **options: Any,
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(
        self, function: Callable[P, R], /, *, bind: Literal[False] = False, **options: Any
    ) -> BaseTask[P, R]: ...
    @overload
    def task(
        self, function: Callable[..., Any], /, *, bind: bool, **options: Any
    ) -> BaseTask[..., Any]: ...
    @overload
    def task(
        self, function: None = None, /, *, bind: Literal[False] = False, **options: Any
    ) -> TaskDecorator: ...
    @overload
    def task(
        self, function: None = None, /, *, bind: Literal[True], base: type[T], **options: Any
    ) -> BoundTaskDecorator[T]: ...
    @overload
    def task(
        self, function: None = None, /, *, bind: Literal[True], base: None = None, **options: Any
    ) -> BoundTaskDecorator[BaseTask[..., Any]]: ...
    @overload
    def task(self, function: None = None, /, *, bind: bool, **options: Any) -> AnyTaskDecorator: ...
    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Register a function as a task: ``@app.task`` or ``@app.task(max_retries=5, ...)``.

        Options are the attributes of `Task`, and ``bind`` (the task itself comes as the first
        argument), ``base`` (its class).  ``async def`` functions are awaited by the worker.
        Raises TypeError for an unknown option and NotImplementedError for one still to come.
        """
        if function is None:
            return lambda function: self.task(function, **options)
        if not callable(function):
            raise TypeError(f"@app.task() takes a function, not {function!r}")
        return self._registry.declare(function, options)

    @overload
    def register_task(self, task: type[T], **options: Any) -> T: ...
    @overload
    def register_task(self, task: T, **options: Any) -> T: ...
    def register_task(self, task: Any, **options: Any) -> Any:
        """Register an instance, or the class, of a class-based task.

        Its name is its ``name``, or "module.Class".  Raises as `task` does.
        """
        return self._registry.adopt(task, options)

    def gen_task_name(self, name: str, module: str) -> str:
        """Return the name of a task that was given none; may be overridden."""
        return f"{loading.importable(module)}.{name}"

    def finalize(self, auto: bool = False) -> None:
        """Give shared tasks, settings and annotations to the tasks; done by itself at first use."""
        self._registry.finalize()

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Import ``related_name`` of each package when a worker starts; now with ``force``.

        Raises ImproperlyConfigured without packages: there is no framework to ask for them.
        """
        discovery = self._registry.discover(packages, related_name)
        if force:
            discovery()
        else:
            self._registry.discover_later(discovery)

    def import_modules(self) -> None:
        """Import what ``include``, ``imports`` and `autodiscover_tasks` name, as a worker does.

        Raises what the modules raise, or what a receiver of the signal ``import_modules`` does.
        """
        self._registry.import_modules((*self.conf.imports, *self.conf.include))

    @property
    def failures(self) -> Sequence[tuple[Callable[..., Any], Exception]]:
        """The receivers of `on_after_configure` and `on_after_finalize` that raised, and what."""
        self.finalize()
        return self._registry.failures

    # Periodic jobs

    def add_periodic_task(
        self,
        schedule: Any,
        sig: BaseTask[..., Any] | str | Mapping[str, Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Unpack[EntryOptions],
    ) -> str:
        """Have a signature or task sent whenever ``schedule`` is due; return the name of the entry.

        ``schedule`` is a crontab or another of `litequeue.schedules`, or a number of seconds.  A
        worker or a beat that runs this code writes the entry into the file when it starts, and
        removes what the code does not say any more.  Raises `ImproperlyConfigured` and TypeError
        for what makes no sense.
        """
        from litequeue.periodic import declared

        said = declared(schedule, sig, args, kwargs, name=name, options={**options})
        if name is None and any(each.name == said.name for each in self.periodics):
            logger.warning(
                "the entry %s replaces another one of this call: give each a name", said.name
            )
        self.periodics.append(said)
        return said.name

    def periodic(
        self,
        schedule: Any,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Unpack[EntryOptions],
    ) -> Callable[[T], T]:
        """Have a task sent whenever ``schedule`` is due; stands above ``@app.task``.

        As `add_periodic_task`; the entry's name is the task's unless one is given.
        """

        if isinstance(schedule, BaseTask):
            raise TypeError("@app.periodic takes a schedule, as in @app.periodic(60)")

        def add(task: T) -> T:
            if not isinstance(task, BaseTask):
                raise TypeError(f"@app.periodic() stands above @app.task, and {task!r} is no task")
            self.add_periodic_task(schedule, task, args, kwargs, name or task.name, **options)
            return task

        return add
