"""Schedules but for `crontab`: intervals, moments, the sun, the machine's zone, and their text."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue import schedules
from litequeue.schedules import (
    Schedule,
    ScheduleError,
    Tick,
    base,
    clocked,
    crontab,
    dump,
    interval,
    load,
    machine_zone,
    maybe_schedule,
    schedule,
    schedule_of,
    solar,
    sun,
    zones,
)
from litequeue.schedules.absent import ABSENT

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


# interval


def test_an_interval_counts_from_its_anchor() -> None:
    every = interval(30)
    assert every.after(NOON, anchor=NOON) == Tick("2026-11-21T12:00:30Z", NOON + 30)
    assert every.after(NOON + 30, anchor=NOON) == Tick("2026-11-21T12:01:00Z", NOON + 60)
    assert every.after(NOON + 31, anchor=NOON + 7) == Tick("2026-11-21T12:00:37Z", NOON + 37)


def test_an_anchor_in_the_future_does_not_silence_it() -> None:
    assert interval(60).after(NOON, anchor=NOON + 1e8 + 1) == Tick(
        "2026-11-21T12:00:41Z", NOON + 41
    )


@pytest.mark.parametrize("now", [1.5234375, NOON + 0.0000007, NOON + 0.4999997])
def test_an_anchor_that_is_now_is_no_moment_to_come(now: float) -> None:
    tick = interval(60).after(now, anchor=now)
    assert tick is not None
    assert now + 59.999 < tick.at <= now + 60


def test_an_aligned_interval_counts_from_1970() -> None:
    aligned = interval(timedelta(minutes=15), aligned=True)
    assert aligned.after(NOON + 1, anchor=NOON + 77) == Tick("2026-11-21T12:15:00Z", NOON + 900)
    assert aligned == schedule(900, relative=True) == schedule(timedelta(minutes=15), True)
    assert aligned != schedule(900)


@given(
    st.floats(0.01, 1e6),
    st.floats(0, 4e9),
    st.floats(0, 4e9),
)
def test_ticks_are_in_order_distinct_and_never_off_the_grid(
    every: float, anchor: float, moment: float
) -> None:
    counted = interval(every)
    step, start = round(every * 1e6), math.floor(anchor * 1e6)
    keys, at = set(), moment
    for _ in range(5):
        tick = counted.after(at, anchor=anchor)
        assert tick is not None
        assert at < tick.at <= at + every + 1e-5
        assert (round(tick.at * 1e6) - start) % step == 0
        keys.add(tick.key)
        at = tick.at
    assert len(keys) == 5


@pytest.mark.parametrize(
    "every",
    [
        0,
        -1,
        0.009,
        timedelta(0),
        timedelta(days=-1),
        1e300,
        10**400,
        math.nan,
        math.inf,
        -(10**400),
    ],
)
def test_an_interval_has_a_range(every: Any) -> None:
    with pytest.raises(ScheduleError, match="is not an interval from"):
        interval(every)


@pytest.mark.parametrize("every", ["30", None, True, [1], b"1", datetime(2026, 1, 1, tzinfo=UTC)])
def test_an_interval_is_seconds_or_a_timedelta(every: Any) -> None:
    with pytest.raises(ScheduleError, match="is neither seconds nor a timedelta"):
        interval(every)


def test_an_interval_needs_no_zone() -> None:
    every = interval(1.5)
    assert every.in_zone("Nowhere") is every
    assert every.run_every == timedelta(seconds=1.5)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.01, "every 0.01 s"),
        (1.5, "every 1.5 s"),
        (59, "every 59 s"),
        (60, "every 1 min"),
        (60.000001, "every 60.000001 s"),
        (90, "every 90 s"),
        (5400, "every 90 min"),
        (7200, "every 2 h"),
        (86_400, "every 1 d"),
        (90_000, "every 25 h"),
        (14 * 86_400, "every 14 d"),
    ],
)
def test_an_interval_is_told_in_the_largest_unit_that_fits(seconds: float, words: str) -> None:
    assert str(interval(seconds)) == words
    assert str(interval(seconds, aligned=True)) == f"{words} (aligned)"


def test_an_aligned_interval_that_divides_a_day_begins_anew_at_midnight_utc() -> None:
    midnight = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
    for seconds in (900, 3600, 6 * 3600, 86_400):
        tick = interval(seconds, aligned=True).after(midnight - 1)
        assert tick is not None
        assert tick.at == midnight
    other = interval(7 * 3600, aligned=True).after(midnight - 1)
    assert other is not None
    assert other.at != midnight


@pytest.mark.parametrize("make", [schedule, lambda *a, **k: solar("sunset", 0, 0, **k)])
def test_of_celerys_two_words_about_an_app_only_a_clock_is_refused(make: Any) -> None:
    assert make(30, app=object(), nowfun=None) == make(30)
    with pytest.raises(ScheduleError, match="nowfun <built-in function len> is code, which cannot"):
        make(30, nowfun=len)


# clocked


@pytest.mark.parametrize(
    "moment",
    [
        NOON,
        int(NOON),
        datetime(2026, 11, 21, 12, tzinfo=UTC),
        datetime(2026, 11, 21, 13, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2026, 11, 21, 12, 30, tzinfo=timezone(timedelta(minutes=30))),
        "2026-11-21T12:00:00Z",
        "2026-11-21 13:00+01:00",
        " 20261121T120000Z ",
    ],
)
def test_a_moment_comes_once(moment: Any) -> None:
    once = clocked(moment)
    tick = Tick("2026-11-21T12:00:00Z", NOON)
    assert once == clocked(NOON)
    assert once.after(NOON - 0.5) == tick
    assert once.after(0.0) == tick
    assert once.after(NOON) is None
    assert once.in_zone("Nowhere") is once
    assert str(once) == "once at 2026-11-21T12:00:00Z"


def test_a_moment_has_microseconds() -> None:
    once = clocked("2026-11-21T12:00:00.250001Z")
    assert once.after(NOON) == Tick("2026-11-21T12:00:00.250001Z", NOON + 0.250001)


@pytest.mark.parametrize(
    ("shown", "meant"),
    [
        ("2026-11-21T13:00:00.5", "2026-11-21T12:00:00.500000Z"),
        ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),  # the first of two
        ("2026-03-29T02:30:00.25", "2026-03-29T01:00:00Z"),  # there was none: 03:00
    ],
)
def test_a_moment_without_a_zone_is_what_the_clocks_of_one_show(shown: str, meant: str) -> None:
    once = clocked(shown)
    assert once == clocked(datetime.fromisoformat(shown))
    assert once.in_zone("Europe/Berlin") == clocked(meant)
    assert dump(once) == json.dumps({"clocked": once._text()}, separators=(",", ":"))
    assert load(dump(once)) == once


def test_a_moment_without_a_zone_is_never_due() -> None:
    with pytest.raises(ScheduleError, match="moment 2026-11-21T13:00:00 has no time zone; give it"):
        clocked("2026-11-21T13:00").after(0.0)


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        ("tomorrow", "moment 'tomorrow' is not ISO text, such as 2030-01-31T09:30+01:00"),
        ("", "moment '' is not ISO text"),
        ("2" * 10_000, "is not ISO text"),
        (None, "moment None is not a datetime, ISO text, or seconds"),
        (True, "moment True is not a datetime, ISO text, or seconds"),
        (math.nan, "moment nan is not between the years 1970 and 9892"),
        (math.inf, "moment inf is not between the years 1970 and 9892"),
        (-5, "moment -5 is not between the years 1970 and 9892"),
        (10**400, "is not between the years 1970 and 9892"),
        ("1969-12-31T23:59Z", "is not between the years 1970 and 9892"),
        ("9999-12-31T23:59-10:00", "is not between the years 1970 and 9892"),
        ("0001-01-01T00:00+10:00", "is not between the years 1970 and 9892"),
    ],
)
def test_what_is_no_moment_is_refused(moment: Any, sentence: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        clocked(moment)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 200


# solar: expected from tables of the Nautical Almanac's formulas (NOAA), to the minute


@pytest.mark.parametrize(
    ("event", "lat", "lon", "expected"),
    [
        ("sunrise", 51.48, 0.0, "2026-06-21T03:43"),
        ("sunset", 51.48, 0.0, "2026-06-21T20:21"),
        ("solar_noon", 51.48, 0.0, "2026-06-21T12:02"),
        ("dawn_civil", 51.48, 0.0, "2026-06-21T02:56"),
        ("dusk_civil", 51.48, 0.0, "2026-06-21T21:08"),
        ("sunset", -33.87, 151.21, "2026-06-21T06:54"),
        ("sunrise", 40.71, -74.01, "2026-06-21T09:25"),
    ],
)
def test_the_sun_is_where_almanacs_have_it(
    event: str, lat: float, lon: float, expected: str
) -> None:
    tick = solar(event, lat, lon).after(datetime(2026, 6, 21, tzinfo=UTC).timestamp())
    assert tick is not None
    wanted = datetime.fromisoformat(f"{expected}Z").timestamp()
    assert abs(tick.at - wanted) <= 60, tick


@pytest.mark.parametrize("event", sorted(sun._EVENTS))
@pytest.mark.parametrize("lon", [-180.0, -97.3, 0.0, 89.9, 90.1, 179.9])
def test_every_day_has_each_event_once(event: str, lon: float) -> None:
    schedule = solar(event, 30, lon)
    moment = NOON
    for _ in range(400):
        tick = schedule.after(moment)
        assert tick is not None
        assert moment == NOON or 23.9 * 3600 < tick.at - moment < 24.1 * 3600
        assert schedule.after(tick.at - 1) == tick
        moment = tick.at


def test_events_of_a_day_come_in_order() -> None:
    midnight = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    found = [solar(event, 45, 0).after(midnight) for event in sun._EVENTS]
    moments = [tick.at for tick in found if tick]
    assert len(moments) == 9
    assert moments == sorted(moments)


def test_a_polar_night_is_passed_over() -> None:
    tick = solar("sunrise", 78.2, 15.6).after(datetime(2026, 11, 21, tzinfo=UTC).timestamp())
    assert tick is not None
    assert "2027-02-14" < tick.key < "2027-02-18"


def test_at_a_pole_the_sun_rises_once_a_year() -> None:
    first = solar("sunrise", 90, 0).after(NOON)
    assert first is not None
    assert "2027-03-15" < first.key < "2027-03-25"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("noon", 0, 0), "event 'noon' is none of dawn_astronomical, dawn_nautical, dawn_civil, "),
        ((None, 0, 0), "event None is none of"),
        ((["sunset"], 0, 0), "event ['sunset'] is none of"),
        (("sunset", 91, 0), "lat 91 is not degrees from -90 to 90"),
        (("sunset", "52", 0), "lat '52' is not degrees from -90 to 90"),
        (("sunset", 0, -180.5), "lon -180.5 is not degrees from -180 to 180"),
        (("sunset", 0, math.nan), "lon nan is not degrees from -180 to 180"),
        (("sunset", True, 0), "lat True is not degrees"),
    ],
)
def test_what_is_no_place_is_refused(given: Any, sentence: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        solar(*given)
    assert sentence in str(caught.value)


def test_without_astral_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ScheduleError, match=r"in a clone of litequeue, run pip install '\.\[sol"):
        solar("sunset", 0, 0)


# the machine's zone


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Give the test a /etc/localtime of its own, and no TZ."""
    monkeypatch.delenv("TZ", raising=False)
    path = tmp_path / "localtime"
    monkeypatch.setattr(zones, "_LOCALTIME", str(path))
    yield path
    monkeypatch.undo()
    time.tzset()


def noon_at(name: str) -> Tick:
    """Return the tick of the next noon of a zone, as a local one has it."""
    tick = crontab(0, 12, tz=name).after(NOON)
    assert tick is not None
    return Tick(tick.key.replace(name, "local"), tick.at)


def test_local_is_the_zone_behind_etc_localtime_and_follows_it(machine: Path) -> None:
    local = crontab(0, 12, tz="local")
    for name in ("Europe/Berlin", "Asia/Tokyo"):
        machine.unlink(missing_ok=True)
        machine.symlink_to(f"/usr/share/zoneinfo/{name}")
        assert local.after(NOON) == noon_at(name)
        assert machine_zone() == name
    assert str(local) == "crontab 0 12 * * * local"
    assert local.in_zone("UTC") is local


def test_tz_is_stronger_and_may_be_a_rule(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    local = crontab(0, 12, tz="local")
    for setting, name in (
        ("America/New_York", "America/New_York"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "Europe/Berlin"),
        ("JST-9", "Asia/Tokyo"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "Europe/Berlin"),
        ("", "UTC"),
    ):
        monkeypatch.setenv("TZ", setting)
        assert local.after(NOON) == noon_at(name), setting


@pytest.mark.parametrize("setting", ["Mars/Phobos", ":Mars/Phobos", "Europe", "/no/such/zone"])
def test_tz_that_nothing_is_known_of_is_told_once(
    setting: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    zones._zone_of_machine.cache_clear()
    monkeypatch.setenv("TZ", setting)
    for _ in range(2):
        assert crontab(0, 12, tz="local").after(NOON - 1) == Tick("2026-11-21T12:00[local]", NOON)
    assert [record.name for record in caplog.records] == ["litequeue.beat"]
    assert f"TZ={setting} is not a time zone" in caplog.text


@pytest.mark.parametrize(
    "setting",
    [
        *("Europe/Berlin", ":UTC", "CET-1CEST,M3.5.0,M10.5.0/3", "UTC0", "<+0330>-3:30", ""),
        "/usr/share/zoneinfo/Asia/Tokyo",
    ],
)
def test_tz_that_is_known_is_no_warning(
    setting: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    zones._zone_of_machine.cache_clear()
    monkeypatch.setenv("TZ", setting)
    assert crontab(0, 12, tz="local").after(NOON) is not None
    assert caplog.records == []


def test_a_rule_of_the_c_library_changes_its_clocks_too(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    moment = datetime(2026, 10, 24, 12, tzinfo=UTC).timestamp()
    for fields in ({"hour": 2, "minute": 30}, {"minute": "*/30"}):
        local, berlin = crontab(**fields, tz="local"), crontab(**fields, tz="Europe/Berlin")
        at = moment
        for _ in range(60):
            ours, theirs = local.after(at), berlin.after(at)
            assert ours is not None
            assert theirs is not None
            assert ours == Tick(theirs.key.replace("Europe/Berlin", "local"), theirs.at)
            at = ours.at


def test_without_any_of_it_the_c_library_is_asked(machine: Path) -> None:
    assert not os.path.lexists(machine)
    assert crontab(0, 12, tz="local").after(NOON) is not None
    machine.write_bytes(b"not a zone")
    assert crontab(0, 12, tz="local").after(NOON) is not None


# text


SAMPLES: dict[str, Schedule] = {
    '{"crontab":"0 3 * * *","tz":"Europe/Berlin"}': crontab("0 3 * * *", tz="Europe/Berlin"),
    '{"crontab":"0 0 13 * 5","day_or":true}': crontab("0 0 13 * 5"),
    '{"crontab":"0 0 13 * 5"}': crontab(0, 0, 5, 13),
    '{"crontab":"*/5 0 0 * * *","tz":"local"}': crontab("*/5 0 0 * * *", tz="local"),
    '{"interval":30.0}': interval(30),
    '{"interval":0.5,"aligned":true}': interval(0.5, aligned=True),
    '{"clocked":"2026-11-21T12:00:00Z"}': clocked(NOON),
    '{"clocked":"2026-11-21T12:00:00"}': clocked("2026-11-21T12:00"),
    '{"solar":"sunset","lat":52.5,"lon":0.0}': solar("sunset", 52.5, -0.0),
}


@pytest.mark.parametrize(("text", "value"), SAMPLES.items(), ids=SAMPLES)
def test_the_text_of_a_schedule_is_stable(text: str, value: Schedule) -> None:
    assert dump(value) == text
    assert load(text) == value
    assert dump(load(text)) == text
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    assert hash(load(text)) == hash(value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "1", "{}", "{", "0 3 * * *", '{"every":3}', "\0", "[" * 10_000),
        *('{"interval":"x"}', '{"interval":true}', '{"interval":1e999}', '{"clocked":5}'),
        *('{"crontab":"* * *"}', '{"crontab":5}', '{"crontab":"0 3 * * *","tz":5}'),
        *('{"crontab":""}', '{"crontab":"@daily"}', '{"crontab":"0 3 * * *","tz":"No/Where"}'),
        *('{"solar":"sunset"}', '{"solar":"sunset","lat":true,"lon":0}', '{"solar":"x","lat":1}'),
        '{"clocked":"2026-11-21T12:00:00Z","x":' + "1" * 5_000 + "}",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        load(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["crontab", "tz", "day_or", "interval", "aligned", "clocked", "solar"]
                )
                | st.text(max_size=3),
                inner,
                max_size=4,
            )
        ),
        max_leaves=6,
    ).map(json.dumps)
    | st.text()
)
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        value = load(text)
    except ScheduleError:
        return
    assert load(dump(value)) == value


def test_what_users_write_becomes_a_schedule() -> None:
    zone = "Europe/Berlin"
    assert schedule_of(30, zone=zone) == interval(30)
    assert schedule_of(30.0, zone=zone, relative=True) == interval(30, aligned=True)
    assert schedule_of(timedelta(hours=1), zone=zone) == interval(3600)
    assert schedule_of("0 3 * * *", zone=zone) == crontab("0 3 * * *", tz=zone)
    assert schedule_of("0 0 13 * 5", zone=zone) == crontab("0 0 13 * 5", tz=zone)
    assert schedule_of("@hourly", zone=zone) == crontab("0 * * * *", tz=zone)
    assert schedule_of(crontab(0, 3), zone=zone) == crontab(0, 3, tz=zone)
    assert schedule_of(crontab(0, 3, tz="UTC"), zone=zone) == crontab(0, 3, tz="UTC")
    assert schedule_of(clocked("2026-11-21T13:00"), zone=zone) == clocked(NOON)


class Foreign:
    def is_due(self, last_run_at: datetime) -> None: ...


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            Foreign(),
            "test_schedules.Foreign cannot be kept in the file, for it is code; use crontab",
        ),
        (None, "schedule None is neither a schedule, nor seconds, nor a timedelta, nor a line"),
        (True, "schedule True is neither"),
        ([5], "schedule [5] is neither"),
        ("", "crontab '' has 0 fields"),
        ("5m", "crontab '5m' has 1 field; it takes five (minute, "),
        ("5m", " second first; an interval is a number of seconds, or a timedelta"),
        (0, "every 0 is not an interval"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(value: Any, sentence: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        schedule_of(value, zone="UTC")
    assert sentence in str(caught.value)


def test_a_zone_that_does_not_exist_is_refused_with_the_schedule() -> None:
    with pytest.raises(ScheduleError, match="tz 'Nowhere'"):
        schedule_of("0 3 * * *", zone="Nowhere")


# classes of the user's own


@pytest.mark.parametrize("base", [Schedule, crontab, interval, clocked, solar, schedule])
def test_a_class_of_ones_own_is_refused_where_it_is_written(base: Any) -> None:
    with pytest.raises(ScheduleError, match="schedules are data in the file, so a class of your"):

        class Odd(base):  # type: ignore[misc]  # on purpose
            def is_due(self, last_run_at: datetime) -> None: ...


# Celery's names


def test_maybe_schedule_is_schedule_of_in_celerys_words() -> None:
    assert maybe_schedule(None) is None
    assert maybe_schedule(30, True, app=object()) == interval(30, aligned=True)
    assert maybe_schedule(timedelta(hours=1)) == interval(3600)
    assert maybe_schedule(crontab(0, 3)) == crontab(0, 3)
    with pytest.raises(ScheduleError, match="is neither a schedule"):
        maybe_schedule([])


def test_names_that_stand_for_celerys() -> None:
    assert schedules.BaseSchedule is Schedule
    assert schedules.ParseException is ScheduleError
    assert isinstance(interval(1).is_due(ago(seconds=0)), schedules.schedstate)


@pytest.mark.parametrize("name", ABSENT)
def test_a_name_that_nothing_stands_for_says_why(name: str) -> None:
    with pytest.raises(ImportError) as caught:
        exec(f"from litequeue.schedules import {name}")
    assert str(caught.value) == f"litequeue.schedules has no {name}: {ABSENT[name]}"


def test_a_name_that_nobody_knows_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match=r"'litequeue\.schedules' has no attribute 'moon'"):
        _ = schedules.moon
    with pytest.raises(ImportError, match="cannot import name 'moon'"):
        exec("from litequeue.schedules import moon")


# Celery's questions


class Stopped:
    """A clock that stands still."""

    def now(self) -> float:
        return NOON


@pytest.fixture
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SYSTEM", Stopped())


def ago(**units: float) -> datetime:
    return datetime.fromtimestamp(NOON, UTC) - timedelta(**units)


@pytest.mark.usefixtures("_noon")
def test_is_due_answers_as_celery_does() -> None:
    assert interval(60).is_due(ago(seconds=20)) == (False, 40)
    assert interval(60).is_due(ago(seconds=60)) == (True, 60)
    assert interval(60).is_due(ago(hours=1)).next == 60
    assert crontab(0).is_due(ago(minutes=1)) == (True, 3600)
    assert crontab(30).is_due(ago(minutes=1)) == (False, 1800)
    assert crontab(30).is_due(ago(hours=1).replace(tzinfo=None)).is_due
    assert clocked(NOON).is_due(ago(seconds=1)) == (True, math.inf)
    assert clocked(NOON).is_due(ago(seconds=0)) == (False, math.inf)


@pytest.mark.usefixtures("_noon")
def test_remaining_estimate_may_be_negative() -> None:
    assert interval(60).remaining_estimate(ago(seconds=20)) == timedelta(seconds=40)
    assert interval(60).remaining_estimate(ago(seconds=80)) == timedelta(seconds=-20)
    assert crontab(30).remaining_estimate(ago(minutes=1)) == timedelta(minutes=30)
    assert clocked(NOON).remaining_estimate(ago(seconds=0)) == timedelta.max


@pytest.mark.parametrize("moment", [None, NOON, "2026-11-21"])
def test_celerys_questions_are_about_a_datetime(moment: Any) -> None:
    for ask in (interval(60).is_due, interval(60).remaining_estimate, crontab(30).is_due):
        with pytest.raises(TypeError, match="last_run_at is a datetime, not "):
            ask(moment)


# import


def test_heavy_modules_wait_for_their_use() -> None:
    program = (
        "import sys, litequeue.schedules as s\n"
        "s.schedule_of(30, zone='Europe/Berlin').after(0.0)\n"
        "s.crontab('*/5 3 * * *', tz='UTC').after(0.0)\n"
        "heavy = {'croniter', 'dateutil', 'astral', 'zoneinfo', 'pathlib', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout == "[]\n"
