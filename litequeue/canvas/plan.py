"""A workflow becomes a `Plan`: jobs, what each waits for, and which lists are gathered.

It decides what runs after what, and stores nothing.  Members of a group come one by one from where
they are made; what is kept of each is its id, where it waits for something.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from litequeue.canvas.groups import flat, group
from litequeue.canvas.kinds import is_chain, is_chord, is_empty_group, is_group
from litequeue.canvas.linking import many, without
from litequeue.canvas.making import maybe_signature
from litequeue.canvas.signatures import Signature
from litequeue.flow import ERROR, FAIL, NEXT, POLICIES, SI, Edge, FanIn, Plan, Step
from litequeue.job import Job

COLLECT: Final = "celery.accumulate"
"""The task that returns the list it is given: for where a list is needed that no job has."""

_NOT_A_CALLS: Final = (
    "chain", "chord", "group_id", "group_index", "link", "link_error", "parent_id", "policy",
    "root_id", "task_id",
)  # fmt: skip
"""Options of a workflow that say nothing of the calls it begins with."""


@dataclass(frozen=True, slots=True)
class Kin:
    """Where a job stands in its workflow.

    ``parent`` is the id of the job before it, ``root`` of the first of all (both None for one that
    begins).  ``given`` counts the results that come before its own arguments, None where that is
    not known (errbacks).  ``is_needed``: others wait for its result.  ``gathers``: it runs once
    the members of a group have ended.
    """

    parent: str | None = None
    root: str | None = None
    waits: bool = False
    given: int | None = 0
    is_needed: bool = False
    is_errback: bool = False
    gathers: bool = False


MakeJob: TypeAlias = Callable[[Signature[Any], str, Kin], Job]


def plan(
    canvas: Signature[Any],
    make_job: MakeJob,
    new_id: Callable[[], str],
    *,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    task_id: str | None = None,
    member_of: str | None = None,
    is_needed: bool = False,
) -> Plan:
    """Return what is to be stored for a workflow.

    ``args``, ``kwargs`` and ``options`` go to what runs first.  ``make_job`` makes the job of a
    signature, which has all arguments that are known, and an id.  The result, or the group, has
    the id ``task_id``, where none was frozen; with ``member_of`` it reports to that group, with
    ``is_needed`` others wait for it in another way.

    Steps and edges are made while they are read, steps first; a fan-in is in ``fanins`` before the
    first of its members comes.  Raises ValueError for a chain of nothing, for a chord without a
    body, and for an unknown policy.
    """
    nodes = _line(_Node(canvas))
    if not nodes:
        raise ValueError("a chain of nothing has no result; give it a signature")
    last = nodes[-1].sig
    while is_chord(last):
        last = _body(_Node(last))[-1].sig
    end = _frozen(last) or task_id or new_id()
    planner = _Planner(make_job, new_id)
    # An empty group after something is no group result: that would not tell of a failure before.
    gathers = is_group(last) and (last is canvas or _has_members(last))
    gathers = gathers and member_of is None
    kind = "group" if gathers else "job"
    place = _Place(id=end, of=member_of, list=kind, needed=is_needed or member_of is not None)
    given = tuple(args)
    if canvas.subtask_type in ("chain", "chord"):  # as Celery's run(), unlike its apply()
        given = tuple(canvas.args or ()) if canvas.immutable else (*given, *(canvas.args or ()))
    before = _Before(args=given, kwargs=dict(kwargs or {}), options=options or {})
    steps = planner.walk(nodes, before, place)
    return Plan(steps, planner.edges, planner.fanins, result=end, group=end if gathers else None)


@dataclass(frozen=True, slots=True)
class _Node:
    """A signature, with the callbacks and options of the workflows that it stands in."""

    sig: Signature[Any]
    callbacks: tuple[Any, ...] = ()
    errbacks: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def begins_with(self, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the options for what begins it: the outer ones count more, as in Celery."""
        own = without(self.sig.options, *_NOT_A_CALLS)
        return {**own, **self.options, **(before or {})}

    def all_callbacks(self) -> tuple[Any, ...]:
        """Return its own, too."""
        return (*many(self.sig.options.get("link")), *self.callbacks)

    def all_errbacks(self) -> tuple[Any, ...]:
        """Return its own, too."""
        own = many(self.sig.options.get("link_error"))
        return (*own, *(each for each in self.errbacks if each not in own))


@dataclass(frozen=True, slots=True)
class _Before:
    """What comes before a step: the job that it waits for, and arguments that are known.

    ``kind`` is that of the edge; without a ``job`` nothing is waited for.  ``gathered`` is the id
    of the step itself, where that waits for a group and gets its list.  ``root`` is the first job.
    """

    job: str | None = None
    kind: str = NEXT
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    gathered: str | None = None
    root: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the value of a line of steps goes: it is that of the job ``id``, a member of ``of``.

    A line that ends in a group leaves a list, which ``list`` puts into a "job", leaves to the
    "group" of this id, or drops where "nobody" asks for it.  ``needed``: others wait for it.
    """

    id: str | None = None
    of: str | None = None
    list: str = "job"
    needed: bool = False


_INSIDE: Final = _Place(needed=True)
"""The place of a step whose value only the next one gets."""


class _Edges:
    """The edges so far, packed: a million from one job to the members of a group are one text."""

    def __init__(self) -> None:
        self._packs: list[tuple[str, str, bytearray]] = []

    def add(self, source: str, target: str, kind: str) -> None:
        """Add an edge."""
        if not self._packs or self._packs[-1][:2] != (source, kind):
            self._packs.append((source, kind, bytearray()))
        self._packs[-1][2].extend(f"{target}\n".encode())

    def __iter__(self) -> Iterator[Edge]:
        for source, kind, targets in self._packs:
            start = 0
            while (end := targets.find(b"\n", start)) >= 0:
                yield Edge(source, targets[start:end].decode(), kind)
                start = end + 1


class _Planner:
    """Walks through a workflow once."""

    def __init__(self, make_job: MakeJob, new_id: Callable[[], str]) -> None:
        self._make_job = make_job
        self._new_id = new_id
        self._linked: set[str] = set()
        self.edges = _Edges()
        self.fanins: list[FanIn] = []

    def walk(self, nodes: deque[_Node], before: _Before, place: _Place) -> Iterator[Step]:
        """Yield the steps of signatures that follow each other."""
        while nodes:
            node = nodes.popleft()
            if is_chord(node.sig):
                nodes.extendleft(reversed(_body(node)))
                header = node.sig.tasks  # type: ignore[attr-defined]  # a chord has it
                if not is_group(header):
                    header = group(header, app=node.sig._app)
                outer = node.begins_with(before.options)
                before = replace(before, options=outer)
                members = _members(_Node(header))
                before = yield from self._gathered(
                    header, members, before, nodes, place, policy=policy_of(node.sig)
                )
            elif not is_group(node.sig):
                before = yield from self._call(node, before, _INSIDE if nodes else place)
            elif nodes or place.list == "job":
                before = yield from self._gathered(
                    node.sig, _members(node), before, nodes, place, policy=policy_of(node.sig)
                )
            else:
                name = place.id if place.list == "group" else None
                if name is not None:
                    self.fanins.append(FanIn(name))
                yield from self._each(_members(node), before, name)

    def _call(self, node: _Node, before: _Before, place: _Place) -> Generator[Step, None, _Before]:
        """Yield the job of a signature, and what is linked to it."""
        sig, id = node.sig, before.gathered or place.id or _frozen(node.sig) or self._new_id()
        callbacks, errbacks = node.all_callbacks(), node.all_errbacks()
        options = {**node.options, **before.options}
        if options or (not sig.immutable and (before.args or before.kwargs)):
            sig = sig.clone(before.args, before.kwargs, **options)
        waits = before.job is not None or before.gathered is not None
        kind = SI if sig.immutable and before.kind == NEXT else before.kind
        kin = Kin(
            parent=before.job,
            root=before.root or before.job,
            waits=waits,
            given=None if kind == ERROR else int(waits and not sig.immutable and kind == NEXT),
            is_needed=place.needed or bool(callbacks),
            is_errback=kind == ERROR,
            gathers=before.gathered is not None,
        )
        yield Step(self._make_job(sig, id, kin), waits, place.of)
        if before.job is not None:
            self.edges.add(before.job, id, kind)
        after = _Before(job=id, root=kin.root or id)
        for kind, linked in ((NEXT, callbacks), (ERROR, errbacks)):
            for each in linked:
                line = _line(_Node(self._once(maybe_signature(each, app=sig._app))))
                yield from self.walk(line, replace(after, kind=kind), _Place(list="nobody"))
        return after

    def _once(self, linked: Signature[Any]) -> Signature[Any]:
        """Return what is linked, perhaps to several; the first job of it has the frozen id."""
        id = _frozen(linked)
        if id in self._linked:
            return linked.replace(options=without(linked.options, "task_id"))
        if id is not None:
            self._linked.add(id)
        return linked

    def _each(
        self,
        members: Iterable[_Node],
        before: _Before,
        name: str | None,
        *,
        needed: bool = False,
    ) -> Iterator[Step]:
        """Yield the steps of the members of a group."""
        place = _Place(of=name, list="nobody" if name is None else "job", needed=needed)
        for member in members:
            yield from self.walk(_line(member), before, place)

    def _gathered(
        self,
        header: Any,
        members: Iterator[_Node],
        before: _Before,
        nodes: deque[_Node],
        place: _Place,
        *,
        policy: str,
    ) -> Generator[Step, None, _Before]:
        """Yield the steps of a group whose list the first of ``nodes`` gets, or a job for it.

        Returns what comes before that.
        """
        end = place if len(nodes) <= 1 else _INSIDE
        first = next(members, None)
        if first is None:
            kind = before.kind if before.kind == ERROR else SI
            known = _Before(before.job, kind, args=([],), root=before.root)
            if nodes:
                return known
            return (yield from self._call(_Node(_collector(header)), known, place))
        follower = nodes[0].sig if nodes else None
        direct = follower is not None and _is_call(follower)
        name = _frozen(header) or self._new_id()
        if direct:
            target = end.id or _frozen(follower) or self._new_id()
        else:
            target = (None if nodes else place.id) or self._new_id()
        self.fanins.append(FanIn(name, target, policy))
        members = itertools.chain((first,), members)
        yield from self._each(members, before, name, needed=True)
        gathered = _Before(gathered=target, root=before.root or before.job)
        if direct:
            return gathered
        collector = _Node(_collector(header))
        return (yield from self._call(collector, gathered, _INSIDE if nodes else place))


def _line(node: _Node) -> deque[_Node]:
    """Return what a signature does one after the other: inner chains and empty groups are gone.

    Of nothing but empty groups one stays.
    """
    if not is_chain(node.sig):
        return deque((node,))
    steps: Any = node.sig.tasks  # type: ignore[attr-defined]  # a chain has it
    inner = [each for step in steps for each in _line(_Node(maybe_signature(step)))]
    inner = [each for each in inner if not is_empty_group(each.sig)] or inner[-1:]
    if inner and (options := node.begins_with()):
        inner[0] = replace(inner[0], options={**inner[0].options, **options})
    if errbacks := node.all_errbacks():
        inner = [replace(each, errbacks=(*each.errbacks, *errbacks)) for each in inner]
    if inner and (callbacks := node.all_callbacks()):
        inner[-1] = replace(inner[-1], callbacks=(*inner[-1].callbacks, *callbacks))
    return deque(inner)


def _body(node: _Node) -> deque[_Node]:
    """Return the line of a chord's body, which has the chord's callbacks."""
    body: Any = node.sig.body  # type: ignore[attr-defined]  # a chord has it
    line = deque[_Node]()
    if body is not None:
        line = _line(_Node(maybe_signature(body), node.all_callbacks(), node.all_errbacks()))
    if not line:
        raise ValueError("a chord without a body leaves nothing; give it one")
    return line


def _members(node: _Node) -> Iterator[_Node]:
    """Yield the members of a group, those of inner groups too."""
    callbacks, errbacks, options = node.all_callbacks(), node.all_errbacks(), node.begins_with()
    tasks: Any = node.sig.tasks  # type: ignore[attr-defined]  # a group has it
    members = flat(tasks, node.sig._app, clone=False)
    return (_Node(each, callbacks, errbacks, options) for each in members)


def _has_members(sig: Any) -> bool:
    return next(flat(sig.tasks, None), None) is not None


def _collector(header: Any) -> Signature[Any]:
    return Signature(COLLECT, kwargs={"index": 0}, app=header._app)


def policy_of(sig: Signature[Any]) -> str:
    """Return what a failed member of a chord or group means for what waits for its list."""
    policy = sig.options.get("policy") or FAIL
    if policy not in POLICIES:
        raise ValueError(f"the policy of a group is one of {', '.join(POLICIES)}, not {policy!r}")
    return str(policy)


def _is_call(sig: Signature[Any]) -> bool:
    return not (is_group(sig) or is_chord(sig) or is_chain(sig))


def _frozen(sig: Any) -> str | None:
    id: str | None = sig.options.get("task_id")
    return id
