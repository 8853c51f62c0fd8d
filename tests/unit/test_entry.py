from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from litequeue.calling import MAX_PRIORITY
from litequeue.entry import MAX_PRIORITY as MAX_ENTRY_PRIORITY
from litequeue.entry import Entry, Firing, jitter_of
from litequeue.exceptions import ImproperlyConfigured, ScheduleError


def make(**more: Any) -> Entry:
    values: dict[str, Any] = {
        "name": "nightly", "schedule": '["interval",10]', "task": "t", "body": "[[],{}]",
        "queue": "default",
    }  # fmt: skip
    return Entry(**(values | more))


def test_an_entry_says_what_it_was_given() -> None:
    entry = make()
    assert (entry.priority, entry.options, entry.expires) == (0, None, None)
    assert (entry.misfire, entry.grace, entry.catch_up) == ("one", None, 1000)
    assert (entry.overlap, entry.jitter, entry.start, entry.end) == ("allow", 0.0, None, None)
    assert entry == make()
    assert hash(entry) == hash(make())
    with pytest.raises(FrozenInstanceError):
        entry.name = "x"  # type: ignore[misc]  # the point


@pytest.mark.parametrize(
    "fine",
    [
        {"name": "n" * 255},
        {"name": "é" * 127},
        {"priority": -MAX_PRIORITY},
        {"expires": 0},
        {"grace": 0.0},
        {"misfire": "all", "catch_up": 1},
        {"jitter": 86_400},
        {"start": -1.0, "end": 0},
        {"end": 5.0},
    ],
    ids=str,
)
def test_what_makes_sense_is_taken(fine: dict[str, Any]) -> None:
    assert make(**fine) is not None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "name is text of 1 to 255 bytes, not ''"),
        ({"name": "n" * 256}, "name is text of 1 to 255 bytes, not 'nnn"),
        ({"name": "é" * 128}, "name is text"),
        ({"name": 5}, "name is text of 1 to 255 bytes, not 5"),
        ({"name": "\ud800"}, "name is text of 1 to 255 bytes"),
        ({"task": ""}, "task is text"),
        ({"task": None}, "task is text of 1 to 255 bytes, not None"),
        ({"queue": "q" * 256}, "queue is text"),
        ({"schedule": 10}, "schedule is text, not 10"),
        ({"body": None}, "body is text, not None"),
        ({"priority": True}, "priority is a whole number"),
        ({"priority": 1.5}, "priority is a whole number"),
        ({"priority": MAX_PRIORITY + 1}, "from -1,000,000,000 to 1,000,000,000, not 1000000001"),
        ({"catch_up": 0}, "catch_up is a whole number from 1 to 10,000, not 0"),
        ({"misfire": "two"}, "misfire is skip, one or all, not 'two'"),
        ({"misfire": None}, "misfire is skip, one or all, not None"),
        ({"overlap": "maybe"}, "overlap is allow, skip, queue or cancel, not 'maybe'"),
        ({"jitter": -0.1}, "jitter is a number from 0 to 86400 seconds, not -0.1"),
        ({"jitter": None}, "jitter is a number of seconds, not None"),
        ({"jitter": 86_401}, "jitter is a number from"),
        ({"grace": -1}, "grace is a number from 0"),
        ({"grace": math.nan}, "grace is a number of seconds, not nan"),
        ({"expires": math.inf}, "expires is a number of seconds, not inf"),
        ({"expires": "5"}, "expires is a number of seconds, not '5'"),
        ({"expires": True}, "expires is a number of seconds, not True"),
        ({"start": math.nan}, "start is a number of seconds"),
        ({"end": 1e300}, "end is a number from"),
        ({"start": 5.0, "end": 5.0}, "start is at or after end"),
        ({"start": 6.0, "end": 5.0}, "give an end that is later"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_the_field(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ScheduleError, match=re.escape(words)) as caught:
        make(**wrong)
    assert isinstance(caught.value, ImproperlyConfigured)
    assert len(str(caught.value)) < 300


def test_the_error_names_the_entry() -> None:
    with pytest.raises(ScheduleError, match="entry 'nightly'"):
        make(jitter=-1)


def test_priorities_are_those_of_calls() -> None:
    assert MAX_ENTRY_PRIORITY == MAX_PRIORITY


def test_a_firing_is_plain_data() -> None:
    assert Firing(1, 2, (), None, None, None) == Firing(1, 2, (), None, None, None)


# Jitter


def test_no_jitter_is_no_delay() -> None:
    assert jitter_of("nightly", "2026-01-01T00:00:00Z", 0.0) == 0.0


def test_jitter_stays_in_its_range_and_fills_it() -> None:
    keys = [f"2026-01-{day:02}T{hour:02}:00:00Z" for day in range(1, 32) for hour in range(24)]
    found = [jitter_of("nightly", key, 10.0) for key in keys]
    assert all(0 <= seconds < 10 for seconds in found)
    tenths = Counter(int(seconds) for seconds in found)
    assert len(tenths) == 10
    assert max(tenths.values()) < 2 * min(tenths.values())


def test_entries_of_one_moment_are_spread() -> None:
    found = [jitter_of(f"tenant-{n}", "2026-01-01T00:00:00Z", 60.0) for n in range(600)]
    assert max(Counter(int(seconds) for seconds in found).values()) < 30


def test_every_process_says_the_same() -> None:
    code = "from litequeue.entry import jitter_of; print(jitter_of('é', 'key', 7.5))"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "1"},
    ).stdout  # fmt: skip
    assert float(told) == jitter_of("é", "key", 7.5)
