"""`chord`: a group, its header, and a call that gets the list of its results, its body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from litequeue.canvas.groups import flat, group, stamp_members
from litequeue.canvas.kinds import first_app, is_chain, is_chord, is_group
from litequeue.canvas.lazily import Lazily
from litequeue.canvas.making import maybe_signature, signature
from litequeue.canvas.members import Item, checked
from litequeue.canvas.options import check_policy, of_header
from litequeue.canvas.signatures import Signature
from litequeue.canvas.stamping import StampingVisitor, stamps
from litequeue.context import current_app
from litequeue.flow import FAIL, PLACEHOLDERS
from litequeue.result.group_result import parent_here, value_here

_HEADER: Final = "the header of a chord is made of signatures"


@Signature.register_type()
class chord(Signature[Any]):
    """A group whose list of results another call gets: Celery's `chord`.

    ``policy``, described at `Signature.set`, is that of the header where none is given.
    """

    tasks: Item[Any] = Item("header", "kwargs")
    body: Item[Any] = Item("body", "kwargs")

    def __init__(
        self,
        header: Any,
        body: Any = None,
        task: str = "celery.chord",
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        app: Any = None,
        **options: Any,
    ) -> None:
        options = of_header(header, options)
        check_policy("chord", options)
        if body is not None:
            checked(body, "the body of a chord is a signature")
        made = {"header": _members(header, app), "body": maybe_signature(body, app=app)}
        super().__init__(task, args, {**(kwargs or {"kwargs": {}}), **made}, app=app, **options)
        self.subtask_type = "chord"

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Any = None) -> Any:
        """Return the chord that a mapping describes."""
        rest = dict(d["kwargs"])
        header, body = rest.pop("header", None), rest.pop("body", None)
        return cls(header, body, app=app, **{**d, "kwargs": rest})

    def __call__(self, body: Any = None, **options: Any) -> Any:
        """Enqueue it, with ``body`` instead of its own, where given."""
        return self.apply_async((), {"body": body} if body else {}, **options)

    def apply_async(  # type: ignore[override]  # a chord's third argument is its id, in Celery
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue it; ``body`` among ``kwargs`` counts instead of its own, as in Celery."""
        given = dict(kwargs or {})
        body, policy = given.pop("body", None), options.pop("policy", None)
        made: Any = self
        if body is not None or policy is not None:
            made = self.clone() if policy is None else self.clone().set(policy=policy)
        if body is not None:
            made.body = maybe_signature(
                checked(body, "the body of a chord is a signature"), app=self._app
            )
        return super(chord, made).apply_async(args, given, task_id=task_id, **options)

    def clone(self, *args: Any, **kwargs: Any) -> Any:
        """Return a copy whose body is a copy, too."""
        made: Any = super().clone(*args, **kwargs)
        made.body = maybe_signature(made.body, clone=True)
        return made

    def header_group(self) -> Any:
        """Make the header a group, and return it."""
        if not is_group(self.tasks):
            self.tasks = group(self.tasks, app=self.app)
        return self.tasks

    def link(self, callback: Any) -> Any:
        """Have ``callback`` called with the result of the body."""
        self.body.link(callback)
        return callback

    def link_error(self, errback: Any) -> Any:
        """Have ``errback`` called if the body fails, or is never called for a failed header.

        With the setting ``task_allow_error_cb_on_chord_header`` members of the header call it,
        too.
        """
        errback = maybe_signature(errback)
        on_header = self.app.conf.task_allow_error_cb_on_chord_header
        for member in _tasks(self.tasks):
            if on_header:
                member.link_error(errback.clone())
            if is_chord(member):
                member.link_error(errback)
        self.body.link_error(errback)
        return errback

    def set_immutable(self, immutable: bool) -> None:
        """Decide for every member of the header whether arguments may be added."""
        for member in _tasks(self.tasks):
            member.set_immutable(immutable)

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Decide all ids; return the result of the body, whose parent is that of the header."""
        header = self.header_group()
        before = header.freeze(parent_id=parent_id, root_id=root_id, chord=self.body)
        self.id = header.id
        if self.body is None:
            return None
        result = self.body.freeze(
            _id, root_id=root_id, chord=chord, group_id=group_id, group_index=group_index
        )
        first = result
        while parent_here(first) is not None:
            first = parent_here(first)
        first.parent = before
        return result

    _freeze = freeze

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        propagate: bool = True,
        body: Any = None,
        **options: Any,
    ) -> Any:
        """Run it here and now; return the result of the body.

        ``args`` and ``kwargs`` are for the members.  Raises what the first of them raised that
        failed, unless ``propagate`` is false, or the policy bears failures.
        """
        header = self.tasks if is_group(self.tasks) else group(self.tasks, app=self.app)
        header = header.clone()
        policy = self.options.get("policy") or FAIL
        if policy == FAIL:
            given = value_here(header.apply(args, kwargs), propagate=propagate)
        else:
            given = [*_forgiving(header, args, kwargs, leaves_a_place=policy == PLACEHOLDERS)]
        return (self.body if body is None else body).apply((given,))

    def stamp(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> Any:
        """Stamp the members of the header; the body where a visitor decides."""
        visited = None
        if visitor is not None:
            visited = visitor.on_chord_header_start(self, **headers) or {}
        given = stamps(headers, visited, self.options, append=append_stamps)
        self.stamp_links(visitor, append_stamps, **given)
        stamp_members(self, visitor, given, append=append_stamps)
        if visitor is None:
            return
        visitor.on_chord_header_end(self, **given)
        if self.body is not None:
            visited = visitor.on_chord_body(self, **given) or {}
            given = stamps(given, visited, self.options, append=append_stamps)
            self.body.stamp(visitor, append_stamps, **given)

    @property
    def app(self) -> Any:
        """The app that it, its header or its body belongs to, else the current one."""
        tasks = self.tasks.tasks if is_group(self.tasks) else self.tasks
        own = self._app or first_app(tasks)
        return own or getattr(self.body, "app", None) or current_app()

    def __length_hint__(self) -> int:
        """Return how many results the header has."""
        return sum(map(_size, _tasks(self.tasks)))

    def __repr__(self) -> str:
        """Show body and header as a call."""
        from litequeue.canvas.chains import chain_of, shorter

        if not self.body:
            return f"<chord without body: {self.tasks!r}>"
        if not is_chain(self.body) or not self.body.tasks:
            return "%" + shorter(self.body["task"], self.body.reprcall(self.tasks))
        first, *rest = self.body.tasks
        left = f"%({first.reprcall(self.tasks)} | {chain_of(rest, app=self._app)!r})"
        return shorter(first["task"], left)


def _members(header: Any, app: Any) -> Any:
    """Return the members of a header, from all that it may be."""
    if isinstance(header, Mapping):
        header = signature(header, app=app)
    if is_group(header) and header.id is not None:
        return header  # its members report to it by this id
    if is_group(header) or is_chain(header):
        return header.tasks
    if isinstance(header, Signature):
        return [header]
    items = header.stream() if isinstance(header, Lazily) else header
    if isinstance(header, Iterator | Lazily):  # what it makes is nobody else's
        return Lazily(maybe_signature(checked(member, _HEADER), app=app) for member in items)
    if isinstance(items, str) or not isinstance(items, Iterable):
        items = (items,)
    return [signature(checked(member, _HEADER), app=app) for member in items]


def _forgiving(header: Any, args: Any, kwargs: Any, *, leaves_a_place: bool) -> Iterator[Any]:
    """Yield what the members come to here and now; one that fails leaves None, or nothing."""
    for member in flat(header.tasks, header._app):
        try:
            result = member.apply(args, kwargs)
            value = value_here(result)
            has_value = result.successful()
        except Exception:  # whatever a task raises
            has_value = False
        if has_value:
            yield value
        elif leaves_a_place:
            yield None


def _tasks(header: Any) -> Any:
    return header.tasks if is_group(header) else header


def _size(sig: Any) -> int:
    """Return how many results a member of a header has."""
    if is_group(sig):
        return sum(map(_size, sig.tasks))
    if is_chord(sig):
        return _size(sig.body)
    if is_chain(sig):
        return next((size for size in map(_size, reversed([*sig.tasks])) if size), 0)
    return 1
