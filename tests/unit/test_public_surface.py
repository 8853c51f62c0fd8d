"""What users may import: the names, their docstrings, and what importing them loads."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import litequeue

MODULES = [
    "litequeue",
    "litequeue.canvas",
    "litequeue.config",
    "litequeue.exceptions",
    "litequeue.log",
    "litequeue.result",
    "litequeue.routing",
    "litequeue.schedules",
    "litequeue.serialization",
    "litequeue.signals",
    "litequeue.states",
]
HEAVY = {
    *("asyncio", "click", "concurrent", "croniter", "difflib", "filelock"),
    *("hashlib", "hmac", "msgpack"),
    *("multiprocessing", "pathlib", "peewee", "pickle", "psutil", "rich", "subprocess"),
    *("tempfile", "typing_extensions", "uuid", "yaml", "zoneinfo"),
}

THIRD_PERSON_OR_GERUND = re.compile(r"[a-z]+(?:[^su]s|ing)", re.IGNORECASE)
NAME = re.compile(r"`|\w+\(\)")
SPEAKS_OF_RAISING = re.compile(r"\b[Rr]aise|\b(?:as|see) `[\w.]+`", re.IGNORECASE)
SECONDS = {"countdown", "interval", "patience", "pause", "timeout"}
SPEAKS_OF_SECONDS = re.compile(
    r"\bseconds?\b|\bchange nothing\b|\b(?:as|of|see) `[\w.]+`", re.IGNORECASE
)


class Public(NamedTuple):
    """A public function or class, by the name under which users find it."""

    name: str
    value: Any

    @property
    def doc(self) -> str:
        return inspect.cleandoc(getattr(self.value, "__doc__", None) or "")

    @property
    def first_line(self) -> str:
        return self.doc.partition("\n\n")[0].partition("  ")[0].replace("\n", " ")


def names_of(module: ModuleType) -> list[str]:
    """Return the names that a module offers: its ``__all__``, or what it defines."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", None) == module.__name__
    ]


def public_things() -> Iterator[Public]:
    seen: set[int] = set()
    for where in MODULES:
        module = importlib.import_module(where)
        for name in names_of(module):
            value = getattr(module, name, None)
            if not (inspect.isclass(value) or inspect.isfunction(value)) or id(value) in seen:
                continue
            seen.add(id(value))
            yield Public(f"{where}.{name}", value)
            if inspect.isclass(value):
                yield from members_of(f"{where}.{name}", value)


def members_of(name: str, kind: type) -> Iterator[Public]:
    for attribute, member in vars(kind).items():
        value = getattr(member, "__func__", member)  # of a class method, or a static one
        if (
            attribute[0] != "_"
            and getattr(value, "__name__", attribute) == attribute
            and (inspect.isfunction(value) or isinstance(value, property))
        ):
            yield Public(f"{name}.{attribute}", value)


THINGS = list(public_things())
CALLS = [thing for thing in THINGS if inspect.isfunction(thing.value)]


def raises_by_itself(function: Callable[..., Any]) -> bool:
    """Tell whether the body has a ``raise`` of its own, outside of the functions inside it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    waiting: list[ast.AST] = list(ast.iter_child_nodes(tree))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def ill_worded(line: str) -> bool:
    """Tell whether a docstring's line is no sentence, or tells what the function "does"."""
    word = re.match(r"\w+", line)
    told = word is not None and THIRD_PERSON_OR_GERUND.fullmatch(word[0]) is not None
    return not begins_well(line) or line[-1] not in ".:" or told


def begins_well(line: str) -> bool:
    return line[:1].isupper() or NAME.match(line) is not None


def test_all_is_what_the_package_has() -> None:
    submodules = {module.name for module in pkgutil.iter_modules(litequeue.__path__)}
    for name in litequeue.__all__:
        assert getattr(litequeue, name) is not None
    there = {name for name in vars(litequeue) if name[0] != "_"} - submodules
    assert there - {"annotations", "Any", "Final", "TYPE_CHECKING"} == (
        set(litequeue.__all__) - {"__version__"}
    )
    assert dir(litequeue) == sorted(litequeue.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Celery'"):
        litequeue.Celery  # noqa: B018 - what is tested
    assert len(litequeue.__all__) == len(set(litequeue.__all__))


@pytest.mark.parametrize("where", MODULES)
def test_what_a_module_offers_can_be_imported(where: str) -> None:
    module = importlib.import_module(where)
    names = names_of(module)
    assert names
    assert [name for name in names if not hasattr(module, name)] == []
    assert (module.__doc__ or "").strip()


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.name)
def test_the_first_line_of_a_docstring_says_it(thing: Public) -> None:
    line = thing.first_line
    # Classes and properties are nouns.
    assert not ill_worded(line) if inspect.isfunction(thing.value) else begins_well(line), line


@pytest.mark.parametrize("line", ["", "Returns it.", "Waiting for it.", "wait", "Wait for it"])
def test_a_line_that_is_ill_worded_is_caught(line: str) -> None:
    assert ill_worded(line)


@pytest.mark.parametrize("thing", CALLS, ids=lambda thing: thing.name)
def test_a_docstring_says_what_the_call_raises_and_counts_in(thing: Public) -> None:
    if raises_by_itself(thing.value):
        assert SPEAKS_OF_RAISING.search(thing.doc), f"{thing.name} raises, and does not say what"
    if SECONDS & inspect.signature(thing.value).parameters.keys():
        assert SPEAKS_OF_SECONDS.search(thing.doc), f"{thing.name} does not say seconds"


def test_a_raise_is_seen_where_it_is() -> None:
    def outer() -> Callable[[], None]:
        def inner() -> None:
            raise ValueError

        return inner

    def guarded(x: int) -> None:
        if x:
            raise ValueError(x)

    assert raises_by_itself(guarded)
    assert not raises_by_itself(outer)


@pytest.mark.parametrize("where", MODULES)
def test_importing_a_public_module_loads_nothing_heavy(where: str) -> None:
    code = (
        f"import json, sys, {where} as module\n"
        "[getattr(module, name) for name in getattr(module, '__all__', ())]  # some load late\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert where in loaded
    assert HEAVY & set(loaded) == set()


@pytest.mark.parametrize("thing", CALLS, ids=lambda thing: thing.name)
def test_no_signature_asks_for_what_users_cannot_name(thing: Public) -> None:
    written = " ".join(map(str, inspect.get_annotations(thing.value).values()))
    assert re.findall(r"(?<!\w)_\w+", written) == []
