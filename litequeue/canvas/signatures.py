"""`Signature`: one call as data, in Celery's form: a dict that JSON can hold.

It names its task.  Which task that is, its app's registry says when the call is made; so a
signature may travel as an argument, through a file, or to a Celery and back.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar, cast, overload

from litequeue.canvas import linking
from litequeue.canvas.members import Callee, Item, check_given, item
from litequeue.canvas.options import HOMES, NOT_EAGER, adds_to, check_policy, said, sendable, shown
from litequeue.context import current_app
from litequeue.exceptions import NotRegistered
from litequeue.job import new_id
from litequeue.result import AsyncResult
from litequeue.result.async_result import R

if TYPE_CHECKING:
    from litequeue.canvas.groups import group
    from litequeue.canvas.stamping import StampingVisitor
    from litequeue.result import EagerResult

T = TypeVar("T")
K = TypeVar("K", bound="type[Signature[Any]]")

_WORKFLOWS: Final = ("chain", "chord", "group")
_KEPT: Final = frozenset(("group_id", "stamped_headers"))
"""Options that no call changes once a signature has them; its stamps are such, too."""


class Signature(dict[str, Any], Generic[R]):
    """A call of ``task``, a task or the name of one, to be made later: Celery's `Signature`.

    ``args`` and ``kwargs`` may be a part of the arguments; ``options`` and further keywords are
    those of `Task.apply_async`.  To one that is ``immutable`` no arguments are added.  A mapping
    as the first argument is taken as it is.  ``type`` changes nothing, as in Celery.
    """

    TYPES: ClassVar[dict[str, type[Signature[Any]]]] = {}

    task: Item[str] = Item("task")
    args: Item[Sequence[Any]] = Item("args")
    kwargs: Item[dict[str, Any]] = Item("kwargs")
    options: Item[dict[str, Any]] = Item("options")
    subtask_type: Item[str | None] = Item("subtask_type")
    immutable: Item[bool] = Item("immutable")
    id: Item[str | None] = Item("task_id", "options")
    parent_id: Item[str | None] = Item("parent_id", "options")
    root_id: Item[str | None] = Item("root_id", "options")

    if not TYPE_CHECKING:  # to a type checker it is dict's, with the types of that
        get = item

    def __init__(
        self,
        task: Callee[R] | str | Mapping[str, Any],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        type: Any = None,
        subtask_type: str | None = None,
        immutable: bool = False,
        app: Any = None,
        **ex: Any,
    ) -> None:
        self._app = app
        self._type: Any = None
        if isinstance(task, Mapping):
            super().__init__(task)
            return
        if not isinstance(task, str):
            self._type, task = task, task.name
        super().__init__(
            task=task,
            args=tuple(args or ()),
            kwargs=kwargs or {},
            options={**(options or {}), **ex},
            subtask_type=subtask_type,
            immutable=immutable,
        )

    @classmethod
    def register_type(cls, name: str | None = None) -> Callable[[K], K]:
        """Return a decorator for the class of the signatures whose ``subtask_type`` is ``name``."""

        def register(kind: K) -> K:
            cls.TYPES[name or kind.__name__] = kind
            return kind

        return register

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Any = None) -> Signature[Any]:
        """Return the signature that a mapping describes, as JSON gives it back.

        Raises KeyError for a type that nobody registered.
        """
        name = d.get("subtask_type")
        if name:
            if name in HOMES and name not in cls.TYPES:
                importlib.import_module(f"litequeue.canvas.{HOMES[name]}")
            kind = cls.TYPES[name]
            if kind is not cls:
                return kind.from_dict(d, app=app)
        return Signature(d, app=app)

    # Calling

    def __call__(self, *partial_args: Any, **partial_kwargs: Any) -> R:
        """Run the task in this process, without the queue."""
        args, kwargs, _ = self._merge(partial_args, partial_kwargs)
        return cast(R, self.type(*args, **kwargs))

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> AsyncResult[R]:
        """Enqueue the call, with further arguments; raises as `Task.delay` does."""
        return self.apply_async(partial_args, partial_kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        route_name: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Enqueue the call: ``args`` come before its own, ``kwargs`` and ``options`` count more.

        Options that are None leave the signature's.  A task that this app does not know is sent
        by its name.  ``route_name`` changes nothing, as in Celery.  Raises as `Task.apply_async`
        does, and ValueError for options that only a workflow gives its steps and for a workflow
        nested too deep.
        """
        check_given(args, kwargs)
        given, named, how = self._merge(args, kwargs, said(options))
        if how.get("group_id") and (add := adds_to(self.app, how["group_id"])) is not None:
            return cast("AsyncResult[R]", add(self.clone(args, kwargs, **said(options))))
        if self.subtask_type in _WORKFLOWS or how.get("link") or how.get("link_error"):
            from litequeue.canvas.nesting import bounded

            with bounded(self):
                sent = self.app.send_workflow(self, tuple(args or ()), kwargs or {}, said(options))
            return cast("AsyncResult[R]", sent)
        how = sendable(how)
        try:
            task = self.type
        except NotRegistered:
            sent = self.app.send_task(self.task, given, named, **how)
        else:
            sent = task.apply_async(given, named, **how)
        return cast("AsyncResult[R]", sent)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> EagerResult[R]:
        """Run the call here and now as a worker would; arguments and options as `apply_async`."""
        given, named, how = self._merge(args, kwargs, said(options))
        callbacks, errbacks = how.pop("link", None), how.pop("link_error", None)
        result = cast(
            "EagerResult[R]", self.type.apply(given, named, **linking.without(how, *NOT_EAGER))
        )
        linking.call(self, result, callbacks, errbacks)
        return result

    def __invert__(self) -> R:
        """Enqueue the call, and wait for its result."""
        return self.apply_async().get()

    # Other signatures

    def clone(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **opts: Any,
    ) -> Signature[R]:
        """Return a copy with ``args`` before its own, and with ``kwargs`` and options merged."""
        given, named, how = self._merge(args, kwargs, opts)
        made: Signature[R] = Signature.from_dict(
            {
                "task": self.task,
                "args": tuple(given),
                "kwargs": dict(named),
                "options": copy.deepcopy(how),
                "subtask_type": self.subtask_type,
                "immutable": bool(self.immutable),
            },
            app=self._app,
        )
        made._type = self._type
        return made

    partial = clone

    def replace(
        self,
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Signature[R]:
        """Return a copy with these arguments and options instead of its own, where given."""
        made = self.clone()
        for name, value in (("args", args), ("kwargs", kwargs), ("options", options)):
            if value is not None:
                made[name] = value
        return made

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Set options, in place; return the signature itself.

        ``policy``, of a group or chord, says what becomes of what waits for it if a member fails:
        it fails ("fail"), gets null for it ("placeholders") or nothing ("ignore").
        """
        check_policy(self.subtask_type, options)
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Decide whether arguments may be added."""
        self.immutable = immutable

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Signature[Any] | None = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> AsyncResult[R]:
        """Decide the job's id, ``_id`` or a new one, before it is sent; return its handle.

        One that it has stays.  The other arguments are for workflows.
        """
        options = self.options
        chosen = options.setdefault("task_id", _id or new_id(self.app.clock.now()))
        for name, value in (("root_id", root_id), ("parent_id", parent_id), ("chord", chord)):
            if value:
                options[name] = value
        if group_id:
            options.setdefault("group_id", group_id)
        if group_index is not None:
            options["group_index"] = group_index
        return self.AsyncResult(chosen)

    _freeze = freeze

    # Callbacks

    def link(self, callback: Any) -> Any:
        """Have ``callback`` called with the result of this; return it."""
        return linking.add(self, "link", callback)

    def link_error(self, errback: Any) -> Any:
        """Have ``errback`` called if this fails; return it."""
        return linking.add(self, "link_error", errback)

    def on_error(self, errback: Any) -> Self:
        """Do as `link_error` does; return the signature itself."""
        self.link_error(errback)
        return self

    def append_to_list_option(self, key: str, value: Any) -> Any:
        """Add ``value`` to the list that the option ``key`` is, once; return it."""
        return linking.add(self, key, value)

    def extend_list_option(self, key: str, value: Any) -> None:
        """Add ``value``, or all of a list, to the list that the option ``key`` is."""
        linking.listed(self, key).extend(linking.many(value))

    def flatten_links(self) -> list[Any]:
        """Return the signature, its callbacks, theirs, and so on."""
        return linking.flattened(self)

    # Stamps

    def stamp_links(
        self, visitor: StampingVisitor | None, append_stamps: bool = False, **headers: Any
    ) -> None:
        """Stamp callbacks and errbacks, as `stamp` does it."""
        linking.stamp_all(self, visitor, headers, append=append_stamps)

    def stamp(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> Self:
        """Add ``headers``, and what ``visitor`` says, as stamps, in place; return the signature.

        With ``append_stamps`` a stamp that is there already becomes a list of both.
        """
        self.stamp_links(visitor, append_stamps, **headers)
        from litequeue.canvas.stamping import stamps

        visited = None if visitor is None else visitor.on_signature(self, **headers) or {}
        return self.set(**stamps(headers, visited, self.options, append=append_stamps))

    def _merge(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        force: bool = False,
    ) -> tuple[Sequence[Any], dict[str, Any], dict[str, Any]]:
        """Return the arguments and options of a call with these ones added.

        ``force`` adds arguments to an immutable one, too.
        """
        own, added = self.options or {}, options or {}
        kept = _KEPT & own.keys()
        if "stamped_headers" in kept:
            from litequeue.canvas.stamping import names_in

            kept |= own.keys() & names_in(own)
        how = {**own, **{name: value for name, value in added.items() if name not in kept}}
        given, named = self.args or (), self.kwargs or {}
        if self.immutable and not force:
            return given, named, how
        return (*(args or ()), *given), {**named, **(kwargs or {})}, how

    # What it is

    @property
    def name(self) -> str:
        """The name of the task."""
        return self.task

    @property
    def app(self) -> Any:
        """The app that it belongs to, else the current one."""
        return current_app() if self._app is None else self._app

    @property
    def type(self) -> Any:
        """The task; raises `NotRegistered` where its app has none of this name."""
        if self._type is not None:
            return self._type
        name: object = self.task
        if not isinstance(name, str):
            raise TypeError(f"a signature names its task, and {name!r:.80} is no name")
        return self.app.tasks[name]

    def AsyncResult(self, id: str) -> AsyncResult[R]:
        """Return a handle on a job of this task."""
        try:
            task = self.type
        except NotRegistered:
            task = self.app
        return cast("AsyncResult[R]", task.AsyncResult(id))

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """Return the call as text, with further arguments: "tasks.add(1, y=2)"."""
        given, named, _ = self._merge(args, kwargs, force=True)
        words = [*map(shown, given), *(f"{key}={shown(value)}" for key, value in named.items())]
        return f"{self.task}({', '.join(words)})"

    def __repr__(self) -> str:
        """Show the call."""
        return self.reprcall()

    def __json__(self) -> dict[str, Any]:
        """Return what stands for it in JSON: arguments are a list there, as in Celery."""
        return {**self, "args": [*(self.args or ())]}

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as data: the other process has the task."""
        return Signature.from_dict, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Signature[R]:
        """Copy the options all the way down; arguments are shared, as in Celery."""
        made = memo[id(self)] = self.clone()
        return made

    @overload  # type: ignore[override]  # to merge dicts is not meant here
    def __or__(self, other: group) -> Any: ...
    @overload
    def __or__(self, other: Signature[T]) -> Signature[T]: ...
    def __or__(self, other: Any) -> Any:
        """Return a workflow in which ``other`` gets the result of this."""
        from litequeue.canvas.joining import joined

        return joined(self, other)

    def __ror__(self, other: Any) -> Any:
        """Say what is wrong with what stands before ``|``, if it is no signature."""
        from litequeue.canvas.joining import joined

        return joined(other, self)

    __ior__ = __or__  # type: ignore[assignment]  # to merge dicts in place is not meant here
