"""`LiteQueue`: the app.  It holds the settings, the registry of tasks and the file."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, ParamSpec, TypeVar, overload

from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings, settings_from_environment
from litequeue.context import current_request, refuse_at_import
from litequeue.exceptions import ImproperlyConfigured, NotRegistered
from litequeue.job import Job, new_id, new_ids
from litequeue.result import AsyncResult
from litequeue.serialization import dumps_arguments
from litequeue.store import Store
from litequeue.task import (
    BoundTaskDecorator,
    CallOptions,
    Task,
    TaskDecorator,
    moment,
    task_options,
)

P = ParamSpec("P")
R = TypeVar("R")

URL_VARIABLE: Final = "LITEQUEUE_URL"


class LiteQueue:
    """A queue in one SQLite file.

    ``path`` is the file (default: the environment's ``LITEQUEUE_URL``); keyword arguments are
    settings (see `litequeue.config.Settings`).  Nothing is opened before the first use.
    Raises `ImproperlyConfigured` for a path or a setting that makes no sense.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, clock: Clock = SYSTEM, **settings: Any
    ) -> None:
        self.clock = clock
        self.conf: Settings = settings_from_environment(**settings)
        self.tasks: dict[str, Task[..., Any]] = {}
        self.store = Store(_location(path), self.conf, clock=clock)

    @property
    def path(self) -> str:
        """The absolute path of the file."""
        return self.store.path

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self, function: None = None, /, *, bind: Literal[True], **options: Any
    ) -> BoundTaskDecorator: ...
    @overload
    def task(
        self, function: None = None, /, *, bind: Literal[False] = False, **options: Any
    ) -> TaskDecorator: ...
    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Register a function as a task: ``@app.task`` or ``@app.task(max_retries=5, ...)``.

        Options are Celery's: ``name``, ``bind``, ``queue``, ``priority``, ``ignore_result``,
        ``autoretry_for``, ``dont_autoretry_for``, ``max_retries`` (3), ``default_retry_delay``
        (180 s), ``retry_backoff``, ``retry_backoff_max`` (600 s), ``retry_jitter`` (True).
        Raises TypeError for an unknown option and NotImplementedError for one still to come.
        """
        name: str | None = options.pop("name", None)
        known = task_options(options)

        def register(function: Callable[..., R]) -> Task[..., R]:
            if inspect.iscoroutinefunction(function):
                raise NotImplementedError("async def tasks")
            task = Task[..., R](self, function, name=name or default_name(function), options=known)
            present = self.tasks.get(task.name)
            if present is not None and present.run.__qualname__ != function.__qualname__:
                raise ImproperlyConfigured(
                    f"two tasks are named {task.name!r}; give one of them a name= of its own"
                )
            self.tasks[task.name] = task
            return task

        return register if function is None else register(function)

    def send(
        self,
        task: Task[Any, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: CallOptions,
    ) -> AsyncResult[Any]:
        """Accept one call of ``task`` as a job.  `Task.delay` says what is raised."""
        refuse_at_import("delay()")
        job = self._job(task, args, kwargs, options, options.id or new_id(self.clock.now()))
        self.store.enqueue(job)
        return AsyncResult(job.id, self.store)

    def enqueue_many(
        self,
        calls: Iterable[tuple[Any, ...]],
        *,
        queue: str | None = None,
        priority: int | None = None,
        eta: float | None = None,
        expires: float | None = None,
    ) -> list[AsyncResult[Any]]:
        """Accept many calls in one transaction: all of them, or none.

        ``calls`` are (task, args) or (task, args, kwargs); the options hold for all, with
        ``eta`` and ``expires`` in epoch seconds.  Raises as `Task.delay` does.
        """
        refuse_at_import("enqueue_many()")
        options = CallOptions(
            queue=queue, priority=priority, eta=moment(eta), expires=moment(expires)
        )
        listed = list(calls)
        ids = new_ids(self.clock.now(), len(listed))
        jobs = []
        for id, (task, args, *rest) in zip(ids, listed, strict=True):
            kwargs = rest[0] if rest else {}
            task.check_arguments(args, kwargs)
            jobs.append(self._job(task, args, kwargs, options, id))
        self.store.enqueue_many(jobs)
        return [AsyncResult(id, self.store) for id in ids]

    def AsyncResult(self, id: str) -> AsyncResult[Any]:
        """Return a handle on a job by its id."""
        return AsyncResult(id, self.store)

    def rebind(self, path: str | os.PathLike[str]) -> None:
        """Use another file from now on (for tests, and ``litequeue worker --rebind``)."""
        self.store.close()
        self.store = Store(os.fspath(path), self.conf, clock=self.clock)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self.store.close()

    def _job(
        self,
        task: Task[Any, Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions,
        id: str,
    ) -> Job:
        if task.name.startswith("__main__."):
            raise ImproperlyConfigured(
                f"{task.name} is defined in an interactive session, which no worker can import; "
                "put it into a file"
            )
        conf, registered = self.conf, task.options
        request = current_request.get()
        priority = registered.priority if options.priority is None else options.priority
        return Job(
            id,
            task.name,
            dumps_arguments(args, kwargs, limit=conf.task_max_arguments_size),
            options.queue or registered.queue or conf.task_default_queue,
            conf.task_default_priority if priority is None else priority,
            options.eta,
            options.expires,
            None,
            None if request is None else request.id,
        )


def _location(path: str | os.PathLike[str] | None) -> str:
    given = os.environ.get(URL_VARIABLE) if path is None else path
    if given is None:
        raise ImproperlyConfigured(
            f'LiteQueue() needs the path of its file: LiteQueue("jobs.sqlite"), or {URL_VARIABLE}'
        )
    if not isinstance(given, str | os.PathLike):
        raise NotImplementedError(f"LiteQueue({type(given).__name__}); give the path of a file")
    location = os.fspath(given)
    scheme, separator, _ = location.partition("://")
    if separator:
        raise NotImplementedError(f"a queue at {scheme}://; give the path of a file")
    return location


def default_name(function: Callable[..., Any]) -> str:
    """Return "module.function"; a script that was run as a program is named by its file's stem.

    So a worker that imports the script finds the task under the name it was sent with.
    """
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        file = getattr(main, "__file__", None)
        if spec is not None and spec.name != "__main__":
            module = spec.name.removesuffix(".__main__")
        elif file is not None:
            name = os.path.basename(file)  # noqa: PTH119 - pathlib takes 5 ms to import
            module = name.removesuffix(".py")
    return f"{module}.{function.__qualname__}"


def find_app(name: str) -> LiteQueue:
    """Import ``name`` ("module:attribute", or "module" with one app in it) and return the app.

    Raises ImportError, `NotRegistered` for a missing attribute, `ImproperlyConfigured` for
    something that is no app.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ImproperlyConfigured(
            f"{name!r} names no module; say -A MODULE:APP, as myapp.tasks:app"
        )
    module = importlib.import_module(module_name)
    if not attribute:
        apps = {key: value for key, value in vars(module).items() if isinstance(value, LiteQueue)}
        if len(set(map(id, apps.values()))) != 1:
            found = ", ".join(f"{module_name}:{key}" for key in apps) or "none"
            raise ImproperlyConfigured(
                f"which app in {module_name}? found {found}; say -A {module_name}:NAME"
            )
        return next(iter(apps.values()))
    app: Any = module
    for part in attribute.split("."):
        if not hasattr(app, part):
            raise NotRegistered(f"module {module_name!r} has no attribute {attribute!r}")
        app = getattr(app, part)
    if not isinstance(app, LiteQueue):
        raise ImproperlyConfigured(f"{name} is a {type(app).__name__}, not a LiteQueue app")
    return app
