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

from litequeue.canvas.groups import flat
from litequeue.canvas.kinds import is_chain, is_chord, is_empty_group, is_group
from litequeue.canvas.linking import many
from litequeue.canvas.making import maybe_signature
from litequeue.canvas.signatures import Signature
from litequeue.flow import ERROR, NEXT, SI, Edge, FanIn, Plan, Step
from litequeue.job import Job

COLLECT: Final = "celery.accumulate"
"""The task that returns the list it is given: for where a list is needed that no job has."""

MakeJob: TypeAlias = Callable[[Signature[Any], str], Job]


def plan(
    canvas: Signature[Any],
    make_job: MakeJob,
    new_id: Callable[[], str],
    *,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    task_id: str | None = None,
) -> Plan:
    """Return what is to be stored for a workflow; ``args`` and ``kwargs`` go to what runs first.

    ``make_job`` makes the job of a signature, which has all arguments that are known, and an id.
    The result, or the group, has the id ``task_id``, where none was frozen.  Steps and edges are
    made while they are read, steps first; a fan-in is in ``fanins`` before the first of its
    members comes.  Raises ValueError for a chain of nothing, and for a chord without a body.
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
    place = _Place(id=end, list="group" if gathers else "job")
    steps = planner.walk(nodes, _Before(args=tuple(args), kwargs=dict(kwargs or {})), place)
    group = end if gathers else None
    return Plan(steps, planner.edges, planner.fanins, result=end, group=group)


@dataclass(frozen=True, slots=True)
class _Node:
    """A signature, with the callbacks of the workflows that it stands in."""

    sig: Signature[Any]
    callbacks: tuple[Any, ...] = ()
    errbacks: tuple[Any, ...] = ()

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
    of the step itself, where that is what gets the list of a group.
    """

    job: str | None = None
    kind: str = NEXT
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    gathered: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the value of a line of steps goes: it is that of the job ``id``, a member of ``of``.

    A line that ends in a group leaves a list, which ``list`` puts into a "job", leaves to the
    "group" of this id, or drops where "nobody" asks for it.
    """

    id: str | None = None
    of: str | None = None
    list: str = "job"


_INSIDE: Final = _Place()
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
        self.edges = _Edges()
        self.fanins: list[FanIn] = []

    def walk(self, nodes: deque[_Node], before: _Before, place: _Place) -> Iterator[Step]:
        """Yield the steps of signatures that follow each other."""
        while nodes:
            node = nodes.popleft()
            if is_chord(node.sig):
                nodes.extendleft(reversed(_body(node)))
                header = node.sig.tasks  # type: ignore[attr-defined]  # a chord has it
                members = _members(_Node(header) if is_group(header) else header)
                before = yield from self._gathered(header, members, before, nodes, place)
            elif not is_group(node.sig):
                before = yield from self._call(node, before, _INSIDE if nodes else place)
            elif nodes or place.list == "job":
                members = _members(node)
                before = yield from self._gathered(node.sig, members, before, nodes, place)
            else:
                group = place.id if place.list == "group" else None
                if group is not None:
                    self.fanins.append(FanIn(group))
                yield from self._each(_members(node), before, group)

    def _call(self, node: _Node, before: _Before, place: _Place) -> Generator[Step, None, _Before]:
        """Yield the job of a signature, and what is linked to it."""
        sig, id = node.sig, before.gathered or place.id or _frozen(node.sig) or self._new_id()
        if not sig.immutable and (before.args or before.kwargs):
            sig = sig.clone(before.args, before.kwargs)
        waits = before.job is not None or before.gathered is not None
        yield Step(self._make_job(sig, id), waits, place.of)
        if before.job is not None:
            kind = SI if sig.immutable and before.kind == NEXT else before.kind
            self.edges.add(before.job, id, kind)
        for kind, linked in ((NEXT, node.all_callbacks()), (ERROR, node.all_errbacks())):
            for each in linked:
                line = _line(_Node(maybe_signature(each, app=sig._app)))
                yield from self.walk(line, _Before(job=id, kind=kind), _Place(list="nobody"))
        return _Before(job=id)

    def _each(self, members: Iterable[_Node], before: _Before, group: str | None) -> Iterator[Step]:
        """Yield the steps of the members of a group."""
        place = _Place(of=group, list="nobody" if group is None else "job")
        for member in members:
            yield from self.walk(_line(member), before, place)

    def _gathered(
        self,
        header: Any,
        members: Iterator[_Node],
        before: _Before,
        nodes: deque[_Node],
        place: _Place,
    ) -> Generator[Step, None, _Before]:
        """Yield the steps of a group whose list the first of ``nodes`` gets, or a job for it.

        Returns what comes before that.
        """
        end = place if len(nodes) <= 1 else _INSIDE
        first = next(members, None)
        if first is None:
            kind = before.kind if before.kind == ERROR else SI
            known = _Before(before.job, kind, args=([],))
            if nodes:
                return known
            return (yield from self._call(_Node(_collector(header)), known, place))
        follower = nodes[0].sig if nodes else None
        direct = follower is not None and not follower.immutable and _is_call(follower)
        group = (_frozen(header) if is_group(header) else None) or self._new_id()
        if direct:
            target = end.id or _frozen(follower) or self._new_id()
        else:
            target = (None if nodes else place.id) or self._new_id()
        self.fanins.append(FanIn(group, target))
        yield from self._each(itertools.chain((first,), members), before, group)
        gathered = _Before(gathered=target)
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


def _members(of: Any) -> Iterator[_Node]:
    """Yield the members of a group, or of the header of a chord, those of inner groups too."""
    if not isinstance(of, _Node):
        return map(_Node, flat(of, None))
    callbacks, errbacks = of.all_callbacks(), of.all_errbacks()
    tasks: Any = of.sig.tasks  # type: ignore[attr-defined]  # a group has it
    return (_Node(member, callbacks, errbacks) for member in flat(tasks, of.sig._app))


def _has_members(sig: Any) -> bool:
    return next(flat(sig.tasks, None), None) is not None


def _collector(header: Any) -> Signature[Any]:
    app = header._app if is_group(header) else None
    return Signature(COLLECT, kwargs={"index": 0}, app=app)


def _is_call(sig: Signature[Any]) -> bool:
    return not (is_group(sig) or is_chord(sig) or is_chain(sig))


def _frozen(sig: Any) -> str | None:
    id: str | None = sig.options.get("task_id")
    return id
