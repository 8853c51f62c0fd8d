"""`Signature` against Celery's own: random programs leave the same data, and send the same call.

The differences that are meant, each removed by `same_form` or not drawn:

- `freeze` of Celery adds ``reply_to``, the queue of an rpc:// backend; results are in the file.
- `freeze` makes an id of version 7 where none is given: the programs give one.
- Names of stamps have an order here; Celery makes a list of a set.
- `copy.deepcopy` of Celery makes a plain dict that shares kwargs; here a signature of its own.
- What is joined to others (``link``, ``|``, groups) is not built: such options are not sent.
- A mapping without args, kwargs or options is a call without them; Celery fails at its first use.
"""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import celery
import pytest
from celery import canvas as celerys

from litequeue import LiteQueue, Task, canvas

PROGRAMS = 400
STEPS = 12
NAME = "shop.add"
UNKNOWN = "elsewhere.add"
VALUES = (0, 1, 2.5, "a", None, True, [1], {"b": 2})
OPTIONS: dict[str, tuple[Any, ...]] = {
    "queue": ("mail", "slow", None),
    "countdown": (5, 0, None),
    "headers": ({"a": 1}, {"b": [2]}),
    "task_id": ("id-1", "id-2"),
    "group_id": ("g1", "g2"),
    "tenant": ("ann", "bob"),
    "stamped_headers": (["tenant"], ["tenant", "queue"], []),
}
STAMPS: dict[str, tuple[Any, ...]] = {
    "tenant": ("ann", "bob", ["cid"]),
    "size": (1, 2.5, None),
    "where": ({"a": 1}, {"a": 2, "b": [3]}),
}
OF_WORKFLOWS = {"group_id", "group_index", "parent_id", "root_id"}

Place = tuple[Any, Any, Any]
Call = Callable[[Any, Place], Any]


def same_form(sig: Any) -> Any:
    """Return a signature as plain data, with the known differences taken out."""
    data = json.loads(json.dumps(sig))
    data["options"].pop("reply_to", None)
    return {**data, "options": in_order(data["options"])}


def in_order(options: dict[str, Any]) -> dict[str, Any]:
    names = options.get("stamped_headers")
    return options if names is None else {**options, "stamped_headers": sorted(names)}


def call_of(args: Any, kwargs: Any, options: Any) -> Any:
    """Return what was sent, in the same form, as it is at that moment."""
    return json.loads(json.dumps([list(args), kwargs, in_order(options)]))


class Visitor:
    """Decides about stamps, for both."""

    def __init__(self, stamps: dict[str, Any] | None) -> None:
        self._stamps = stamps

    def on_signature(self, sig: Any, **headers: Any) -> Any:
        return copy.deepcopy(self._stamps)

    # What Celery asks for links, of which there are none
    on_callback = on_errback = on_signature


@pytest.fixture
def places(tmp_path: Path) -> tuple[Place, Place, list[Any], list[Any]]:
    """Return (module, app, task) of both, and the calls that each sends."""
    ours, theirs = list[Any](), list[Any]()

    class Recorded(Task):
        def apply_async(self, args: Any = None, kwargs: Any = None, *_: Any, **options: Any) -> Any:
            ours.append(call_of(args, kwargs, options))

    class CelerysRecorded(celery.Task):  # type: ignore[misc]  # it has no types
        def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
            theirs.append(call_of(args, kwargs, options))

    app = LiteQueue(tmp_path / "jobs.sqlite", set_as_current=True)
    other = celery.Celery("shop", set_as_current=True)

    def add(*args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    task = app.task(name=NAME, base=Recorded)(add)
    celerys_task = other.task(name=NAME, base=CelerysRecorded, shared=False)(add)
    app.send_task = lambda name, *a, **o: task.apply_async(*a, **o)  # type: ignore[method-assign]  # so that nothing is stored
    other.send_task = lambda name, *a, **o: celerys_task.apply_async(*a, **o)
    return (canvas, app, task), (celerys, other, celerys_task), ours, theirs


def arguments(draw: random.Random) -> tuple[list[Any], dict[str, Any]]:
    args = [draw.choice(VALUES) for _ in range(draw.choice((0, 0, 1, 2)))]
    kwargs = {name: draw.choice(VALUES) for name in draw.sample("xyz", draw.choice((0, 0, 1, 2)))}
    return copy.deepcopy((args, kwargs))


def options(draw: random.Random, table: dict[str, tuple[Any, ...]] = OPTIONS) -> dict[str, Any]:
    names = draw.sample(sorted(table), draw.choice((0, 0, 1, 2, 3)))
    return {name: copy.deepcopy(draw.choice(table[name])) for name in names}


def beginning(draw: random.Random) -> Call:
    """Return some way to make a signature."""
    args, kwargs = arguments(draw)
    chosen = options(draw)
    fixed = draw.random() < 0.3
    name = draw.choice((NAME, UNKNOWN))
    form: dict[str, Any] = {"task": name, "args": args, "kwargs": kwargs, "options": chosen}
    form |= {"subtask_type": None, "immutable": fixed}
    ways: list[Callable[[Any, Any, Any], Any]] = [
        lambda module, app, task: task.s(*args, **kwargs),
        lambda module, app, task: task.si(*args, **kwargs),
        lambda module, app, task: task.signature(args, kwargs, immutable=fixed, **chosen),
        lambda module, app, task: task.subtask(args, kwargs, chosen, countdown=3),
        lambda module, app, task: app.signature(name, args, kwargs, chosen, immutable=fixed),
        lambda module, app, task: module.signature(name, args=args, kwargs=kwargs, **chosen),
        lambda module, app, task: module.subtask(task, args, kwargs, chosen),
        lambda module, app, task: module.Signature(task, args, kwargs, chosen, immutable=fixed),
        lambda module, app, task: module.Signature.from_dict(form, app=app),
        lambda module, app, task: module.maybe_signature(form, app=app),
    ]
    way = draw.choice(ways)
    return lambda _, place: way(*place)


def step(draw: random.Random) -> Call:
    """Return some change of a signature; what it makes is another one, or an answer."""
    args, kwargs = arguments(draw)
    chosen = options(draw)
    stamps = options(draw, STAMPS)
    visited = draw.choice((None, {}, options(draw, STAMPS)))
    yes, number = draw.random() < 0.5, draw.choice(VALUES)
    appended = draw.random() < 0.4
    ways: list[Call] = [
        lambda sig, place: sig.clone(args, kwargs, **chosen),
        lambda sig, place: sig.clone(),
        lambda sig, place: sig.partial(args),
        lambda sig, place: sig.clone(kwargs=kwargs),
        lambda sig, place: sig.set(**chosen),
        lambda sig, place: sig.set(immutable=yes, **chosen),
        lambda sig, place: sig.set_immutable(yes),
        lambda sig, place: sig.replace(args=list(args), kwargs=dict(kwargs)),
        lambda sig, place: sig.replace(options=dict(chosen)),
        lambda sig, place: sig.apply_async(args, kwargs, **chosen),
        lambda sig, place: sig.apply_async(),
        lambda sig, place: sig.delay(*args, **kwargs),
        lambda sig, place: sig.freeze("id-9", group_id="g9", root_id="r", parent_id="p").id,
        lambda sig, place: sig.freeze("id-8", group_index=0).id,
        lambda sig, place: sig.stamp(**stamps),
        lambda sig, place: sig.stamp(append_stamps=appended, **copy.deepcopy(stamps)),
        lambda sig, place: sig.stamp(Visitor(visited), appended, **copy.deepcopy(stamps)),
        lambda sig, place: sig.reprcall(*args, **kwargs),
        lambda sig, place: repr(sig),
        lambda sig, place: place[0].signature(sig),
        lambda sig, place: place[0].maybe_signature(dict(sig), app=place[1]),
        lambda sig, place: place[0].maybe_signature(sig, clone=yes),
        lambda sig, place: place[0].signature(json.loads(json.dumps(sig))),
        lambda sig, place: pickle.loads(pickle.dumps(sig)),
        lambda sig, place: copy.copy(sig),
        lambda sig, place: same_form(copy.deepcopy(sig)),
        lambda sig, place: sig.kwargs.update(n=number),
        lambda sig, place: sig.options.update(m=number),
        lambda sig, place: [sig.task, sig.name, sig.id, sig.root_id, sig.parent_id, sig.immutable],
        lambda sig, place: setattr(sig, "args", list(args)),
        lambda sig, place: setattr(sig, "id", "id-7"),
        lambda sig, place: sig(*args, **kwargs) if sig.task == NAME else None,
        lambda sig, place: sig["args"],
    ]
    return draw.choice(ways)


@pytest.mark.parametrize("first", range(0, PROGRAMS, 50))
def test_random_programs(places: tuple[Place, Place, list[Any], list[Any]], first: int) -> None:
    ours, theirs, sent, celerys_sent = places
    for number in range(first, first + 50):
        draw = random.Random(number)
        mine, other = list[Any](), list[Any]()
        for _ in range(STEPS):
            what = beginning if not mine or draw.random() < 0.1 else step
            same, at = draw.random(), draw.randrange(max(1, len(mine)))
            # Each side draws its own data: what is shared by mistake is seen as a difference.
            there = what(random.Random(same))(other[at] if other else None, theirs)
            try:
                here = what(random.Random(same))(mine[at] if mine else None, ours)
            except ValueError:
                assert OF_WORKFLOWS & celerys_sent.pop()[2].keys(), number
                here = there
            assert isinstance(here, canvas.Signature) == isinstance(there, celerys.Signature)
            if isinstance(here, canvas.Signature):
                mine.append(here)
                other.append(there)
            else:
                assert json.loads(json.dumps(here)) == json.loads(json.dumps(there)), number
            assert [*map(same_form, mine)] == [*map(same_form, other)], number
        assert sent == celerys_sent, number
