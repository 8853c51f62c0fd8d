"""Workflows run for real, against Celery's own evaluation: random programs have the same values.

A program is sent as `apply_async` sends it, stored in a real file, claimed, run and settled by the
store's verbs and the executor, and its value is read back with `get`.  Celery evaluates it here
and now, and is wrong in what `TestWhereCeleryIsWrong` shows, each with the reason:

- A chain of nothing, and a chord whose body is one, are refused before anything runs.  Celery has
  None for them, after it has run the header, or an AttributeError in a chain.
- What waits for a failed header fails with a `ChordError` that names the member, and its errbacks
  are called, as Celery's documentation says and its workers do; `apply` raises what the member
  raised, and calls nothing.
- All members of a group run, and the first of them in order that failed says why.  `apply` ends
  with the first chain of the members that fails before its end; the rest never runs.
- A member of a header that raised `Ignore` has no result, so what waits for it fails.  `apply` has
  None for it; with Celery's workers such a chord never ends.
- A chain that ends with `Ignore` has the value None; if it was to end in a group, a list of None.
  A group of one chain, before something, is a part of the chain around it, as Celery's workers
  have it too; `apply` takes it for a group, and goes on with [None].
- Own arguments of a chain or chord, as `clone` adds them, are for what comes first, as Celery's
  workers do it; `apply` forgets them, here too, and of a chain Celery's `clone`.
- The callbacks of a task that replaces itself are called once; `apply` calls them once more for
  the task that was replaced.
"""

from __future__ import annotations

import ast
import logging
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue import LiteQueue, chord
from litequeue.exceptions import ChordError
from tests.conftest import FakeClock
from tests.differential.programs import (
    REPLACED,
    both,
    build,
    headers,
    many,
    outcome,
    value,
    with_callbacks,
    with_replacements,
)
from tests.drive import Drive, driving, unfinished

pytestmark = pytest.mark.filterwarnings("ignore:task_allow_error_cb_on_chord_header")

NOTHING = ("a chain of nothing has no result", "a chord without a body leaves nothing")
CALLBACKS = ("('linked'", "('oops'")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: Any) -> Any:
    path = tmp_path_factory.mktemp("run") / "jobs.sqlite"
    app = LiteQueue(path, clock=FakeClock(), durability="process", set_as_current=True)
    places = both(app)
    logging.disable()  # or what pytest keeps of ten thousand programs takes half a gigabyte
    try:
        with driving(app) as drive:
            yield drive, *places
    finally:
        logging.disable(logging.NOTSET)


def run(drive: Drive, place: Any, program: Any) -> Any:
    """Return what a program comes to in the file; the place has the calls that were made."""
    place.calls.clear()
    sig = outcome(lambda: build(program, place))
    if isinstance(sig, str):
        return sig
    result = outcome(sig.apply_async)
    if isinstance(result, str):
        return result
    drive.run()
    assert unfinished(drive.app) == []
    return read(result)


def read(result: Any) -> Any:
    """Return the value of a result, or the words of what the task raised that failed."""
    try:
        return value(result)
    except ChordError as error:
        return f"raised {culprit(error)}"
    except ValueError as error:
        return f"raised ValueError: {error}"


def culprit(error: ChordError) -> str:
    """Return what failed first, by the words of all that failed because of it."""
    words = f"ChordError: {error}"
    while chord := re.fullmatch(r"ChordError: Dependency (\S+) raised (\w+)\((.*)\)", words, re.S):
        assert chord[1], "it names the member"
        words = f"{chord[2]}: {ast.literal_eval(chord[3])}"
    return words


def evaluated(place: Any, program: Any) -> Any:
    """Return what Celery's own evaluation comes to."""
    place.calls.clear()
    sig = outcome(lambda: build(program, place))
    return sig if sig == "raised" else outcome(lambda: value(sig.apply()))


@many
@with_callbacks
@given(program=with_replacements)
def test_the_value_of_a_run(shop: Any, program: Any) -> None:
    drive, ours, theirs = shop
    found = run(drive, ours, program)
    expected = evaluated(theirs, program)
    calls, others = (Counter(map(repr, place.calls)) for place in (ours, theirs))
    if is_nothing(found):
        assert any(void in repr(program) for void in VOIDS)
        assert not calls
    elif expected == "raised" != found:
        assert any(void in repr(program) for void in VOIDS)
    elif is_ended_by(found, expected, calls):
        return
    elif "None" in repr(found) and skips_alone(program):
        assert has_skipped(calls)
    elif is_failure(expected):
        assert has_skipped(calls) or not without_doubles(others - calls, program)
        # Of several, either may meet another one first.
        assert found in [f"raised ValueError: {call[1]!r}" for call in ours.calls if is_fail(call)]
    else:
        assert found == expected
        assert not calls - others
        assert not without_doubles(others - calls, program)


VOIDS = ("('chain', []", "('group', []")


def is_nothing(found: Any) -> bool:
    return isinstance(found, str) and any(words in found for words in NOTHING)


def is_ended_by(found: Any, expected: Any, calls: Counter[str]) -> bool:
    """Tell whether `Ignore` ended a chord, or a chain whose last step is a group."""
    if found == "raised Ignore: ignored" or (
        expected is None and isinstance(found, list) and not any(found)
    ):
        return has_skipped(calls)
    return False


def skips_alone(program: Any) -> bool:
    """Tell whether a group, or header, of one part has what raises `Ignore` in it."""
    if not isinstance(program, tuple | list):
        return False
    if program and program[0] in ("group", "chord"):
        parts = [part for part in program[1] if not is_void(part)]
        if len(parts) == 1 and "'skip'" in repr(parts):
            return True
    return any(map(skips_alone, program))


def is_void(program: Any) -> bool:
    """Tell whether a program comes to no task at all."""
    if program[0] in ("clone", "do", "json"):
        return is_void(program[1])
    return program[0] in ("chain", "group") and all(map(is_void, program[1]))


def has_skipped(calls: Counter[str]) -> bool:
    return any(call.startswith("('skip'") for call in calls)


def is_failure(found: Any) -> bool:
    return isinstance(found, str) and found.startswith("raised ")


def is_fail(call: Any) -> bool:
    return bool(call[0] == "fail")


def without_doubles(missing: Counter[str], program: Any) -> list[str]:
    """Return the calls that only Celery made, but for callbacks of what replaced itself."""
    replaces = any(f"'{name}'" in repr(program) for name in REPLACED)
    return [each for each in missing if not (replaces and each.startswith(CALLBACKS))]


@many
@given(header=headers, policy=st.sampled_from(["placeholders", "ignore"]))
def test_what_a_policy_says(shop: Any, header: Any, policy: str) -> None:
    """Celery has no policies; a chord that runs in the file has the value of one here and now."""
    drive, ours, _ = shop
    parts = outcome(lambda: [build(part, ours) for part in header])
    if parts == "raised":
        return
    body = ours.all[2]["pack"].s("end")
    sig = chord(parts, body, policy=policy)
    ours.calls.clear()
    result = outcome(sig.apply_async)
    if is_nothing(result):
        return
    drive.run()
    assert unfinished(drive.app) == []
    assert read(result) == outcome(lambda: value(sig.apply()))


class TestWhereCeleryIsWrong:
    """The differences that are meant, and that Celery still makes them."""

    @pytest.fixture
    def here(self, shop: Any) -> Any:
        """Return what runs a program of both libraries: the values and the calls of each."""
        drive, ours, theirs = shop

        def both_ways(program: Any) -> Any:
            found = run(drive, ours, program)
            expected = evaluated(theirs, program)
            return found, expected, ours.calls[:], theirs.calls[:]

        return both_ways

    def test_nothing(self, here: Any) -> None:
        found, expected, _, _ = here(("chain", [], "args"))
        assert (is_nothing(found), expected) == (True, None)
        found, expected, calls, others = here(("chord", [ADD], ("chain", [], "args"), "list"))
        assert (is_nothing(found), expected) == (True, None)
        assert (calls, others) == ([], [("add", [1])])
        found, expected, _, _ = here(("chain", [("chain", [], "raw"), ADD], "raw"))
        assert (found, expected) == (2, "raised"), "an AttributeError"

    def test_a_failed_header(self, shop: Any, here: Any) -> None:
        body = ("s", "pack", [], False, "link_error")
        found, expected, calls, others = here(("chord", [ADD, FAIL], body, "list"))
        assert found == expected == "raised ValueError: [2]"
        assert calls[:2] == others == [("add", [1]), ("fail", [2])]
        ((name, kind, words),) = calls[2:]
        assert (name, kind) == ("oops", "ChordError")
        sig = build(("chord", [ADD, FAIL], body, "list"), shop[2])
        with pytest.raises(ValueError, match="2"):  # no ChordError
            sig.apply()
        assert re.fullmatch(r"Dependency \S+ raised ValueError\('\[2\]'\)", words)

    def test_all_members_run(self, here: Any) -> None:
        early = ("chain", [("s", "fail", [3], False, ""), ADD], "raw")
        found, expected, calls, others = here(("group", [FAIL, early, ADD], "list"))
        assert (found, expected) == ("raised ValueError: [2]", "raised ValueError: [3]")
        assert [*map(str, calls)] == ["('fail', [2])", "('fail', [3])", "('add', [1])"]
        assert others == calls[:2]

    @pytest.mark.parametrize("name", REPLACED)
    def test_callbacks_of_what_replaces_itself(self, here: Any, name: str) -> None:
        found, expected, calls, others = here(("s", name, [1], False, "link"))
        assert found == expected
        assert [each for each in calls if each[0] == "linked"] == [("linked", [found, 7])]
        assert [each for each in others if each[0] == "linked"] == [("linked", [found, 7])] * 2

    def test_own_arguments(self, shop: Any) -> None:
        drive, ours, theirs = shop
        pack = ("s", "pack", [], False, "")
        for program, values in (
            (("chord", [ADD], pack, "list"), [[[6]], [[2]], [[2]]]),
            (("chain", [ADD, pack], "raw"), [[6], [2], [2]]),
        ):
            sigs = [build(program, place).clone((3,)) for place in (ours, theirs)]
            result = sigs[0].apply_async()
            drive.run()
            assert [result.get(), *(sig.apply().get() for sig in sigs)] == values

    def test_ignore_in_a_header(self, here: Any) -> None:
        skip = ("s", "skip", [], False, "")
        found, expected, calls, others = here(
            ("chord", [ADD, skip], ("s", "pack", [], False, ""), "list")
        )
        assert (found, expected) == ("raised Ignore: ignored", [[2, None]])
        assert (len(calls), len(others)) == (2, 3)
        ends = ("chain", [skip, ADD], "raw")
        found, expected, calls, others = here(("chord", [ends, ends], ADD, "list"))
        assert (found, expected, len(calls), len(others)) == ("raised Ignore: ignored", 3, 2, 3)
        found, expected, calls, others = here(("chain", [skip, ADD], "or"))
        assert (found, expected, calls) == (None, None, others), "in a chain it is the end"


ADD = ("s", "add", [1], False, "")
FAIL = ("s", "fail", [2], False, "")
