"""Whatever is given to `delay`: refused in one line, or run by the right task with the same."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import os
import pathlib
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litequeue import LiteQueue, Task
from litequeue.context import working_for
from litequeue.exceptions import LiteQueueError
from litequeue.job import Outcome
from litequeue.store import Keep, jobs, workers
from litequeue.store.claim import Claim
from litequeue.store.workers import Identity
from litequeue.worker.executor import Executor

EXAMPLES: Final = int(os.environ.get("HOSTILE_ARGUMENTS", "1000"))
"""Argument sets in all.  `make hostile` tries 10,000."""
LIMIT: Final = 20_000
"""Bytes of arguments: small, so that what is too large need not be large."""


# What is given


class Text(str):
    """A str that would come back as a plain one."""

    __slots__ = ()


class Number(int):
    """An int that would come back as a plain one."""


class Rude:
    """Raises whatever it is asked."""

    def _no(self, *_: Any) -> Any:
        raise RuntimeError("a\nb")

    __repr__ = __str__ = __eq__ = __hash__ = __len__ = __iter__ = __bool__ = __reduce__ = _no
    __getattr__ = __format__ = __index__ = __float__ = _no


class Liar:
    """Says that it is a text."""

    @property  # type: ignore[misc]  # that is the lie
    def __class__(self) -> type:
        return str

    def __repr__(self) -> str:
        return "two\nlines\x1b[2J"


class RudeKey:
    def __repr__(self) -> str:
        raise RuntimeError("a\nb")

    def __hash__(self) -> int:
        return 1


class RudeMeta(type):
    def __repr__(cls) -> str:
        raise RuntimeError("a\nb")


class OfRudeMeta(metaclass=RudeMeta):
    pass


Nameless: Final = type("Nameless", (), {"__module__": 5})


class Colour(enum.Enum):
    RED = 1
    GREEN = "g"


class Level(enum.IntEnum):
    LOW = 1


class Stranger(enum.Enum):
    X = 1


@dataclass
class Point:
    x: Any
    y: Any = 0


@dataclass(frozen=True)
class Node:
    name: str
    children: list[Node] = field(default_factory=list)


@dataclass
class Unlisted:
    x: int = 1


@dataclass
class Picky:
    x: Any

    def __post_init__(self) -> None:
        if self.x != 1:
            raise KeyError("a\nb")


class Model(pydantic.BaseModel):
    n: int
    text: str = ""


def cyclic() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def cyclic_dict() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = [value]
    return value


def deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def half_made() -> Any:
    return object.__new__(Point)


NUMBERS: Final = st.one_of(
    st.integers(),
    st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, True, False, -0.0]),
    st.floats(),
    st.complex_numbers(),
    st.decimals(),
    st.fractions(),
)
TEXTS: Final = st.one_of(
    st.text(),
    st.text(st.characters(codec=None), max_size=20),
    st.sampled_from(
        ["\ud800", "\udfff\ud800", "\x00", "\u2028", "__type__", "!pickle;base64,x", "x" * 30_000,
         "é" * 15_000, "\U0010ffff", "[[],{}]"]
    ),
)  # fmt: skip
STANDARD: Final = st.one_of(
    st.binary(max_size=40),
    st.datetimes(timezones=st.one_of(st.none(), st.timezones())),
    st.dates(),
    st.times(timezones=st.one_of(st.none(), st.just(datetime.UTC))),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from(list(Colour)),
    st.builds(pathlib.PurePosixPath, st.text(st.characters(exclude_characters="\x00"), max_size=9)),
    st.just(Path("/tmp/x")),
)
ODD: Final = st.sampled_from([
    object, Rude, Liar, lambda: 10**5000, OfRudeMeta, Nameless, Unlisted, half_made, cyclic,
    cyclic_dict,
    lambda: Text("x"), lambda: Number(5), lambda: Level.LOW, lambda: Stranger.X, lambda: deep(99),
    lambda: deep(98), lambda: deep(97), lambda: deep(500), lambda: deep(50_000),
    lambda: (n for n in "ab"),
    lambda: iter([1]), lambda: len, lambda: int, lambda: OfRudeMeta, lambda: Ellipsis,
    lambda: NotImplemented, lambda: bytearray(b"x"), lambda: memoryview(b"x"), lambda: range(3),
    lambda: deque([1]), lambda: OrderedDict(a=1), lambda: {1: 2}, lambda: {None: 1},
    lambda: {(): 1},
    lambda: {RudeKey(): 1}, lambda: {Text("a"): 1}, lambda: {"\ud800": 1}, lambda: {math.nan},
    lambda: {math.inf, 1}, lambda: {"\ud800", 1}, lambda: frozenset({math.nan}), lambda: {1,
    "a", None},
    lambda: {(1, frozenset({2}))}, lambda: Exception("x"), lambda: os.environ, lambda: slice(1),
    lambda: Picky(1), lambda: Point(Point(1, {2}), math.nan), lambda: Node("a", [Node("b")]),
    lambda: Model(n=1), Model.model_construct, lambda: Point(object()),
    lambda: {"__type__": "set", "__value__": [1]}, lambda: {"__type__": 5, "__value__": None},
    lambda: {"__type__": "os.system"}, lambda: decimal.Decimal("sNaN"), lambda: uuid.SafeUUID.safe,
    lambda: datetime.timezone(datetime.timedelta(hours=1)), lambda: Path("a\ud800"),
    lambda: Exception, lambda: print, lambda: Point(cyclic()),
]).map(lambda make: make())  # fmt: skip
PLAIN: Final = st.one_of(st.none(), NUMBERS, TEXTS, STANDARD)
KEYS: Final = st.one_of(
    st.text(max_size=5), st.sampled_from(["__type__", "__value__", "x", "\ud800"])
)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(KEYS, inner, max_size=3),
            st.tuples(inner, inner),
            st.builds(Point, inner, inner),
            st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=4).map(set),
            st.lists(st.tuples(st.integers(), st.text(max_size=3)), max_size=3).map(frozenset),
        ),
        max_leaves=6,
    )


SANE: Final = nested(st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1),
                               st.floats(allow_nan=False, allow_infinity=False),
                               st.text(max_size=9),
                               STANDARD))  # fmt: skip
VALUES: Final = st.one_of(SANE, nested(PLAIN), nested(st.one_of(PLAIN, ODD)))
NAMES: Final = st.one_of(
    st.sampled_from(["a", "b", "c", "self", "args", "kwargs", "task_id", "", "\ud800", "class"]),
    st.text(max_size=4),
)


class Given:
    """The arguments of one call; some of them cannot even be shown."""

    def __init__(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.args = tuple(args)
        self.kwargs = kwargs

    def __repr__(self) -> str:
        try:
            return f"{self.args!r:.300} {self.kwargs!r:.300}"
        except Exception as error:
            return f"<{type(error).__name__}: {[*map(type, self.args)]!r:.300}>"


FITTING: Final = {
    "plain": (1, 2, ()), "positional": (1, 2, ()), "keyword": (0, 0, ("a", "b")),
    "anything": (0, 3, ("k", "task_id", "args")), "mixed": (1, 3, ("c", "a", "x y")),
    "bound": (0, 1, ("k", "")), "later": (0, 1, ("b",)), "listed": (0, 3, ()),
}  # fmt: skip
"""By task: how many arguments it takes by their place, and some that it takes by name."""


def arguments(name: str) -> st.SearchStrategy[Given]:
    """Return calls of a task: by their shape most of them fit, by their values some do."""
    least, most, names = FITTING[name]
    fitting = st.builds(
        Given,
        st.lists(VALUES, min_size=least, max_size=most),
        st.fixed_dictionaries(
            dict.fromkeys(names[:1], VALUES), optional=dict.fromkeys(names[1:], VALUES)
        ),
    )
    anyhow = st.builds(
        Given, st.lists(VALUES, max_size=3), st.dictionaries(NAMES, VALUES, max_size=3)
    )
    return st.one_of(fitting, fitting, anyhow)


# Where it goes

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class Range:
    """An app on a file of its own, one task for each signature, and what was called."""

    def __init__(self, folder: Path) -> None:
        self.app = LiteQueue(folder / "jobs.sqlite", durability="process",
                             task_max_arguments_size=LIMIT, result_max_size=100)  # fmt: skip
        self.calls: list[Call] = []
        for function, options in self.functions():
            self.app.task(name=function.__name__, ignore_result=True, **options)(function)
        self.executor = Executor(self.app, self.app.clock, "host")
        self.database = self.app.store.database
        identity = Identity(name="w", nonce="ab", boot="", namespace="", pid=1, start_time=1,
                            directory=str(folder))  # fmt: skip
        self.owner = workers.register(self.database, identity, 0.0)

    def functions(self) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
        calls = self.calls

        def plain(a: Any, b: Any = 7) -> None:
            calls.append(("plain", (a, b), {}))

        def positional(a: Any, b: Any = 7, /) -> None:
            calls.append(("positional", (a, b), {}))

        def keyword(*, a: Any, b: Any = 7) -> None:
            calls.append(("keyword", (a, b), {}))

        def anything(*args: Any, **kwargs: Any) -> None:
            calls.append(("anything", args, kwargs))

        def mixed(a: Any, /, b: Any = 7, *args: Any, c: Any = 8, **kwargs: Any) -> None:
            calls.append(("mixed", (a, b, *args), {"c": c, **kwargs}))

        def bound(self: Any, a: Any = 7, **kwargs: Any) -> None:
            calls.append(("bound", (a,), kwargs))

        async def later(a: Any = 7, *, b: Any = 7) -> None:
            calls.append(("later", (a, b), {}))

        def listed(a: list[Point | Colour | Node | Model | Picky] | Any = None, *rest: Any) -> None:
            calls.append(("listed", (a, *rest), {}))

        for function in (plain, positional, keyword, anything, mixed, later, listed):
            yield function, {}
        yield bound, {"bind": True}

    def count(self) -> int:
        with self.database.read() as connection:
            return int(connection.execute(
                "SELECT (SELECT count(*) FROM litequeue_job) + "
                "(SELECT count(*) FROM litequeue_payload)"
            ).fetchone()[0])  # fmt: skip

    def expected(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return the call as Python itself makes it."""
        task = self.app.tasks[name]
        kept = len(self.calls)
        result = task.run(*args, **kwargs)
        if result is not None:  # a coroutine
            with pytest.raises(StopIteration):
                result.send(None)
        (call,) = self.calls[kept:]
        del self.calls[kept:]
        return call

    def run_next(self) -> Outcome:
        """Claim the only job and run it."""
        claim = Claim(owner=self.owner, limit=2, tasks=frozenset(self.app.tasks))
        keep = Keep(success=0.0, failure=0.0)
        settled = jobs.settle_and_claim(
            self.database, now=self.app.clock.now(), keep=keep, claim=claim
        )
        (lease,) = settled.leases
        with working_for(self.app):
            return self.executor.execute(lease)

    def clear(self) -> None:
        """Forget all jobs and calls."""
        self.calls.clear()
        with self.database.write(durable=False) as connection:
            for table in ("job", "payload"):
                connection.execute(f"DELETE FROM litequeue_{table}")


@pytest.fixture(scope="module")
def field_of_fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Range]:
    made = Range(tmp_path_factory.mktemp("range"))
    yield made
    made.executor.close()
    made.app.close()


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of equal types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, set | frozenset):
        return one == other and sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    if isinstance(one, Point | Node | Picky):
        return same(vars(one), vars(other))
    if isinstance(one, decimal.Decimal):
        return str(one) == str(other)
    if isinstance(one, datetime.datetime | datetime.time):
        return repr(one) == repr(other) and one.fold == other.fold
    return bool(one == other)


def refusal_of(
    task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Exception | None:
    """Send a call; return why it was refused, None if it was not."""
    try:
        task.apply_async(args, kwargs)
    except (LiteQueueError, TypeError) as error:
        return error
    return None


def check(range_: Range, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Send one call; return whether it was accepted, and then ran as it was meant."""
    task = range_.app.tasks[name]
    refusal = refusal_of(task, args, kwargs)
    if refusal is not None:
        assert "\n" not in str(refusal), str(refusal)
        assert len(str(refusal)) < 5000
        assert range_.count() == 0
        return False
    try:
        expected = range_.expected(name, args, kwargs)
        outcome = range_.run_next()
        calls = list(range_.calls)
    finally:
        range_.clear()
    assert outcome.state == "SUCCESS", outcome.failure
    (call,) = calls
    assert call[0] == expected[0] == name
    assert same(call[1:], expected[1:]), (call, expected)
    return True


def campaign(range_: Range, name: str, examples: int) -> None:
    accepted = 0

    @settings(
        max_examples=examples, deadline=None, database=None, print_blob=True,
        suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    @given(arguments(name))
    def attack(drawn: Given) -> None:
        nonlocal accepted
        accepted += check(range_, name, drawn.args, drawn.kwargs)

    attack()
    assert accepted > examples // 20, "nearly nothing was accepted: this proves little"


@pytest.mark.parametrize("name", FITTING)
def test_every_call_is_refused_or_runs_as_it_was_meant(field_of_fire: Range, name: str) -> None:
    campaign(field_of_fire, name, EXAMPLES // len(FITTING))
