"""Programs: random workflows that either library makes, and the tasks that they are made of."""

from __future__ import annotations

import copy
import json
import logging
import os
from functools import reduce
from operator import or_
from typing import Any

import celery.exceptions
import pytest
from celery import canvas as celerys
from hypothesis import HealthCheck, Phase, example, seed, settings
from hypothesis import strategies as st

from litequeue import Ignore, LiteQueue, canvas

NAMES = ("add", "pack", "first", "fail")
REPLACED = ("swap", "spread")
DEPTH = 4

DEEDS: dict[str, Any] = {
    "immutable": lambda sig, tasks: sig.set(immutable=True),
    "options": lambda sig, tasks: sig.set(priority=5),
    "link": lambda sig, tasks: sig.link(tasks["linked"].s(5)) and sig,
    "link_error": lambda sig, tasks: [sig.link_error(tasks["oops"].s()), sig][1],
    "on_error": lambda sig, tasks: sig.on_error(tasks["oops"].si(None, None, None)),
    "arguments": lambda sig, tasks: sig if first_gets(sig) else sig.clone((3,)),
    "skew": lambda sig, tasks: sig.skew(1, 3) if hasattr(sig, "skew") else sig,
    "stamp": lambda sig, tasks: [sig.stamp(tenant="ann", size=1), sig][1],
    "stamp more": lambda sig, tasks: [sig.stamp(append_stamps=True, tenant="bob"), sig][1],
    "replace": lambda sig, tasks: sig.replace(options={"queue": "slow"}),
    "deepcopy": lambda sig, tasks: copy.copy(sig).clone(),
}


def first_gets(sig: Any) -> bool:
    """Tell whether own arguments are for what comes first; Celery forgets them, here or there."""
    return sig.subtask_type in ("chain", "chord")


def atoms(*names: str) -> Any:
    return st.tuples(
        st.just("s"),
        st.sampled_from(names),
        st.lists(st.integers(0, 9), max_size=2),
        st.booleans(),
        st.sampled_from(("", "", "", "link", "chain", "link_error", "on_error")),
    )


def wider(inner: Any) -> Any:
    several = st.lists(inner, max_size=3)
    return st.one_of(
        st.tuples(st.just("chain"), several, st.sampled_from(("or", "or", "args", "list", "raw"))),
        st.tuples(st.just("group"), several, st.sampled_from(("args", "list", "gen"))),
        st.tuples(
            st.just("chord"), several, inner, st.sampled_from(("or", "list", "gen", "group"))
        ),
        st.tuples(st.just("clone"), inner),
        st.tuples(st.just("do"), inner, st.sampled_from([*DEEDS])),
        st.tuples(st.just("json"), inner),
    )


def level(depth: int, one: Any) -> Any:
    return one if depth == 0 else st.one_of(one, wider(level(depth - 1, one)))


programs = level(DEPTH, atoms(*NAMES[:3], *NAMES))
headers = st.lists(level(2, atoms(*NAMES[:3], *NAMES, *REPLACED)), max_size=4)
with_replacements = level(DEPTH, atoms(*NAMES[:3], *NAMES, *REPLACED, "skip"))


def build(program: Any, place: Any) -> Any:
    """Return the workflow that a program makes with one of both libraries."""
    module, app, tasks = place
    kind = program[0]
    if kind == "s":
        return build_call(program, tasks)
    if kind == "clone":
        return build(program[1], place).clone()
    if kind == "do":
        return DEEDS[program[2]](build(program[1], place), tasks)
    if kind == "json":
        return module.signature(json.loads(json.dumps(build(program[1], place))), app=app)
    parts = [build(part, place) for part in program[1]]
    if kind == "chain":
        return build_chain(program[2], parts, module)
    if kind == "group":
        given = {"list": [parts], "gen": [iter_of(parts)]}
        return module.group(*given.get(program[2], parts))
    return build_chord(program, parts, place)


def build_call(program: Any, tasks: Any) -> Any:
    _, name, args, fixed, linked = program
    sig = tasks[name].signature(tuple(args), immutable=fixed)
    if linked == "link":
        sig.link(tasks["linked"].s(7))
    elif linked == "chain":
        sig.link(tasks["linked"].s() | tasks["linked"].si(8))
    elif linked:
        getattr(sig, linked)(tasks["oops"].s())
    return sig


def build_chain(how: str, parts: Any, module: Any) -> Any:
    if how == "or":
        return reduce(or_, parts) if parts else module.chain()
    if how == "list":
        return module.chain(parts)
    return module.chain(*parts, **({"queue": "q"} if how == "raw" else {}))


def build_chord(program: Any, parts: Any, place: Any) -> Any:
    module, _, _ = place
    body, how = build(program[2], place), program[3]
    if how == "or":
        return module.group(*parts) | body
    header = {"list": parts, "gen": iter_of(parts), "group": module.group(parts)}[how]
    return module.chord(header, body)


def iter_of(parts: Any) -> Any:
    return (part for part in parts)


# Both libraries


class Place:
    """One library: its module, an app, and tasks which write down their calls."""

    def __init__(self, module: Any, app: Any) -> None:
        self.calls: list[Any] = []
        calls = self.calls

        def add(*args: Any) -> Any:
            calls.append(("add", plain(args)))
            return len(args) + sum(numbers(args))

        def pack(*args: Any) -> Any:
            calls.append(("pack", plain(args)))
            return list(args)

        def first(*args: Any) -> Any:
            calls.append(("first", plain(args)))
            return args[0] if args else None

        def fail(*args: Any) -> Any:
            calls.append(("fail", plain(args)))
            raise ValueError(repr(plain(args)))

        def linked(*args: Any) -> Any:
            calls.append(("linked", plain(args)))

        def oops(request: Any, exc: Any, traceback: Any) -> Any:
            calls.append(("oops", type(exc).__name__, str(exc)))

        def swap(self: Any, *args: Any) -> Any:
            calls.append(("swap", plain(args)))
            return self.replace(tasks["first"].s(*args) | tasks["add"].s(1))

        def spread(self: Any, *args: Any) -> Any:
            calls.append(("spread", plain(args)))
            return self.replace(module.group(tasks["add"].s(*args), tasks["pack"].s(*args)))

        def skip(*args: Any) -> Any:
            calls.append(("skip", plain(args)))
            raise Ignore if module is canvas else celery.exceptions.Ignore

        tasks = declared(app, add, pack, first, fail, skip, linked, oops)
        tasks |= declared(app, swap, spread, bind=True)
        self.all = (module, app, tasks)

    def __iter__(self) -> Any:
        return iter(self.all)


def declared(app: Any, *functions: Any, **options: Any) -> dict[str, Any]:
    """Return the tasks of ``app`` that functions become, by their names.

    Celery would give them to every app of this process, those of other tests too.
    """
    if type(app).__module__.startswith("celery"):
        options["shared"] = False
    return {
        each.__name__: app.task(name=f"m.{each.__name__}", **options)(each) for each in functions
    }


def numbers(value: Any) -> Any:
    if isinstance(value, list | tuple):
        for each in value:
            yield from numbers(each)
    elif value is not None:
        yield value


def plain(value: Any) -> Any:
    return [*map(plain, value)] if isinstance(value, list | tuple) else value


def both(app: LiteQueue) -> tuple[Place, Place]:
    """Return the places of ``app`` and of a Celery that runs its tasks here and now."""
    other = celery.Celery(
        "shop", set_as_current=True, broker="memory://", backend="cache+memory://"
    )
    other.conf.task_always_eager = True
    logging.getLogger("celery.app.trace").disabled = True
    return Place(canvas, app), Place(celerys, other)


# How they are tried


def outcome(act: Any) -> Any:
    """Return what a call returns, or which exception it raises."""
    try:
        return act()
    except (RecursionError, AssertionError):
        raise
    except Exception as error:  # whatever either library raises
        return f"raised {type(error).__name__}: {error}" if type(error) is ValueError else "raised"


A, B, F = (
    ("s", name, [number], False, "") for name, number in (("add", 1), ("pack", 2), ("fail", 3))
)
WITH_CALLBACKS = [
    ("do", (*canvas_of, *how), deed)
    for canvas_of, how in [
        (("chain", [A, B]), ("or",)),
        (("chain", [A, B]), ("raw",)),
        (("chain", [A, F]), ("raw",)),
        (("chain", [A, ("group", [A, B], "list")]), ("or",)),
        (("chain", [A, ("chord", [A, B], B, "list")]), ("raw",)),
        (("chain", [A, ("chain", [A, B], "raw"), B]), ("args",)),
        (("group", [A, F]), ("args",)),
        (("chord", [A, B], F), ("list",)),
        (("chord", [A, B], ("chain", [B, A], "or")), ("list",)),
    ]
    for deed in ("link", "link_error")
]


def with_callbacks(test: Any) -> Any:
    """Have the programs of a test begin with callbacks of all kinds of workflows."""
    after = (("chain", [each, A], "or") for each in WITH_CALLBACKS)
    for each in (*WITH_CALLBACKS, *after, ENDS_IN_A_GROUP):
        test = example(program=each)(test)
    return test


ENDS_IN_A_GROUP = ("chain", [("chord", [], A, "or"), ("group", [A, B, A], "args"), A], "args")
"""A body that becomes a chain of two, and whose end becomes the header of a chord."""


COUNT = int(os.environ.get("PROGRAMS", "300"))
SEED = os.environ.get("SEED")


def many(test: Any) -> Any:
    """Have a test try `COUNT` programs: the same ones each time, unless SEED chooses others."""
    how = settings(
        max_examples=COUNT,
        deadline=None,
        derandomize=SEED is None,
        suppress_health_check=[*HealthCheck],
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),  # to explain takes memory
    )
    timed = pytest.mark.timeout(60 + COUNT / 10)(how(test))
    return timed if SEED is None else seed(int(SEED))(timed)


def value(result: Any) -> Any:
    return None if result is None else plain(result.get())
