from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue.calling import (
    LAST_MOMENT,
    MAX_PRIORITY,
    CallOptions,
    argument_check,
    check_limits,
    ending,
    id_for_key,
    moment,
    refuse_options,
    replace_arguments,
    starting,
    take_stamps,
)
from litequeue.exceptions import ImproperlyConfigured

NOW = 1_700_000_000.0

# The argument check

NAMES = ("a", "b", "c", "d")
KINDS = inspect._ParameterKind


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., Any]:
    """Draw a function of any signature that Python allows."""
    count = draw(st.integers(0, 3))
    kinds = sorted(draw(st.lists(st.sampled_from(KINDS), min_size=count, max_size=count)), key=int)
    parameters: list[inspect.Parameter] = []
    defaults = False
    for name, kind in zip(NAMES, kinds, strict=False):
        if kind in {p.kind for p in parameters} & {KINDS.VAR_POSITIONAL, KINDS.VAR_KEYWORD}:
            continue
        default: Any = inspect.Parameter.empty
        if kind in (KINDS.POSITIONAL_ONLY, KINDS.POSITIONAL_OR_KEYWORD):
            defaults = defaults or draw(st.booleans())
            default = 0 if defaults else default
        elif kind is KINDS.KEYWORD_ONLY and draw(st.booleans()):
            default = 0
        parameters.append(inspect.Parameter(name, kind, default=default))
    text = str(inspect.Signature(parameters))
    namespace: dict[str, Any] = {}
    exec(f"def function{text}: return locals()", namespace)
    function: Callable[..., Any] = namespace["function"]
    return function


def accepts(function: Callable[..., Any], args: Any, kwargs: Any) -> bool:
    try:
        function(*args, **kwargs)
    except TypeError:
        return False
    return True


ARGS = st.lists(st.integers(), max_size=4).map(tuple)
KWARGS = st.dictionaries(st.sampled_from([*NAMES, "other"]), st.integers(), max_size=3)


@given(functions(), ARGS, KWARGS)
def test_the_check_refuses_exactly_what_binding_refuses(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    expected = accepts(inspect.signature(function).bind, args, kwargs)
    assert accepts(argument_check(function), (args, kwargs), {}) is expected


def test_the_error_names_the_function() -> None:
    def add(x: int, y: int) -> int:
        return x + y

    check = argument_check(add)
    with pytest.raises(TypeError, match=r"^add\(\): missing a required argument: 'y'"):
        check((1,), {})
    with pytest.raises(TypeError, match=r"^add\(\): too many positional arguments"):
        check((1, 2, 3), {})


# Other arguments for a retry: as Celery 5.7 replaces them


def named(a: Any, b: Any = 0, *rest: Any, c: Any = 0, **more: Any) -> None: ...


def placed(a: Any, /, b: Any = 0, **more: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "old", "new", "expected"),
    [
        (named, ((1,), {"c": 2}), (None, None), ((1,), {"c": 2})),
        (named, ((1,), {"c": 2}), ([5], {}), ((5,), {})),
        (named, ((1,), {"c": 2}), ([5], None), ((5,), {"c": 2})),
        (named, ((), {"a": 1, "c": 2}), ([5], None), ((5,), {"c": 2})),
        (named, ((), {"a": 1, "b": 2}), ([5], None), ((5,), {"b": 2})),
        (named, ((1,), {"c": 2}), ([], None), ((), {"c": 2})),
        (named, ((1, 2, 3), {}), (None, {"b": 5}), ((1, 5, 3), {})),
        (named, ((1,), {}), (None, {"b": 5, "d": 6}), ((1,), {"b": 5, "d": 6})),
        (named, ((1,), {"c": 2}), (None, {"a": 5}), ((5,), {})),
        (placed, ((1,), {"b": 2}), (None, {"b": 5}), ((1,), {"b": 5})),
        (placed, ((1, 2), {}), (None, {"b": 5}), ((1, 5), {})),
        (placed, ((1,), {}), (None, {"a": 5}), ((1,), {"a": 5})),
        (placed, ((1,), {"b": 2}), ([5, 6], None), ((5, 6), {})),
    ],
)
def test_no_argument_of_a_retry_comes_twice(
    function: Callable[..., Any], old: Any, new: Any, expected: Any
) -> None:
    found = replace_arguments(function, *old, new_args=new[0], new_kwargs=new[1])
    assert found == expected


# Moments


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        (None, None),
        (NOW, NOW),
        (5, 5.0),
        (datetime.fromtimestamp(NOW, UTC), NOW),
        (datetime.fromtimestamp(NOW, timezone(timedelta(hours=5))), NOW),
        (datetime.fromtimestamp(NOW), NOW),  # noqa: DTZ006 - naive is local
    ],
)
def test_a_moment_is_epoch_seconds_or_a_datetime(when: Any, seconds: float | None) -> None:
    assert moment(when) == seconds


def test_a_datetime_without_a_zone_is_of_the_one_that_is_set() -> None:
    naive = datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 - on purpose
    berlin = ZoneInfo("Europe/Berlin")
    assert moment(naive, berlin) == datetime(2026, 7, 1, 10, 0, tzinfo=UTC).timestamp()
    aware = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    assert moment(aware, berlin) == aware.timestamp()


@pytest.mark.parametrize(
    "when",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        2 * LAST_MOMENT,
        10**400,
        datetime.min,  # noqa: DTZ901 - naive on purpose
        datetime.max,  # noqa: DTZ901 - naive on purpose
    ],
)
def test_a_moment_that_cannot_be_named_is_refused(when: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="a moment is a datetime or epoch seconds"):
        moment(when)
    with pytest.raises(ImproperlyConfigured):
        ending(when, NOW, None)


@pytest.mark.parametrize("when", [date(2026, 7, 1), timedelta(seconds=5), object(), [5], b"5"])
def test_what_is_no_moment_is_no_argument(when: Any) -> None:
    for call in (moment, lambda when: ending(when, NOW, None)):
        with pytest.raises(TypeError, match="a moment is a datetime or epoch seconds, not"):
            call(when)


def test_a_start_is_a_moment_or_so_many_seconds_from_now() -> None:
    assert starting(None, None, NOW, None) is None
    assert starting(None, 0, NOW, None) == NOW
    assert starting(None, 5, NOW, None) == NOW + 5
    assert starting(NOW + 7, None, NOW, None) == NOW + 7
    with pytest.raises(ImproperlyConfigured, match="give countdown or eta, not both"):
        starting(NOW, 0, NOW, None)


def test_an_end_is_a_moment_or_so_many_seconds_from_now() -> None:
    assert ending(None, NOW, None) is None
    assert ending(5, NOW, None) == NOW + 5
    assert ending(datetime.fromtimestamp(NOW, UTC), NOW, None) == NOW
    assert ending("2026-07-01", NOW, UTC) == datetime(2026, 7, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("wait", ["5", timedelta(seconds=5), object(), [5]])
def test_what_is_no_time_to_wait_is_no_argument(wait: Any) -> None:
    with pytest.raises(TypeError, match="a time to wait is a number of seconds, not"):
        starting(None, wait, NOW, None)


@pytest.mark.parametrize("wait", [float("nan"), float("inf"), 10**400, LAST_MOMENT])
def test_a_time_to_wait_that_has_no_end_is_refused(wait: float) -> None:
    for call in (lambda: starting(None, wait, NOW, None), lambda: ending(wait, NOW, None)):
        with pytest.raises(ImproperlyConfigured, match="a moment is a datetime or epoch seconds"):
            call()


# Names, priorities, keys


@pytest.mark.parametrize(
    "options",
    [
        {"queue": ""},
        {"queue": "q" * 256},
        {"queue": "é" * 128},
        {"queue": "two\nlines"},
        {"queue": 5},
        {"id": ""},
        {"id": "a\0b"},
        {"shadow": "\x1b[31m"},
        {"priority": 1.5},
        {"priority": True},
        {"priority": MAX_PRIORITY + 1},
        {"priority": -MAX_PRIORITY - 1},
        {"time_limit": 0},
        {"time_limit": "5"},
        {"time_limit": True},
        {"soft_time_limit": -0.5},
        {"soft_time_limit": float("nan")},
        {"soft_time_limit": float("inf")},
        {"headers": [("a", 1)]},
        {"headers": "x"},
    ],
)
def test_what_the_file_would_not_take_is_refused(options: dict[str, Any]) -> None:
    name = next(iter(options)).replace("id", "task_id")
    with pytest.raises(ImproperlyConfigured, match=name):
        CallOptions(**options)


def test_what_the_file_just_takes_is_taken() -> None:
    options = CallOptions(queue="q" * 255, id="é" * 127, priority=-MAX_PRIORITY)
    assert (options.queue, options.priority) == ("q" * 255, -MAX_PRIORITY)


def test_a_soft_limit_above_the_hard_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^soft_time_limit must be .* and 5.5 is more than 5$"):
        CallOptions(time_limit=5, soft_time_limit=5.5)
    with pytest.raises(ValueError, match=r"^t: soft_time_limit must be"):
        check_limits(1, 2, "t: ")
    assert CallOptions(time_limit=5, soft_time_limit=5).soft_time_limit == 5
    assert CallOptions(soft_time_limit=5).time_limit is None


def test_stamps_are_taken_out_of_the_options() -> None:
    options = {"tenant": "ann", "order": 7, "other": None}
    assert take_stamps(options, ["order", "tenant", "order"], "f()") == {
        "order": 7,
        "tenant": "ann",
    }
    assert options == {"other": None}
    assert take_stamps(options, None, "f()") is None
    assert take_stamps(options, "other", "f()") == {"other": None}, "one name is a list of one"
    assert take_stamps({}, [], "f()") == {}


def test_a_set_of_stamps_becomes_a_list() -> None:
    taken = take_stamps({"groups": {"b", "a"}}, ["groups"], "f()")
    assert taken == {"groups": ["a", "b"]}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["tenant", "order"], r"^f\(\): stamped_headers names 'order', which comes with no value$"),
        (["group"], "stamped_headers names 'group'"),
        ([5], "stamped_headers are texts, not 5"),
    ],
)
def test_stamps_without_a_value_are_refused(names: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        take_stamps({"tenant": "ann", "group": "g"}, names, "f()")


def test_an_idempotency_key_is_an_id_of_its_task() -> None:
    assert id_for_key("pay", "order-1") == id_for_key("pay", "order-1")
    assert uuid.UUID(id_for_key("pay", "order-1")).version == 5
    others = {id_for_key("pay", "order-2"), id_for_key("mail", "order-1"), id_for_key("pa", "y")}
    assert id_for_key("pay", "order-1") not in others
    assert len(others) == 3
    assert id_for_key("pay", "order-1") == "48a251ec-c060-55fd-9257-f0dce60812db", (
        "it must stay what it is: a key of last year's program stands for the same job"
    )


@pytest.mark.parametrize("key", ["", 5, "a\nb", "k" * 256])
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="idempotency_key"):
        id_for_key("pay", key)


def test_an_option_is_refused_as_unbuilt_or_unknown() -> None:
    refuse_options({}, frozenset({"link"}), "here()")
    with pytest.raises(NotImplementedError, match=r"^here\(\) option 'link'$"):
        refuse_options({"link": 5}, frozenset({"link"}), "here()")
    with pytest.raises(TypeError, match=r"^here\(\) has no option 'lnk'$"):
        refuse_options({"lnk": None}, frozenset({"link"}), "here()")
