from __future__ import annotations

import json

import pytest

from litequeue.result.failures import rebuild
from litequeue.worker.failure import MESSAGE_LIMIT, ExceptionInfo, describe, repr_safely


class Oops(Exception):
    """An exception of the user's own."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not telling")

    __repr__ = __str__


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_users_exception_carries_its_module() -> None:
    assert describe(Oops("x")).type == f"{__name__}.Oops"
    assert describe(KeyError("x")).type == "KeyError"
    assert describe(Oops("x"), "RejectedError").type == "RejectedError"


def test_a_broken_str_does_not_cost_the_verdict() -> None:
    failure = describe(raised(Mute(object())))
    assert "whose str() raised RuntimeError" in failure.message
    assert json.loads(failure.args) == ["<Mute whose repr() raised RuntimeError>"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x" * 10_000_000),
        ValueError("lone \ud800 surrogate"),
        ValueError("\x00"),
        ValueError({1: 2}, object()),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ExceptionGroup("many", [ValueError("one"), KeyError("two")]),
    ],
    ids=["huge", "surrogate", "nul", "objects", "decoding", "group"],
)
def test_whatever_an_exception_holds_can_be_stored(error: Exception) -> None:
    failure = describe(raised(error))
    for text in (failure.type, failure.message, failure.traceback or "", failure.args):
        assert len(text.encode("utf-8")) <= 4 * MESSAGE_LIMIT
    assert isinstance(json.loads(failure.args), list)
    assert isinstance(rebuild(failure, "FAILURE"), Exception)


def test_a_cause_is_told_in_the_traceback() -> None:
    try:
        try:
            raise OSError("first")
        except OSError as error:
            raise Oops("second") from error
    except Oops as error:
        failure = describe(error)
    assert failure.traceback is not None
    assert failure.traceback.index("first") < failure.traceback.index("second")


def test_an_exception_that_was_never_raised_has_the_traceback_of_another() -> None:
    failure = describe(KeyError("k"), raised_as=raised(Oops("why")))
    assert "in raised" in (failure.traceback or "")
    assert failure.type == "KeyError"


def test_hooks_get_it_in_celerys_form() -> None:
    error = KeyError("k")
    info = ExceptionInfo(error, "Traceback ...", internal=False)
    assert (info.exception, info.type, info.traceback) == (error, KeyError, "Traceback ...")
    assert (str(info), repr(info)) == ("Traceback ...", "<ExceptionInfo: KeyError('k')>")
    assert str(ExceptionInfo(error, None, internal=True)) == ""


def test_what_cannot_be_shown_is_said() -> None:
    assert repr_safely(5) == "5"
    assert repr_safely(Mute()) == "<Mute whose repr() raised RuntimeError>"
