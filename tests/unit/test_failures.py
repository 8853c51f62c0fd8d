from __future__ import annotations

import builtins
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue import exceptions
from litequeue.job import Failure
from litequeue.result import rebuild
from tests.unit.homes import failure


@pytest.mark.parametrize(
    ("type", "args", "expected"),
    [
        ("ValueError", ["no"], ValueError("no")),
        ("KeyError", ["k"], KeyError("k")),
        ("OSError", [2, "no file"], FileNotFoundError(2, "no file")),
        ("WorkerLostError", ["died"], exceptions.WorkerLostError("died")),
        ("MaxRetriesExceededError", [], exceptions.MaxRetriesExceededError("its text")),
        ("TaskRevokedError", ["late"], exceptions.TaskRevokedError("late")),
    ],
)
def test_builtin_types_and_our_own_come_back(
    type: str, args: list[Any], expected: Exception
) -> None:
    error = rebuild(failure(type, *args), "FAILURE")
    assert error.__class__ is expected.__class__
    assert error.args == expected.args


def test_an_exception_without_words_comes_back_without() -> None:
    error = rebuild(Failure("ZeroDivisionError", "", None, "[]"), "FAILURE")
    assert (type(error), error.args) == (ZeroDivisionError, ())


@pytest.mark.parametrize(
    "type",
    [
        "shop.Oops",
        "os.system",
        "eval",
        "print",
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
        "BaseException",
        "object",
        "type",
        "__import__",
        "LiteQueueError.__class__",
        "json.decoder.JSONDecodeError",
        "",
    ],
)
def test_everything_else_comes_back_as_words(type: str) -> None:
    error = rebuild(failure(type, "x"), "FAILURE")
    assert isinstance(error, exceptions.RemoteError)
    assert (error.type, error.message, error.remote_traceback) == (
        type,
        "its text",
        "its traceback",
    )


@pytest.mark.parametrize("name", ["QueueBusy", "EnqueueUncertain", "Retry", "builtins"])
def test_only_listed_names_of_our_own_module_are_used(name: str) -> None:
    assert isinstance(rebuild(failure(name, "x"), "FAILURE"), exceptions.RemoteError)


def test_a_name_from_the_file_is_never_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "__import__", pytest.fail)
    before = set(sys.modules)
    rebuild(failure("antigravity.Error", "x"), "FAILURE")
    assert set(sys.modules) == before


def test_arguments_that_do_not_fit_the_type_leave_the_words() -> None:
    error = rebuild(failure("UnicodeDecodeError", "only one"), "FAILURE")
    assert isinstance(error, exceptions.RemoteError)
    assert error.type == "UnicodeDecodeError"


BUILTINS = [
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, Exception)
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


@given(st.sampled_from(BUILTINS), st.lists(JSON, max_size=5).map(json.dumps) | st.text(max_size=5))
def test_no_stored_row_makes_it_raise(name: str, args: str) -> None:
    error = rebuild(Failure(name, "text", None, args), "FAILURE")
    assert isinstance(error, Exception)


def test_without_a_failure_the_state_is_told() -> None:
    error = rebuild(None, "REVOKED")
    assert isinstance(error, exceptions.TaskRevokedError)
    assert "REVOKED" in str(error)
