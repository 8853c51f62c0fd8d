"""Who belongs to whom in the file: what comes before a job or a group, and what came of it.

As Celery's handles know it who have made a workflow; here whoever has an id asks the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from litequeue import states
from litequeue.exceptions import JobNotFound
from litequeue.flow import ERROR, Drawing
from litequeue.result.home import Home

COLLECTOR: Final = "celery.accumulate"
"""The task of the jobs that only make a list of a group's results."""


@dataclass(frozen=True, slots=True)
class Relative:
    """A job, or a group, by its id."""

    id: str
    is_group: bool = False


Before = Callable[[Home, str], Relative | None]

# Before


def step_before(home: Home, id: str) -> Relative | None:
    """Return the step before a job in its workflow: the group whose results it gets, or a job."""
    sources, gathered = home.store.before(id)
    if gathered is not None:
        return Relative(gathered, is_group=True)
    return _behind_collector(home, sources[0]) if sources else None


def parent_of(home: Home, id: str) -> Relative | None:
    """Return the step before a job, or else the job whose task sent it."""
    step = step_before(home, id)
    if step is not None:
        return step
    details = home.store.details(id)
    return None if details is None or details.parent is None else Relative(details.parent)


def steps_before(home: Home, id: str) -> Iterator[Relative]:
    """Yield all steps before a job, the last one first."""
    step, seen = step_before(home, id), set[Relative]()
    while step is not None and step not in seen:
        yield step
        seen.add(step)
        if step.is_group:
            step = parent_of_group(home, step.id, before=step_before)
        else:
            step = step_before(home, step.id)


def _behind_collector(home: Home, id: str) -> Relative:
    gathered = home.store.before(id)[1]
    if gathered is not None:
        details = home.store.details(id)
        if details is not None and details.task == COLLECTOR:
            return Relative(gathered, is_group=True)
    return Relative(id)


def parent_of_group(home: Home, name: str, before: Before = parent_of) -> Relative | None:
    """Return what comes before a group: the last that is before its first two members alike."""
    members = list(islice(_members(home, name), 2))
    if len(members) < 2:
        return before(home, members[0]) if members else None
    lines = [_line_before(home, id, before) for id in members]
    seen: list[set[Relative]] = [set(), set()]
    while True:
        for place, line in enumerate(lines):
            relative = next(line, None)
            if relative is None or relative in seen[place]:
                return _rest_common(lines[1 - place], seen[place])
            if relative in seen[1 - place]:
                return relative
            seen[place].add(relative)


def _rest_common(line: Iterator[Relative], seen: set[Relative]) -> Relative | None:
    own = set[Relative]()
    for relative in line:
        if relative in seen:
            return relative
        if relative in own:  # rows of somebody's own making go round in a circle
            return None
        own.add(relative)
    return None


def _line_before(home: Home, id: str, before: Before = parent_of) -> Iterator[Relative]:
    relative = before(home, id)
    while relative is not None:
        yield relative
        first = next(_members(home, relative.id), None) if relative.is_group else relative.id
        relative = None if first is None else before(home, first)


def root_of(home: Home, id: str) -> Relative:
    """Return the first of a job's family, which may be the job itself."""
    first, seen = Relative(id), set[Relative]()
    for relative in _line_before(home, id):
        if relative in seen:
            break
        seen.add(relative)
        first = relative
    return first


# After


def children_of(home: Home, id: str) -> list[Relative]:
    """Return what came of a job: what its task sent, and the steps after it.

    Members of a group are one, the outermost that began here; an errback is none, and neither is
    what was never to run because the job failed.
    """
    found = home.store.offspring(id)
    if not found:
        return []
    record = home.store.fetch(id)
    went_well = record is not None and record.state == states.SUCCESS
    born = [each for each in found if each.kind != ERROR and (went_well or each.kind is None)]
    if sum(each.count for each in born) < 2:  # one alone makes no group, and a chain may be long
        return [Relative(each.id) for each in born]
    ascents = [list(_ascent(home, each.id, each.group)) for each in born]
    begun = _begun_here(home, ascents, [each.count for each in born])
    children: dict[Relative, None] = {}
    for each, ascent in zip(born, ascents, strict=True):
        groups = [group for group, _ in ascent if group in begun]
        if groups:
            children[Relative(groups[-1], is_group=True)] = None
        else:
            children[Relative(each.id)] = None
    return [child for child in children if child.id not in begun.values()]


def _ascent(home: Home, id: str, group: str | None) -> Iterator[tuple[str, str]]:
    """Yield (group, member of it) from a job up: the group it leads to, the one around that..."""
    at: str | None = id
    seen = set[str]()
    while at is not None and at not in seen:
        seen.add(at)
        if group is None:
            nexts, _, group = home.store.after(at)
        else:
            nexts = []
        if group is None:
            at = nexts[0] if nexts else None
            continue
        yield group, at
        found = home.store.group(group)
        at, group = None if found is None else found.target, None


def _begun_here(
    home: Home, ascents: Sequence[Sequence[tuple[str, str]]], counts: Sequence[int]
) -> dict[str, str | None]:
    """Return the groups all of whose members come of these jobs, with the target of each."""
    members: dict[str, dict[str, int]] = {}
    for ascent, count in zip(ascents, counts, strict=True):
        for place, (group, member) in enumerate(ascent):
            weight = count if place == 0 else 1
            known = members.setdefault(group, {})
            known[member] = max(weight, known.get(member, 0))
    begun: dict[str, str | None] = {}
    for name, ids in members.items():
        found = home.store.group(name)
        size = None if found is None else found.size
        if found is not None and size is not None and 1 < size <= sum(ids.values()):
            begun[name] = found.target
    return begun


def _members(home: Home, name: str) -> Iterator[str]:
    return chain.from_iterable(home.store.members_of(name))


# All of it


def drawing_of(home: Home, id: str, most: int) -> Drawing:
    """Return the workflow of a job or group, to be drawn; raises `JobNotFound`."""
    drawing = home.store.drawing(id, most=most)
    if drawing is None:
        raise JobNotFound(id)
    return drawing
