"""`LiteQueue`: the app.  It holds the settings, its declarations and the file."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final

from litequeue import built_in, fork_gate, loading, sending
from litequeue.calling import CallOptions, Eagerly, ending, starting
from litequeue.canvas import Signature, linking, signature
from litequeue.clock import SYSTEM, Clock
from litequeue.config import Settings, load_settings
from litequeue.configured import Configured
from litequeue.context import current_request, planning, refuse_at_import, set_current_app
from litequeue.exceptions import ImproperlyConfigured
from litequeue.job import new_id, new_ids, result_of
from litequeue.operations import Operations, upward
from litequeue.place import URL_VARIABLE, locate
from litequeue.result import AsyncResult as Result
from litequeue.routing import Queue, Router
from litequeue.serialization import Codec, Types
from litequeue.signals import Signal
from litequeue.task import Task as BaseTask

if TYPE_CHECKING:
    from litequeue.entries import Entries
    from litequeue.facts import AppFacts
    from litequeue.flow import Plan
    from litequeue.result import EagerResult
    from litequeue.result import ResultSet as Results
    from litequeue.result.by_id import Groups
    from litequeue.store import Store


_UNBUILT: Final = frozenset(("start", "transaction"))


class LiteQueue(Operations):
    """A queue in one SQLite file.

    ``path`` is the file (default: the environment's ``LITEQUEUE_URL``).  As Celery is called, with
    ``broker``, that is the file, and the first argument is only a name; ``backend`` may be the
    same file.  ``include`` names modules that workers import, ``task_cls`` the class of tasks,
    ``config_source`` a module of settings.  Other keyword arguments are settings (see
    `litequeue.config.Settings`).  Nothing is opened before the first use.  Raises
    `ImproperlyConfigured` for a path or a setting that makes no sense.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        broker: str | os.PathLike[str] | None = None,
        backend: str | os.PathLike[str] | None = None,
        include: Iterable[str] = (),
        task_cls: type[BaseTask[..., Any]] | str | None = None,
        config_source: object = None,
        set_as_current: bool = True,
        clock: Clock = SYSTEM,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.main: str | None = None if broker is None or path is None else os.fspath(path)
        self.clock: Clock = clock
        self.conf: Settings = load_settings(settings)
        self.types: Types = Types(loading.type_name)
        self.task_cls: type[BaseTask[..., Any]] | str = task_cls or type(self).task_cls
        self.on_configure: Signal = Signal("on_configure", ())
        self.on_after_configure: Signal = Signal("on_after_configure", ("source",))
        self.on_after_finalize: Signal = Signal("on_after_finalize", ())
        self.introduced: bool = False
        """The file knows this app, so it needs no introduction."""
        self._given = path if broker is None else broker
        self._cwd = os.getcwd()  # noqa: PTH109 - pathlib takes 5 ms to import
        self._module: str = _caller()
        self._store: Store | None = None
        self._configured = Configured(self.conf, self.types)
        if backend is not None:
            self.conf.result_backend = os.fspath(backend)
        self.conf.include = (*self.conf.include, *include)
        if config_source is not None:
            self.config_from_object(config_source)
        self._location()
        if set_as_current:
            set_current_app(self)

    # The file

    @property
    def store(self) -> Store:
        """The file, opened at its first use."""
        if self._store is None:
            with fork_gate.first_use():
                if self._store is None:
                    self._store = self._file(self._location())
        return self._store

    @property
    def path(self) -> str:
        """The absolute path of the file."""
        return self.store.path

    def rebind(self, path: str | os.PathLike[str]) -> None:
        """Use another file from now on (for tests, and ``litequeue worker --rebind``)."""
        self.close()
        self.introduced = False
        self._store = self._file(locate(path, self._cwd))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._store is not None:
            self._store.close()

    def _file(self, location: str) -> Store:
        from litequeue.store import Store  # with SQLite: half of all there is to load

        return Store(location, self.conf, clock=self.clock)

    def _location(self) -> str:
        """Return where the file is; a relative path counts from where the app was made."""
        conf = self.conf
        location = locate(self._given if conf.broker_url is None else conf.broker_url, self._cwd)
        if conf.result_backend is not None and locate(conf.result_backend, self._cwd) != location:
            raise ImproperlyConfigured(
                f"results live in the queue's own file, {location}, not in "
                f"{conf.result_backend!r}; leave the result backend out"
            )
        return location

    # Settings

    @property
    def zone(self) -> tzinfo | None:
        """Where datetimes without a zone are meant: the setting ``timezone``, else here."""
        return self._configured.zone()

    @property
    def codec(self) -> Codec:
        """What turns arguments and results into text and back."""
        return self._configured.codec()

    @property
    def router(self) -> Router:
        """What decides which queue a job goes to."""
        return self._configured.router()

    def config_from_object(
        self,
        obj: object,
        silent: bool = False,
        force: bool = False,
        namespace: str | None = None,
    ) -> None:
        """Read settings from a module, its name, a class or a mapping (`Settings.read`).

        ``namespace`` "CELERY" takes the names that begin with ``CELERY_``.  ``silent`` ignores a
        module that cannot be imported.  It happens at once: ``force`` changes nothing.
        """
        try:
            self.conf.read(obj, namespace)
        except ModuleNotFoundError as error:
            name = obj.partition(":")[0] if isinstance(obj, str) else ""
            if not silent or not error.name or not f"{name}.".startswith(f"{error.name}."):
                raise

    def set_current(self) -> None:
        """Make this app the one that is meant where none is named."""
        set_current_app(self)

    set_default = set_current

    @property
    def entries(self) -> Entries:
        """The lines of beat in the file, to be seen and changed at run time."""
        from litequeue.entries import Entries

        return Entries(self)

    # Sending

    def send(
        self,
        task: BaseTask[Any, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: CallOptions,
    ) -> Result[Any]:
        """Accept one call of ``task`` as a job.  `Task.delay` says what is raised."""
        refuse_at_import("delay()")
        planned = planning.get()
        if planned is not None and planned.task is task:
            planned.made = args, kwargs, options
            return Result(options.id or "", app=self)
        self._registry.finalize()
        if sending.is_eager(self.conf):
            return self._send_eagerly(task, args, kwargs, options)
        if options.link or options.link_error:
            linked: Result[Any] = _workflows().send_linked(self, task, args, kwargs, options)
            return linked
        return sending.send(self, task, args, kwargs, options)

    def send_workflow(
        self,
        canvas: Signature[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Accept all jobs of a workflow; return the handle on its result, or on its group.

        `Signature.apply_async` is the way to call it; `litequeue.workflows.send` says the rest.
        """
        return _workflows().send(self, canvas, args, kwargs or {}, options or {})

    def plan_workflow(
        self,
        canvas: Signature[Any],
        *,
        task_id: str | None = None,
        member_of: str | None = None,
        is_needed: bool = False,
    ) -> Plan:
        """Return the plan of a workflow that a running job hands on: `workflows.plan_for`."""
        planned: Plan = _workflows().plan_for(
            self, canvas, task_id=task_id, member_of=member_of, is_needed=is_needed
        )
        return planned

    def _send_eagerly(
        self,
        task: BaseTask[Any, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: CallOptions,
    ) -> EagerResult[Any]:
        """Run a call here, with what its arguments are after their way through the file."""
        body = self.codec.dumps_arguments(
            args,
            kwargs,
            limit=self.conf.task_max_arguments_size,
            serializer=options.serializer or task.serializer,
        )
        given, named = self.codec.loads_arguments(body)
        fitted, keywords = self.types.fit(task.run, given, named)
        how = Eagerly(id=options.id, headers=options.headers, stamps=options.stamps)
        result = self.apply(task, tuple(fitted), keywords, how)
        if options.link or options.link_error:
            linking.call(task.s(), result, options.link, options.link_error)
        return result

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        countdown: float | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> Result[Any]:
        """Enqueue a call of a task by its name, with the options of `apply_async`.

        The task need not be known here, so neither are its arguments checked nor its own options
        looked at, as in Celery; routes count.
        """
        if self.conf.task_always_eager:
            sending.logger.warning(
                "task_always_eager does not hold for send_task(): %s is enqueued", name
            )
        with sending.for_real():
            result: Result[Any] = sending.stranger(self, name).apply_async(
                args, kwargs, task_id, countdown=countdown, **options
            )
        return result

    def signature(self, varies: Any, *args: Any, **kwargs: Any) -> Signature[Any]:
        """Return a signature of this app; as `litequeue.signature`."""
        return signature(varies, *args, **{**kwargs, "app": self})

    def enqueue_many(
        self,
        calls: Iterable[tuple[Any, ...]],
        *,
        queue: str | Queue | None = None,
        priority: int | None = None,
        countdown: float | None = None,
        eta: datetime | float | str | None = None,
        expires: datetime | float | str | None = None,
    ) -> list[Result[Any]]:
        """Accept many calls in one transaction: all of them, or none.

        ``calls`` are (task, args) or (task, args, kwargs); the options hold for all, and mean
        what they do in `Task.apply_async`.  With `task_always_eager` the calls run here, one
        after the other.  Raises as `Task.delay` does.
        """
        refuse_at_import("enqueue_many()")
        self._registry.finalize()
        now = self.clock.now()
        options = CallOptions(
            queue=queue.name if isinstance(queue, Queue) else queue,
            priority=priority,
            eta=starting(eta, countdown, now, self.zone),
            expires=ending(expires, now, self.zone),
        )
        listed = [sending.checked_call(*call) for call in calls]
        if sending.is_eager(self.conf):
            return [self._send_eagerly(*call, options) for call in listed]
        return sending.send_many(self, listed, new_ids(now, len(listed)), options)

    def apply(
        self,
        task: BaseTask[Any, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: Eagerly,
    ) -> EagerResult[Any]:
        """Run one call of ``task`` here and now as a worker would.  See `Task.apply`."""
        self.finalize()
        eager = upward("litequeue.worker.eager")
        result: EagerResult[Any] = eager.apply(
            self, task, args, kwargs, options, id=options.id or new_id(self.clock.now())
        )
        return result

    # Results

    def AsyncResult(self, id: str) -> Result[Any]:
        """Return a handle on a job by its id."""
        return Result(id, app=self)

    @property
    def GroupResult(self) -> Groups:
        """What makes handles on groups by their ids: called with one, or its `restore`."""
        from litequeue.result.by_id import Groups

        return Groups(self)

    def ResultSet(self, results: Iterable[Result[Any]]) -> Results[Any]:
        """Return a handle on many jobs."""
        from litequeue.result import ResultSet

        return ResultSet(results, app=self)

    def update_state(self, id: str, state: str | None, meta: object) -> None:
        """Show a state of a job that runs.  See `Task.update_state`."""
        request = current_request.get()
        if request is not None and request.id != id:
            request = None  # it speaks of another job
        if request is not None and request.is_eager:
            return
        text = None if meta is None else self.codec.dumps(meta, context=result_of(id))
        if request is None or request.may_show(state, meta, text):
            token = None if request is None else request.token
            self.store.update_state(id, state=state, meta=text, token=token)

    # What the file may know

    def facts(self) -> AppFacts:
        """Describe the app for people who look into its file."""
        from litequeue.facts import AppFacts, TaskFacts

        tasks = [
            TaskFacts(name, sending.signature_of(task), sending.summary_of(task), task.queue)
            for name, task in sorted(self.tasks.items())
            if not name.startswith(built_in.PREFIXES)
        ]
        return AppFacts(name=loading.attribute_of(self, self._module), root=self._cwd, tasks=tasks)

    if not TYPE_CHECKING:  # a type checker would take every name for one that is there

        def __getattr__(self, name: str) -> Any:
            """Name what Celery has and we have not yet."""
            if name in _UNBUILT:
                raise NotImplementedError(f"app.{name}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        """Name the file."""
        return f"<LiteQueue {self._given or self.conf.broker_url or URL_VARIABLE}>"


def _caller() -> str:
    """Return the module in which an app is being made, past the classes that inherit from it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_name == "__init__":
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def _workflows() -> Any:
    """Load what only workflows need."""
    return importlib.import_module("litequeue.workflows")
