"""The tasks of an app: registered one by one, given shared ones and settings at first use."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final

from litequeue import built_in, fork_gate, loading, signals
from litequeue.annotations import annotate, fill_in
from litequeue.declaring import check_option_names, check_task, function_task
from litequeue.exceptions import ImproperlyConfigured, NotRegistered
from litequeue.task import AsyncTask, Task


class Tasks(dict[str, Task[..., Any]]):
    """The tasks by name; a missing one raises `NotRegistered`."""

    def __missing__(self, name: str) -> Task[..., Any]:
        """Raise `NotRegistered`, with the nearest name."""
        import difflib

        close = difflib.get_close_matches(name, self, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "; is its module imported?"
        raise NotRegistered(f"no task is named {name!r}{hint}")


shared: Final[list[Callable[[Any], object]]] = [built_in.declare]
"""What makes the tasks that apps share: each is called with every app, those to come included."""


class Registry:
    """The tasks of ``app``, and the modules they are still to come from."""

    def __init__(self, app: Any) -> None:
        self.tasks: Tasks = Tasks()
        self.failures: list[tuple[Callable[..., Any], Exception]] = []
        """Receivers of the app's own signals that raised, and what."""
        self._app = app
        self._final: set[str] = set()
        self._made = 0
        self._configured = False
        self._announced = False
        self._discoveries: list[Callable[[], object]] = []

    def declare(self, function: Any, options: dict[str, Any]) -> Task[..., Any]:
        """Make a task of a function and add it.  `LiteQueue.task` says what is raised."""
        if not callable(function):
            raise TypeError(f"@app.task() takes a function, not {function!r}")
        base = options.pop("base", None) or self._app.Task
        if not (isinstance(base, type) and issubclass(base, Task)):
            raise TypeError(f"base= is a subclass of litequeue.Task, not {base!r}")
        if inspect.iscoroutinefunction(function) and base is Task:
            base = AsyncTask
        name = options.pop("name", None) or self._app.gen_task_name(
            function.__name__, function.__module__
        )
        task = function_task(function, base, name, dict(options))
        self.register(task)
        return task

    def adopt(self, task: object, options: dict[str, Any]) -> Any:
        """Add an instance of a class of tasks, or make one of the class."""
        instance: Any = task() if isinstance(task, type) else task
        kind = type(instance)
        if not isinstance(instance, Task):
            raise TypeError(f"register_task() takes a Task, not {task!r}; use @app.task")
        check_option_names(kind, options)
        for name, value in options.items():
            setattr(instance, name, value)
        if not instance.name:
            instance.name = self._app.gen_task_name(kind.__name__, kind.__module__)
        self.register(instance)
        return instance

    def register(self, task: Task[..., Any]) -> None:
        """Add ``task``; raises `ImproperlyConfigured` when another one has its name."""
        present = self.tasks.get(task.name)
        if present is not None and _origin(present) != _origin(task):
            raise ImproperlyConfigured(
                f"two tasks are named {task.name!r}; give one of them a name= of its own"
            )
        check_task(task)
        task.bind(self._app)
        fill_in(task, self._app.conf)
        self._app.types.learn(task.run)
        self.tasks[task.name] = task
        self._final.discard(task.name)

    def finalize(self) -> None:
        """Give shared tasks, settings and annotations to the tasks, those that lack them yet."""
        if len(self._final) == len(self.tasks) and self._made == len(shared) and self._announced:
            return
        app = self._app
        with fork_gate.first_use():
            if not self._configured:
                self._configured = True
                app.on_configure.send(sender=app)
                self._note_failures(app.on_after_configure.send(sender=app, source=app.conf))
            while self._made < len(shared):  # one that fails is tried again at the next use
                shared[self._made](app)
                self._made += 1
            for name, task in list(self.tasks.items()):
                if name not in self._final:
                    annotate(task, app.conf)
                    check_task(task)
                    self._final.add(name)
            first, self._announced = not self._announced, True
        if first:
            self._note_failures(app.on_after_finalize.send(sender=app))

    def _note_failures(self, responses: Iterable[tuple[Callable[..., Any], Any]]) -> None:
        """Remember which receivers raised: what they were to declare is not all there."""
        self.failures += [each for each in responses if isinstance(each[1], Exception)]

    def discover(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None,
        related_name: str | None,
    ) -> Callable[[], object]:
        """Return what imports ``related_name`` of each package; raises `ImproperlyConfigured`."""
        if packages is None:
            raise ImproperlyConfigured(
                "autodiscover_tasks() needs the packages to look into, as "
                'app.autodiscover_tasks(["shop", "mail"])'
            )

        def discover() -> object:
            found = packages() if callable(packages) else packages
            names = [found] if isinstance(found, str) else list(found)
            return loading.import_related(names, related_name)

        return discover

    def discover_later(self, discovery: Callable[[], object]) -> None:
        """Have `import_modules` call ``discovery``."""
        self._discoveries.append(discovery)

    def import_modules(self, names: Iterable[str]) -> None:
        """Import the modules of tasks, as a worker does; raises what they raise."""
        for _, response in signals.import_modules.send(sender=self._app):
            if isinstance(response, Exception):
                raise response
        discoveries, self._discoveries = self._discoveries, []
        for discovery in discoveries:
            discovery()
        for name in names:
            importlib.import_module(name)
        self.finalize()


def _origin(task: Task[..., Any]) -> tuple[str, str]:
    kind = type(task)
    return loading.importable(kind.__module__), kind.__qualname__
