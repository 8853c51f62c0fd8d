"""`group`: calls at the same time; its result is the list of theirs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from litequeue.canvas.kinds import first_app, is_empty_chain, is_group
from litequeue.canvas.lazily import Lazily
from litequeue.canvas.linking import without
from litequeue.canvas.making import maybe_signature
from litequeue.canvas.members import Item, checked
from litequeue.canvas.options import check_policy
from litequeue.canvas.signatures import Signature
from litequeue.canvas.stamping import StampingVisitor, stamps
from litequeue.context import current_app
from litequeue.job import new_id
from litequeue.result.group_result import GroupResult


@Signature.register_type()
class group(Signature[Any]):
    """Calls that do not wait for each other: Celery's `group`.

    One argument that is an iterable has the members; a generator is asked for them one by one.
    ``policy`` is described at `Signature.set`.
    """

    tasks: Item[Any] = Item("tasks", "kwargs")

    def __init__(self, *tasks: Any, **options: Any) -> None:
        members: Any = tasks
        if len(tasks) == 1:
            members = tasks[0].tasks if is_group(tasks[0]) else tasks[0]
            members = [members.clone()] if isinstance(members, Signature) else members
            many = isinstance(members, Iterable) and not isinstance(members, str | Mapping)
            members = members if many else tasks
        members = _checked(members)
        check_policy("group", options)
        super().__init__("celery.group", (), {"tasks": members}, **options)
        self.subtask_type = "group"

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Any = None) -> Any:
        """Return the group that a mapping describes."""
        given = d["kwargs"]["tasks"]
        members = (maybe_signature(member, app=app) for member in _items(given))
        kind = tuple if isinstance(given, tuple) else Lazily if isinstance(given, Lazily) else list
        d["kwargs"]["tasks"] = rebuilt = kind(members)
        return cls(rebuilt, app=app, **d["options"])

    def delay(  # type: ignore[override]  # a list of results is not one
        self, *partial_args: Any, **partial_kwargs: Any
    ) -> GroupResult[Any]:
        """Enqueue all members, each with further arguments."""
        return self.apply_async(partial_args, partial_kwargs)

    def __call__(self, *partial_args: Any, **options: Any) -> GroupResult[Any]:
        """Enqueue it, with further arguments for every member."""
        return self.apply_async(partial_args, **options)

    def apply_async(  # type: ignore[override]  # nor is this
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        route_name: str | None = None,
        **options: Any,
    ) -> GroupResult[Any]:
        """Enqueue all members, each with ``args`` and ``kwargs``; return their results.

        Raises TypeError for ``link`` and ``link_error``: those are for chords and members.
        """
        for name in ("link", "link_error"):
            if options.get(name) is not None:
                raise TypeError(f"{name} of a group: make it a chord, or link the members")
        made: Any = self
        if options.get("policy") is not None:
            made = self.clone().set(policy=options.pop("policy"))
        sent: Any = super(group, made).apply_async(args, kwargs, route_name, **options)
        return cast("GroupResult[Any]", sent)

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> Any:
        """Have each member start ``step`` seconds after the one before it, the last ones at once.

        The first waits ``start`` seconds, and none more than ``stop``.
        """
        wait = float(start)
        for member in self.tasks:
            member.set(countdown=wait)
            if not stop or wait + step <= stop:
                wait += step
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Decide for every member whether arguments may be added."""
        for member in self.tasks:
            member.set_immutable(immutable)

    def link(self, callback: Any) -> Any:
        """Have ``callback`` called when the first member has ended; it gets no result."""
        return self.tasks[0].link(callback.clone().set(immutable=True))

    def link_error(self, errback: Any) -> Any:
        """Have ``errback`` called for every member that fails; return what each has of it."""
        errback = maybe_signature(errback)
        return tuple(member.link_error(errback.clone()) for member in self.tasks)

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Decide the ids of the group and its members; inner groups become members of this one.

        Members of a generator get theirs as they come.
        """
        options = self.options
        own = options.setdefault("task_id", new_id(self.app.clock.now()))
        given = {"group_id": group_id, "chord": chord}
        options.update({name: value for name, value in given.items() if value})
        if group_index is not None:
            options["group_index"] = group_index
        root = options.setdefault("root_id", root_id)
        parent = options.setdefault("parent_id", parent_id)
        how = {"group_id": group_id, "chord": chord, "root_id": root, "parent_id": parent}
        if isinstance(self.tasks, Lazily):
            return self._freeze_as_they_come(own, how)
        members = [*flat(self.tasks, self._app)]
        results = [each.freeze(group_index=place, **how) for place, each in enumerate(members)]
        if isinstance(self.tasks, list):
            self.tasks[:] = members
        else:
            self.tasks = members
        return GroupResult(own, results, app=self.app)

    _freeze = freeze

    def _freeze_as_they_come(self, own: str, how: Mapping[str, Any]) -> Any:
        members = [*flat(self.tasks, self._app)]
        results = [each.freeze(group_index=place, **how) for place, each in enumerate(members)]
        self.tasks = Lazily(members)
        return GroupResult(own, results, app=self.app)

    def apply(  # type: ignore[override]  # nor is this
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> GroupResult[Any]:
        """Run the members here and now, each with ``args`` and ``kwargs``; return their results."""
        how = {**self.options, **options}
        own = how.pop("task_id", None) or new_id(self.app.clock.now())
        how = without(how, "group_id", "policy")
        results = [each.apply(args, kwargs, **how) for each in flat(self.tasks, self._app)]
        return GroupResult(own, results, app=self.app)

    def stamp(
        self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any
    ) -> Any:
        """Stamp all members; those of a generator as they come."""
        visited = None if visitor is None else visitor.on_group_start(self, **headers) or {}
        given = stamps(headers, visited, self.options, append=append_stamps)
        self.stamp_links(visitor, append_stamps, **given)
        stamp_members(self, visitor, given, append=append_stamps)
        if visitor is not None:
            visitor.on_group_end(self, **given)

    @property
    def app(self) -> Any:
        """The app that it, or its first member, belongs to, else the current one."""
        return self._app or first_app(self.tasks) or current_app()

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.tasks)

    def __repr__(self) -> str:
        """Show the members."""
        from litequeue.canvas.chains import shorter

        if not self.tasks:
            return "group(<empty>)"
        return shorter(self.tasks[0]["task"], f"group({self.tasks!r})")


def flat(members: Iterable[Any], app: Any, *, clone: bool = True) -> Iterator[Any]:
    """Yield copies of the members, those of inner groups in their place; empty chains are left.

    Without ``clone`` it yields the members themselves.
    """
    stack: deque[Iterator[Any]] = deque([_items(members)])
    while stack:
        for member in stack[-1]:
            sig: Any = maybe_signature(member, app=app, clone=clone)
            if is_group(sig):
                stack.append(_items(sig.tasks))
                break
            if not is_empty_chain(sig):
                yield sig
        else:
            stack.pop()


def _checked(members: Iterable[Any]) -> Any:
    """Return the members after a look at each; those of a generator are seen as they come."""
    if isinstance(members, Lazily):  # of another group
        return members
    if isinstance(members, list | tuple):
        for member in members:
            checked(member, "a group is made of signatures")
        return members
    return Lazily(checked(member, "a group is made of signatures") for member in members)


def _items(members: Iterable[Any]) -> Iterator[Any]:
    return members.stream() if isinstance(members, Lazily) else iter(members)


def stamp_members(
    sig: Any, visitor: StampingVisitor | None, given: Mapping[str, Any], *, append: bool
) -> None:
    """Stamp the members of a group, or of a chord's header."""

    def stamped(member: Any) -> Any:
        own = maybe_signature(member, app=sig._app)
        own.stamp(visitor, append, **given)
        return own

    of = sig.tasks if is_group(sig.tasks) else sig
    if isinstance(of.tasks, Lazily):
        of.tasks.map(stamped)
        return
    members = [*map(stamped, of.tasks)]
    if is_group(sig):
        sig.tasks = members
